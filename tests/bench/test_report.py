"""What the report owns up to: who is ahead, which targets were missed, what failed."""

from __future__ import annotations

import pytest


@pytest.fixture
def lines(module, run):
    """The report's last part for a run, as lines."""

    def text(figures) -> list[str]:
        return module("report").Report(figures, run.contenders, run.scenarios).text().splitlines()

    return text


def test_a_server_that_is_ahead_is_named(lines, run) -> None:
    said = lines(run.figures(echo16k={"limit": 2.0, "everwire": 1.8, "granian": 1.9}))
    assert "- echo16k: everwire 0.90, granian 0.95" in said


def test_a_client_that_is_ahead_is_named_and_the_target_missed(lines, run) -> None:
    said = lines(run.figures(client100x16={"picows": 2.0, "everwire": 1.9, "everwire-async": 1.9}))
    assert "- client100x16: everwire 0.95, picows 1.00" in said
    assert "- client100x16: everwire 0.95, target 1.00" in said
    assert "- client100x16: everwire-async 0.95, target 1.00" not in said


def test_a_client_that_answers_later_is_named(lines, run, module) -> None:
    figures = [f for f in run.figures() if (f.contender, f.scenario) != ("picows", "client1")]
    figures += [module("measurement").Figure("picows", "client1", n, value=1.0, p99=50.0) for n in (1, 2, 3)]
    assert "- client1: everwire p99 100 µs, best of the others 50.0 µs" in lines(figures)


def test_the_reference_server_is_ahead_of_everybody_and_not_worth_a_line(lines, run) -> None:
    assert "Where we lose: nowhere in this run." in lines(run.figures(echo64={"limit": 1.01}))


@pytest.mark.parametrize(("user_cpu", "is_missed"), [(20.0, False), (30.0, True)])
def test_user_code_beyond_its_target_is_a_miss(lines, run, module, user_cpu: float, is_missed: bool) -> None:
    figures = [f for f in run.figures() if (f.contender, f.scenario) != ("everwire", "handshake")]
    figures += [
        module("measurement").Figure("everwire", "handshake", n, value=1.0, user_cpu=user_cpu) for n in (1, 2, 3)
    ]
    line = "- handshake: everwire 30.0 µs of user code for each handshake, target 20.0"
    assert (line in lines(figures)) == is_missed


def test_one_failure_of_three_rounds_is_named(lines, run, module) -> None:
    figures = [*run.figures(), module("measurement").Figure("ws", "echo64", 4, error="a connection was lost")]
    assert "- echo64, round 4: ws: a connection was lost" in lines(figures)


def test_every_scenario_compares_both_of_our_styles_with_somebody_else(run, module) -> None:
    rate = module("scenario").Kind.RATE
    for scenario in run.scenarios:
        names = {contender.name for contender in run.contenders if contender.takes_part(scenario)}
        assert {"everwire", "everwire-async", "picows"} <= names
        assert scenario.reference in names or scenario.kind is not rate


def test_every_scenario_has_a_target_for_the_callback_style(run) -> None:
    assert {scenario.name for scenario in run.scenarios if "everwire" not in scenario.targets} == set()
