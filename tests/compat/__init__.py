"""Programs and tests of other libraries, run against Everwire."""
