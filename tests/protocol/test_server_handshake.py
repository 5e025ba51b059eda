"""Hostile opening handshakes, said byte for byte to a real server (RFC 6455 §4.2, RFC 9112)."""
