"""Everwire under the names of other libraries, so that programs written for them run by changing an import."""
