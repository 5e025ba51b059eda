"""Numbers in the README: which ones, from where, and when there are none to publish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PAGE = "# A page\n\n<!-- numbers: begin (from `make bench`) -->\n\nold\n\n<!-- numbers: end -->\n\nmore\n"
MACHINE = {
    "date": "2026-05-01",
    "processor": "a processor, 2 CPUs",
    "kernel": "6.1-build",
    "python": "3.13.0 OpenSSL 3",
}
HEAD = "| work | Everwire, callbacks | Everwire, `async for` | best of the others |"


@pytest.fixture
def readme(module):
    return module("readme")


def rewritten(readme, folder: Path, figures, page: str = PAGE) -> str:
    (folder / "run.json").write_text(json.dumps({"machine": MACHINE, "figures": [vars(f) for f in figures]}))
    (folder / "README.md").write_text(page)
    readme.rewrite(folder / "README.md", folder / "run.json")
    return (folder / "README.md").read_text()


def test_numbers_replace_what_is_between_the_markers_and_nothing_else(readme, run, tmp_path) -> None:
    page = rewritten(readme, tmp_path, run.figures())
    before, _, rest = page.partition("\n" + HEAD)
    assert before == "# A page\n\n<!-- numbers: begin (from `make bench`) -->\n"
    assert rest.partition("<!-- numbers: end -->")[2] == "\n\nmore\n"
    assert "old" not in page


def test_a_second_time_changes_nothing(readme, run, tmp_path) -> None:
    page = rewritten(readme, tmp_path, run.figures())
    assert rewritten(readme, tmp_path, run.figures(), page) == page


def test_a_rate_is_the_median_of_ratios_to_the_reference_within_each_round(readme, run, tmp_path) -> None:
    figures = run.figures(
        echo64={"limit": [100, 200, 400], "everwire": [90, 190, 200], "everwire-async": [80, 160, 320], "picows": 70}
    )
    row = next(line for line in rewritten(readme, tmp_path, figures).splitlines() if "1 in flight" in line)
    # Servers that are told nothing have one message a second.
    assert row == "| echo, 64 B, 100 connections, 1 in flight | 0.90 | 0.80 | 0.35 (picows) |"


def test_memory_is_in_kib_and_the_least_of_the_others_is_the_best(readme, run, tmp_path) -> None:
    others = {"aiohttp": 9000, "websockets": 15000, "uvicorn": 9e4, "granian": 9e4, "ws": 7168, "picows": 9e4}
    figures = run.figures(idle200={"limit": 512, "everwire": 1024, "everwire-async": 2048, **others})
    assert "| memory of an idle connection | 1.0 KiB | 2.0 KiB | 7.0 KiB (ws) |" in rewritten(readme, tmp_path, figures)


def test_one_row_is_the_scenario_without_a_row_in_which_we_are_furthest_behind(readme, run, tmp_path) -> None:
    figures = run.figures(
        echo64={"ws": 9.0},  # has its row
        echo16k={"granian": 1.5},
        client1={"picows": 2.0, "websockets": 2.0},
        timer={"everwire": 3.0, "everwire-async": 2.0, "aiohttp": 1.0},
    )
    rows = [line for line in rewritten(readme, tmp_path, figures).splitlines() if line.startswith("| where")]
    title = "where we are furthest behind: p99 lateness of a 1 ms timer in the server, during fan1000x16"
    assert rows == [f"| {title} | 3.0 ms | 2.0 ms | 1.0 ms (picows) |"]


def test_ahead_everywhere_there_is_no_such_row(readme, run, tmp_path) -> None:
    assert "furthest behind" not in rewritten(readme, tmp_path, run.figures())


def test_one_line_says_where_and_when(readme, run, tmp_path) -> None:
    line = "Medians of 3 rounds on a processor, 2 CPUs, Linux 6.1, Python 3.13.0, 2026-05-01."
    assert line in rewritten(readme, tmp_path, run.figures()).splitlines()


def test_two_rounds_are_no_numbers(readme, run, tmp_path) -> None:
    with pytest.raises(readme.NotRewritten, match="3 rounds or more, and the run has 2"):
        rewritten(readme, tmp_path, run.figures(rounds=2))
    assert (tmp_path / "README.md").read_text() == PAGE


@pytest.mark.parametrize("name", ["everwire", "everwire-async"])
def test_a_number_that_is_missing_is_not_left_empty(readme, run, tmp_path, name: str) -> None:
    figures = [f for f in run.figures() if (f.contender, f.scenario) != (name, "fan1000")]
    with pytest.raises(readme.NotRewritten, match=f"fan1000 has no figure of {name}$"):
        rewritten(readme, tmp_path, figures)


@pytest.mark.parametrize("page", ["no markers", PAGE + PAGE, "<!-- numbers: end --> <!-- numbers: begin -->"])
def test_a_page_without_a_place_stays_as_it_is(readme, run, tmp_path, page: str) -> None:
    with pytest.raises(readme.NotRewritten, match="the page needs"):
        rewritten(readme, tmp_path, run.figures(), page)
    assert (tmp_path / "README.md").read_text() == page


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"figures": [{"server": "x"}], "machine": {}}'])
def test_a_file_that_is_no_run_is_refused(readme, tmp_path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(readme.NotRewritten, match="is no run"):
        readme.rewrite(tmp_path / "README.md", tmp_path / "run.json")


def test_the_readme_of_the_project_has_a_place_for_them(readme) -> None:
    page = (Path(__file__).parents[2] / "README.md").read_text()
    assert "numbers here" in readme.replaced(page, "numbers here")
