"""Nothing fails silently: a crash, a wrong count or a missing server is an error of the figure and of the run."""

from __future__ import annotations

import contextlib
import sys

import pytest


@pytest.fixture
def measurement(module):
    return module("measurement")


def attempts(measurement, monkeypatch: pytest.MonkeyPatch, *outcomes: dict[str, object]) -> list[object]:
    """Have the attempts at a figure end like that, one after the other; returns those that were not made."""
    left = [measurement.Figure("x", "echo64", 1, **outcome) for outcome in outcomes]
    monkeypatch.setattr(measurement, "attempt", lambda *_: left.pop(0))
    return left


def test_a_failure_is_not_measured_again_until_it_goes_away(measurement, monkeypatch) -> None:
    left = attempts(measurement, monkeypatch, {"error": "it crashed", "disturbed": 0.9}, {"value": 1.0})
    assert measurement.measure(None, None, 1, measurement.Pace()).error == "it crashed"
    assert len(left) == 1


def test_of_disturbed_figures_the_least_disturbed_is_kept(measurement, monkeypatch) -> None:
    attempts(measurement, monkeypatch, *({"value": v, "disturbed": d} for v, d in ((1.0, 0.5), (2.0, 0.3), (3.0, 0.4))))
    assert measurement.measure(None, None, 1, measurement.Pace()).value == 2.0


@pytest.mark.parametrize(
    ("done", "problem"),
    [
        ({"count": 0}, "nothing came back"),
        ({"count": 9, "failed": 2}, "2 handshakes failed"),
        ({"count": 9, "unanswered_closes": 1}, "1 closes were not answered"),
        ({"count": 9}, ""),
    ],
)
def test_what_a_run_says_is_judged(measurement, done: dict[str, float], problem: str) -> None:
    assert measurement.problem_of(done) == problem


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit('client: a connection was lost')", "client: a connection was lost"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (
            "import sys; sys.stderr.write('load: the server was silent\\nusage: load'); sys.exit(1)",
            "the server was silent",
        ),
        ('print(\'{"event": "measuring"}\')', "the program was stopped, and said nothing"),
    ],
)
def test_a_program_that_ends_too_early_is_a_failure(module, program: str, why: str) -> None:
    generator, process = module("generator"), module("process")
    with generator.Generator([sys.executable, "-c", program], process.LOAD_CPU) as running:
        with pytest.raises(generator.LoadFailed) as failure:
            running.wait_for("done")
    assert str(failure.value) == why


@pytest.mark.parametrize(("error", "status"), [("", 0), ("it crashed", 1)])
def test_a_run_with_a_failed_figure_fails(module, measurement, monkeypatch, capsys, error: str, status: int) -> None:
    run = main_with(module, monkeypatch, is_complete=True)
    figure = measurement.Figure("limit", "echo64", 1, value=None if error else 1.0, error=error, load_share=0.5)
    monkeypatch.setattr(run, "measure", lambda *_: figure)
    assert run.main() == status
    assert (f"- echo64, round 1: limit: {error}" in capsys.readouterr().out) == bool(error)


def test_a_run_in_which_everwire_could_not_be_built_fails(module, measurement, monkeypatch) -> None:
    run = main_with(module, monkeypatch, is_complete=False)
    figure = measurement.Figure("limit", "echo64", 1, value=1.0, load_share=0.5)
    monkeypatch.setattr(run, "measure", lambda *_: figure)
    assert run.main() == 1


def main_with(module, monkeypatch, *, is_complete: bool):
    """The program, about to measure one figure of the reference server with everything built."""
    run, limit = module("run"), module("server").LIMIT
    monkeypatch.setattr(sys, "argv", ["run.py", "--quick", "--servers", "limit", "--scenarios", "echo64"])
    monkeypatch.setattr(run, "prepare", lambda _: ([limit], is_complete, True))
    monkeypatch.setattr(run.machine, "describe", lambda _: {})
    monkeypatch.setattr(run.lock, "exclusive", contextlib.nullcontext)  # a real run may go on
    return run


def test_a_name_or_pattern_that_matches_nothing_is_refused(module, monkeypatch, capsys) -> None:
    run = module("run")
    monkeypatch.setattr(sys, "argv", ["run.py", "--scenarios", "client*,echo65"])
    with pytest.raises(SystemExit):
        run.parse()
    assert "there is no echo65 among echo64," in capsys.readouterr().err


def test_references_are_measured_without_being_asked_for(module, monkeypatch) -> None:
    run = module("run")
    line = ["run.py", "--scenarios", "client1*,busy64", "--servers", "everwire", "--clients", "everwire-async"]
    monkeypatch.setattr(sys, "argv", line)
    chosen = [(contender.side.value, contender.name) for contender in run.parse().contenders]
    ours = [("server", "everwire"), ("client", "everwire-async")]
    assert sorted(chosen) == sorted([*ours, ("server", "picows"), ("client", "picows")])
