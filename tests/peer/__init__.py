"""Peers that are not Everwire: what the tests say to it byte by byte, and how they understand the answer."""
