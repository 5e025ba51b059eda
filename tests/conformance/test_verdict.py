"""What is made of the suite's results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conformance.verdict import (
    FAILURES,
    Outcome,
    accepted,
    differences,
    read_expected,
    read_report,
    write_expected,
)

OK = Outcome("OK", "OK")
NON_STRICT = Outcome("NON-STRICT", "OK")
INFORMATIONAL = Outcome("INFORMATIONAL", "INFORMATIONAL")
EXPECTED = Path(__file__).with_name("expected.json")


def lines(expected: dict[str, Outcome], found: dict[str, Outcome]) -> list[str]:
    return list(differences(expected, found, found))


def test_what_is_as_expected_is_not_mentioned() -> None:
    assert lines({"1.1.1": OK, "7.1.6": INFORMATIONAL}, {"1.1.1": OK, "7.1.6": INFORMATIONAL}) == []


@pytest.mark.parametrize("said", sorted(FAILURES))
@pytest.mark.parametrize("expected", [True, False])
def test_a_failure_is_reported_even_if_it_was_expected(said: str, expected: bool) -> None:
    for outcome in (Outcome(said, "OK"), Outcome("OK", said)):
        assert lines({"1.1.1": outcome if expected else OK}, {"1.1.1": outcome}) == [f"1.1.1: {outcome}"]


def test_worse_and_better_results_are_both_reported() -> None:
    assert lines({"6.4.1": OK}, {"6.4.1": NON_STRICT}) == [
        "6.4.1: NON-STRICT, closing OK is worse than the expected OK"
    ]
    assert lines({"6.4.1": NON_STRICT}, {"6.4.1": OK}) == [
        "6.4.1: OK is better than the expected NON-STRICT, closing OK"
    ]


def test_an_unknown_case_and_a_missing_result_are_reported() -> None:
    assert lines({}, {"1.1.1": OK}) == ["1.1.1: OK, but is not in expected.json"]
    assert list(differences({"1.1.1": OK}, {}, ["1.1.1"])) == ["1.1.1: has no result"]


def test_a_case_that_was_not_to_be_run_needs_no_result() -> None:
    assert list(differences({"9.1.1": OK, "1.1.1": OK}, {"1.1.1": OK}, ["1.1.1"])) == []


def test_either_end_of_a_race_is_as_expected_but_no_failure_of_it() -> None:
    assert lines({"3.2": NON_STRICT}, {"3.2": OK}) == []
    assert lines({"3.2": NON_STRICT}, {"3.2": Outcome("FAILED", "OK")}) == ["3.2: FAILED, closing OK"]
    assert lines({"3.2": NON_STRICT}, {"3.2": INFORMATIONAL}) != []


def test_accepting_keeps_other_results_and_takes_no_failures() -> None:
    before = {"client": {"1.1.1": OK}, "server": {"1.1.1": OK, "6.4.1": OK}}
    found = {"6.4.1": NON_STRICT, "3.2": OK, "1.1.1": Outcome("FAILED", "OK")}
    after = accepted(before, "server", found)
    assert after == {
        "client": {"1.1.1": OK},
        "server": {"1.1.1": OK, "6.4.1": NON_STRICT, "3.2": NON_STRICT},
    }
    assert before["server"]["6.4.1"] == OK


def test_expectations_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "expected.json"
    assert read_expected(path) == {}
    expected = {"server": {"10.1.1": OK, "2.1": NON_STRICT}, "client": {"1.1.1": INFORMATIONAL}}
    write_expected(path, expected)
    assert read_expected(path) == expected
    assert list(json.loads(path.read_text())["server"]) == ["2.1", "10.1.1"]


def test_a_report_is_read_for_one_agent(tmp_path: Path) -> None:
    case = {"behavior": "NON-STRICT", "behaviorClose": "OK", "duration": 1, "remoteCloseCode": 1002}
    path = tmp_path / "index.json"
    path.write_text(json.dumps({"callback": {"3.2": case}, "another": {}}))
    assert read_report(path, "callback") == {"3.2": NON_STRICT}
    assert read_report(path, "absent") == {}


@pytest.mark.parametrize("role", ["client", "server"])
def test_all_cases_of_the_suite_are_expected_to_pass(role: str) -> None:
    outcomes = read_expected(EXPECTED)[role]
    assert len(outcomes) == 517
    assert not [case for case, outcome in outcomes.items() if outcome.is_failure]
