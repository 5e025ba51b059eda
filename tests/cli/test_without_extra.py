"""The bare package: the command says in one line what is missing, and nothing else of the package misses it."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCK = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {library!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def run(library: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run code where a library cannot be imported."""
    program = BLOCK.format(library=library) + code
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("library", ["click", "prompt_toolkit", "pygments"])
def test_the_command_says_what_to_install(library: str) -> None:
    ran = run(library, "import runpy; runpy.run_module('everwire', run_name='__main__')")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == f"everwire: {library} is not installed: pip install 'everwire[cli]'\n"


def test_an_error_of_another_kind_is_not_hidden() -> None:
    ran = run("ipaddress", "import runpy; runpy.run_module('everwire', run_name='__main__')")
    assert ran.returncode == 1
    assert "No module named 'ipaddress'" in ran.stderr


@pytest.mark.parametrize("library", ["click", "prompt_toolkit", "pygments"])
def test_the_package_itself_does_without(library: str) -> None:
    ran = run(library, "import everwire; print(everwire.connect.__name__)")
    assert (ran.returncode, ran.stdout) == (0, "connect\n")
