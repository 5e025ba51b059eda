"""Who is measured: what servers and clients have in common."""

from dataclasses import dataclass
from typing import ClassVar

from scenario import Scenario, Side


@dataclass(frozen=True)
class Contender:
    """A server or a client.

    Attributes:
        name: what the command line and the report call it.
        program: its file in ``peers/`` or ``clients/``; nothing for the reference.
        arguments: what its command line has beyond everybody's.
        package: what has to be installed for it.
    """

    name: str
    program: str = ""
    arguments: tuple[str, ...] = ()
    package: str = ""

    side: ClassVar[Side]

    @property
    def is_ours(self) -> bool:
        """Whether this is the project's own."""
        return self.package == "everwire"

    @property
    def is_node(self) -> bool:
        """Whether Node has to be there for it."""
        return False

    def takes_part(self, scenario: Scenario) -> bool:
        """Whether the scenario can be measured with it."""
        return scenario.side is self.side
