"""Clients, servers and proxies that nobody here wrote, each under one face for the tests."""
