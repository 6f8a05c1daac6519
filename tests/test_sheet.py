from __future__ import annotations

from dataclasses import replace

import pytest

from flopline.sheet import Column, Sheet, columns, to_text

SHEET = Sheet(
    title="products",
    columns=(Column("strategy", "left"), Column("n"), Column("time")),
    rows=(("row", "64", "1.5 ms"), ("column_block", "2048", "12 us")),
)


def test_words_are_aligned_to_the_left_and_numbers_to_the_right() -> None:
    assert to_text(SHEET) == (
        "products\n"
        "strategy        n   time\n"
        "────────────────────────\n"
        "row            64 1.5 ms\n"
        "column_block 2048  12 us\n"
    )


def test_notes_follow_below_an_empty_line_and_are_not_wrapped() -> None:
    legend = "time: seconds per run, the median of all batches"
    text = to_text(replace(SHEET, notes=(legend, "data: airfoil")), width=30)
    assert text.splitlines()[-3:] == ["", legend, "data: airfoil"]


def test_a_sheet_without_a_title_begins_with_its_heads() -> None:
    assert to_text(replace(SHEET, title="")).startswith("strategy")


def test_words_wrap_in_a_narrow_terminal_and_numbers_never_do() -> None:
    sheet = Sheet(
        title="",
        columns=(Column("claim", "left"), Column("value")),
        rows=(("the loss falls with every update", "0.2416880"),),
    )
    lines = to_text(sheet, width=24).splitlines()
    assert lines[2].endswith(" 0.2416880")
    assert " ".join(line[:14].strip() for line in lines[2:]) == "the loss falls with every update"
    assert max(len(line) for line in lines) <= 24


def test_a_word_that_is_too_long_is_folded_and_never_shortened() -> None:
    name = "test_" + "x" * 60
    text = to_text(Sheet("", (Column("name", "left"),), ((name,),)), width=20)
    assert "".join(text.splitlines()[2:]) == name


def test_a_spaced_sheet_sets_its_rows_apart() -> None:
    sheet = Sheet(
        title="",
        columns=columns(words=("", "claim")),
        rows=(("C1", "the first\nin two lines"), ("C2", "the second")),
        notes=("2 confirmed",),
        spaced=True,
    )
    lines = to_text(sheet).splitlines()
    body = lines[lines.index(next(line for line in lines if "─" in line)) + 1 :]
    assert body == ["C1  the first", "    in two lines", "", "C2  the second", "", "2 confirmed"]


@pytest.mark.parametrize("cell", ["[bold]x[/bold]", "[/]", "a\\[b"])
def test_square_brackets_are_text_and_not_markup(cell: str) -> None:
    sheet = Sheet(cell, (Column(cell, "left"),), ((cell,),))
    assert to_text(sheet).splitlines()[0] == cell
    assert to_text(sheet).splitlines()[-1] == cell


def test_columns_of_words_come_before_columns_of_numbers() -> None:
    assert columns(words=("case",), numbers=("time", "IQR")) == (
        Column("case", "left"),
        Column("time"),
        Column("IQR"),
    )
