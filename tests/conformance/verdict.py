"""What the suite found, and how it differs from what is committed in expected.json.

The file holds, for each role of ours and each case, the suite's verdict about the behavior and about the end of the connection. A
better result than the committed one is a difference too: accept it, so that it cannot get lost again.
"""

import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

FAILURES = {"FAILED", "UNCLEAN", "WRONG CODE", "FAILED BY CLIENT", "UNIMPLEMENTED"}
"""Never accepted. "Unimplemented" is what becomes of a case about compression that was not agreed to."""

RACES = frozenset({"3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"})
"""Cases that send a message and, right behind it, what must fail the connection.

Both answers are within RFC 6455 §7.1.7: the echo and then the failure (OK), or, if both came in one piece, the failure alone
(NON-STRICT). How the bytes were cut on their way decides.
"""
EITHER = ("OK", "NON-STRICT")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The suite's verdict about one case: the behavior, and how the connection ended."""

    behavior: str
    close: str

    @property
    def is_failure(self) -> bool:
        """Whether the case failed, whatever was expected."""
        return self.behavior in FAILURES or self.close in FAILURES

    def __str__(self) -> str:
        return self.behavior if self.behavior == self.close else f"{self.behavior}, closing {self.close}"


Outcomes = Mapping[str, Outcome]
"""By the number of the case."""


def read_report(path: Path, agent: str) -> dict[str, Outcome]:
    """What a report of the suite says about one agent."""
    cases = json.loads(path.read_text()).get(agent, {})
    return {case: Outcome(found["behavior"], found["behaviorClose"]) for case, found in cases.items()}


def read_expected(path: Path) -> dict[str, dict[str, Outcome]]:
    """What is expected, by role; nothing, if there is no file."""
    if not path.exists():
        return {}
    return {
        role: {case: Outcome(*outcome) for case, outcome in cases.items()}
        for role, cases in json.loads(path.read_text()).items()
    }


def write_expected(path: Path, expected: Mapping[str, Outcomes]) -> None:
    """Write what is expected, a case a line."""
    roles = []
    for role, outcomes in sorted(expected.items()):
        ordered = sorted(outcomes, key=_order)
        lines = [f'    "{case}": {json.dumps([outcomes[case].behavior, outcomes[case].close])}' for case in ordered]
        roles.append(f'  "{role}": {{\n' + ",\n".join(lines) + "\n  }")
    path.write_text("{\n" + ",\n".join(roles) + "\n}\n")


def differences(expected: Outcomes, found: Outcomes, run: Collection[str]) -> Iterator[str]:
    """How the outcomes of the cases that were run differ from the expected ones, a line each; failures always do."""
    for case in sorted({*run, *found}, key=_order):
        was, now = expected.get(case), found.get(case)
        if now is None:
            yield f"{case}: has no result"
        elif now.is_failure:
            yield f"{case}: {now}"
        elif was is None:
            yield f"{case}: {now}, but is not in expected.json"
        elif now != was and not _is_race(case, was, now):
            yield f"{case}: {now} is {'better' if _rank(now) > _rank(was) else 'worse'} than the expected {was}"


def accepted(expected: Mapping[str, Outcomes], role: str, found: Outcomes) -> dict[str, dict[str, Outcome]]:
    """What is expected from now on: what was found, failures excepted."""
    merged = {known: dict(outcomes) for known, outcomes in expected.items()}
    mine = merged.setdefault(role, {})
    for case, outcome in found.items():
        if not outcome.is_failure:
            mine[case] = Outcome("NON-STRICT", "OK") if _is_race(case, outcome) else outcome
    return merged


def _is_race(case: str, *outcomes: Outcome) -> bool:
    return case in RACES and all(outcome.behavior in EITHER and outcome.close == "OK" for outcome in outcomes)


def _rank(outcome: Outcome) -> int:
    return sum(
        {"OK": 2, "NON-STRICT": 1, "INFORMATIONAL": 1}.get(said, 0) for said in (outcome.behavior, outcome.close)
    )


def _order(case: str) -> list[int]:
    return [int(number) for number in case.split(".")]
