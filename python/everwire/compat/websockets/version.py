"""Which version of `websockets` these names follow; that of the engine is ``everwire.__version__``."""

__all__ = ["commit", "tag", "version"]

tag = version = commit = "17.4"
