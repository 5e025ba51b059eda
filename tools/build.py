"""``make build``: the engine in the source tree, built quickly, to work on it and to test it."""

import environment
from step import main


def build() -> None:
    environment.engine("dev-opt")


if __name__ == "__main__":
    main(build)
