"""``make fuzz``: every fuzz target of the wire, for minutes each; ``make test`` runs them for seconds.

The flags are those of ``cargo fuzz build --sanitizer none``: coverage by LLVM and debug assertions, on a stable
toolchain, with nothing to install. Inputs that found something new are kept in the crate's ``fuzz/corpus``, those that
found a defect in ``fuzz/artifacts``; ``tools/python tools/fuzz.py --target NAME --input FILE`` runs one again.
"""

from __future__ import annotations

import argparse
import subprocess
import tomllib
from pathlib import Path

import machine
from step import ROOT, TARGET, StepFailed, main, run, say

CRATE = ROOT / "crates" / "everwire-wire" / "fuzz"
FLAGS = (
    "--cfg fuzzing",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Clink-dead-code",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cpasses=sancov-module",
)


def targets() -> list[str]:
    """The names of all targets."""
    manifest = tomllib.loads((CRATE / "Cargo.toml").read_text())
    return sorted(program["name"] for program in manifest["bin"])


def build() -> Path:
    """Build every target; return the folder of the programs.

    Raises:
        Missing: there is no Rust, or no C++ compiler.
        StepFailed: it does not build.
    """
    machine.rust()
    machine.install({"c++": "g++"})
    said = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = next(line.removeprefix("host: ") for line in said.splitlines() if line.startswith("host: "))
    # With a target named, build scripts and macros are built without these flags.
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", CRATE / "Cargo.toml", "--target", host]
    folder = TARGET / "fuzz"
    run(*command, environment={"RUSTFLAGS": " ".join(FLAGS), "CARGO_TARGET_DIR": str(folder)})
    return folder / host / "release"


def fuzz(seconds: int, chosen: list[str] | None = None) -> None:
    """Build, and run targets one after another.

    Args:
        seconds: how long each is run.
        chosen: which; all of them if there are none.

    Raises:
        Missing: as :func:`build`.
        StepFailed: it does not build, or an input was found that it cannot bear.
    """
    programs = build()
    for target in chosen or targets():
        corpus, artifacts = CRATE / "corpus" / target, CRATE / "artifacts" / target
        corpus.mkdir(parents=True, exist_ok=True)
        artifacts.mkdir(parents=True, exist_ok=True)
        options = [
            f"-max_total_time={seconds}",
            f"-artifact_prefix={artifacts}/",
            "-timeout=10",
            "-print_final_stats=0",
        ]
        say(f"fuzzing {target} for {seconds} s")
        try:
            run(programs / target, *options, corpus, quiet=seconds < 60)
        except StepFailed:
            raise StepFailed(f"{target} failed: see above, and {artifacts.relative_to(ROOT)}") from None


def arguments() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=300, help="for each target; default: %(default)s")
    parser.add_argument("--target", action="append", choices=targets(), help="may be repeated; default: all")
    parser.add_argument("--input", type=Path, help="run the target on this file only")
    given = parser.parse_args()
    if given.input is None:
        fuzz(given.seconds, given.target)
    elif len(given.target or ()) == 1:
        run(build() / given.target[0], given.input)
    else:
        parser.error("--input goes with one --target")


if __name__ == "__main__":
    main(arguments)
