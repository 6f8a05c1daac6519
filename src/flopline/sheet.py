"""A table as data: a title, columns, rows and notes, shown in a terminal or on a page.

Whoever makes a sheet chooses the words and the units. Whatever shows it only lays it out.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flopline.characters import visible_text


@dataclass(frozen=True)
class Column:
    """A column of a sheet.

    Attributes:
        name: The words above it; may be empty.
        align: On which side its cells are aligned. Numbers are aligned to the right and never
            wrap; words are aligned to the left and wrap where the terminal is too narrow.
    """

    name: str
    align: Literal["left", "right"] = "right"


@dataclass(frozen=True)
class Sheet:
    """A table and what a reader must know about it.

    Attributes:
        title: What the table shows; may be empty.
        columns: Its columns.
        rows: Its cells, row by row; each row has as many cells as there are columns. A cell may
            have several lines.
        notes: Sentences below the table, for example a legend of its columns.
        spaced: Whether an empty line stands below each row and a wider gap right of each column,
            because the cells hold sentences.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    spaced: bool = False


def columns(*, words: tuple[str, ...] = (), numbers: tuple[str, ...] = ()) -> tuple[Column, ...]:
    """Returns columns of words, followed by columns of numbers, from their names."""
    left = [Column(name, "left") for name in words]
    right = [Column(name) for name in numbers]
    return (*left, *right)


UNLIMITED = 1000
"""Width, in columns of a terminal, at which no table is ever cut.

A line that the terminal breaks is easier to read than a cell that was shortened.
"""


def to_text(sheet: Sheet, width: int = UNLIMITED) -> str:
    """Returns a sheet for a terminal, with a line end after its last line.

    Notes follow below an empty line and are never wrapped.

    Args:
        sheet: The table.
        width: Columns of the terminal. Words wrap to fit, numbers never do; where these are too
            wide, cells are cut.
    """
    out = io.StringIO()
    plain = Console(
        file=out,
        width=width,
        force_terminal=False,
        color_system=None,
        force_jupyter=False,
        legacy_windows=False,
    )
    plain.print(to_rich(sheet))
    lines = [line.rstrip() for line in out.getvalue().splitlines()]
    if sheet.notes:
        if lines[-1]:
            lines.append("")
        lines.extend(visible_text(note) for note in sheet.notes)
    return "\n".join(lines) + "\n"


def to_rich(sheet: Sheet) -> Table:
    """Returns a sheet as a table of rich: a rule below its head, and no other lines.

    Its words may come from files: whatever in them would steer a terminal is spelled out.
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 1, 0) if sheet.spaced else 0,
        pad_edge=False,
        show_edge=False,
        title=_text(sheet.title) if sheet.title else None,
        title_justify="left",
    )
    for column in sheet.columns:
        wraps = column.align == "left"
        table.add_column(
            _text(column.name), justify=column.align, overflow="fold", no_wrap=not wraps
        )
    for row in sheet.rows:
        table.add_row(*(_text(cell) for cell in row))
    return table


def _text(words: str) -> Text:
    return Text(visible_text(words))
