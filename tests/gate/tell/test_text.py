from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from rich.cells import cell_len

from flopline.gate.record import ExitCode, GateRecord, Loss
from flopline.gate.tell.summary import summarise
from flopline.gate.tell.text import render
from tests.gate.support.make_records import (
    HOSTILE,
    NOISY,
    RECORD,
    changed,
    make_block,
    make_unchanged,
    record_of,
    reworded,
)

EXPECTED = Path(__file__).parents[1] / "support" / "report.txt"


def text(record: GateRecord, width: int = 100, *, colour: bool = False) -> str:
    return render(summarise(record), width, colour=colour)


def test_the_text_says_everything_in_one_table_and_some_lines() -> None:
    assert text(RECORD) == EXPECTED.read_text("utf-8")


def test_up_to_ten_unchanged_benchmarks_are_listed() -> None:
    shown = text(record_of([make_unchanged(f"a.py::test[{n}]") for n in range(10)]))
    assert shown.count("  unchanged\n") == 10


def test_more_unchanged_benchmarks_are_one_line_with_their_extremes() -> None:
    rows = [make_unchanged(f"a.py::test[{n}]", -0.001 * n) for n in range(11)]
    rows[3] = dataclasses.replace(rows[3], detectable=0.0234, clock="wall")
    shown = text(record_of([*rows, NOISY]))
    (line,) = re.findall(".* unchanged\n", shown)
    assert line.split("  ")[0] == "11 more, at most"
    assert line.split()[4:] == ["±1.0", "%", "+2.4", "%", "cpu,", "wall", "unchanged"]


def test_colour_changes_nothing_but_the_colours() -> None:
    coloured = text(RECORD, colour=True)
    assert coloured != text(RECORD)
    plain = re.sub(r"\x1b\[[\d;]*m", "", coloured)
    assert [line.rstrip() for line in plain.splitlines()] == text(RECORD).splitlines()


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "NO_COLOR", "COLUMNS"])
def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    expected = [text(RECORD, colour=colour) for colour in (True, False)]
    monkeypatch.setenv(variable, "50")
    assert [text(RECORD, colour=colour) for colour in (True, False)] == expected


@pytest.mark.parametrize("width", [0, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_lost(width: int) -> None:
    suffix = "long-" * 20
    rows = [dataclasses.replace(row, id=f"{row.id}[{suffix}語]") for row in RECORD.comparisons]
    shown = text(record_of(rows), width)
    assert max(map(cell_len, shown.splitlines())) <= max(width, 80)
    for number in ("[-28.0, -26.0]", "+11.2 %", "not comparable", "inconclusive", "timer"):
        assert number in shown


def test_ids_are_shown_without_the_folder_they_share() -> None:
    rows = [make_unchanged("bench/a.py::test_x"), make_unchanged("bench/b.py::test[a/b::c]")]
    shown = text(record_of(rows))
    assert "ids in     bench/\n" in shown
    assert "\na.py::test_x " in shown
    assert "\nb.py::test[a/b::c] " in shown


def test_ids_of_any_form_are_shown() -> None:
    shown = text(record_of([make_unchanged(name) for name in ("x", "a/y.py::t", "::z", "a/b")]))
    for name in ("\nx ", "\na/y.py::t ", "\n::z ", "\na/b "):
        assert name in shown


def test_a_very_long_id_is_cut_in_its_middle() -> None:
    name = f"a.py::test[{'x' * 5000}end]"
    assert "x" * 300 not in re.sub(r"\s", "", text(record_of([make_unchanged(name)])))


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (1, "a regression was confirmed"),
        (2, "the gate could not do its work"),
        (3, "too noisy, or too little time, for an answer"),
    ],
)
def test_the_result_is_last_with_the_meaning_of_the_exit_code(code: int, meaning: str) -> None:
    shown = text(changed(result="so it is", exit_code=ExitCode(code)))
    assert shown.splitlines()[-1] == f"result     so it is (exit code {code}: {meaning})"


def test_a_run_that_measured_nothing_is_head_and_result() -> None:
    record = record_of(
        [],
        canary=None,
        control=None,
        noise=None,
        warnings=[],
        result="no benchmark found",
        exit_code=ExitCode.COULD_NOT_WORK,
    )
    versions = "baseline origin/main (1a2b3c4)  candidate working tree"
    assert text(record).splitlines() == [
        f"flopline gate  {versions}  0 benchmarks  168 s",
        "",
        "result     no benchmark found (exit code 2: the gate could not do its work)",
    ]


def test_a_loss_is_shown_with_its_output() -> None:
    lost = {"a.py::x": Loss(None, "setup", "skipped", "no file")}
    record = record_of([make_unchanged("a.py::x")])
    shown = text(dataclasses.replace(record, blocks=[make_block("screen", 3, lost=lost)]))
    line = "lost       x: skipped on both sides (setup) in 1 of 1 blocks\n             no file\n"
    assert line in shown


def test_many_losses_and_long_ones_are_cut() -> None:
    output = "\n".join(f"line {n}" for n in range(30))
    lost = {f"a.py::t{n}": Loss("candidate", "call", "failed", output) for n in range(13)}
    blocks = [make_block("screen", 3, lost=lost)]
    shown = text(dataclasses.replace(record_of([]), blocks=blocks))
    assert shown.count("line 29\n") == shown.count("line 20\n") == 10
    assert "line 19\n" not in shown
    assert "lost       and 3 more\n" in shown


def test_a_warning_keeps_its_lines() -> None:
    shown = text(changed(warnings=["two\nlines"]))
    assert "warning    two\n           lines\n" in shown


@given(HOSTILE)
@example("\x1b]0;title\x07")
@example("[bold red]markup[/] :smile: [link=file:///etc]x[/link]")
def test_nothing_that_steers_a_terminal_survives(words: str) -> None:
    shown = text(reworded(words))
    assert shown.replace("\n", "").isprintable()
    shown.encode()


def test_markup_of_the_tables_library_is_shown_as_it_is() -> None:
    shown = text(reworded("[bold red]x[/] :smile:"), 300)
    assert "candidate [bold red]x[/] :smile:" in shown
    assert "\nx.py::[bold red]x[/] :smile: " in shown
