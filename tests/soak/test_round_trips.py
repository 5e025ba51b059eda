"""Round trips on many connections: none of them ever stalls."""
