"""The benchmark's own modules, which are programs beside each other and no package."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of the benchmark by its name; afterwards its name is free again."""
    monkeypatch.syspath_prepend(BENCH)
    monkeypatch.syspath_prepend(BENCH / "clients")
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(BENCH)):
            del sys.modules[name]


class Run:
    """Figures of a run that was never made; every one that is not told otherwise is 1."""

    def __init__(self, module: Callable[[str], ModuleType]) -> None:
        self.figure = module("measurement").Figure
        self.scenarios = module("scenario").SCENARIOS
        self.contenders = [*module("server").SERVERS, *module("client").CLIENTS]

    def figures(self, rounds: int = 3, **values: dict[str, float | list[float]]) -> list[object]:
        """Figures of everybody; ``values`` has those of a scenario by name, one or one for each round."""
        made = []
        for scenario in self.scenarios:
            for contender in self.contenders:
                if contender.takes_part(scenario):
                    value = values.get(scenario.name, {}).get(contender.name, 1.0)
                    each = value if isinstance(value, list) else [value] * rounds
                    made += [
                        self.figure(contender.name, scenario.name, number, value=one, p99=100.0, user_cpu=1.0)
                        for number, one in enumerate(each, 1)
                    ]
        return made


@pytest.fixture
def run(module: Callable[[str], ModuleType]) -> Run:
    return Run(module)
