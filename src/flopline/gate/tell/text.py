"""The summary of a gate run as text for a terminal or a log."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from flopline.gate.record import ExitCode
from flopline.gate.tell.summary import MANY, Note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

    from flopline.gate.tell.columns import ReportColumn
    from flopline.gate.tell.summary import ReportRow, Summary

VERDICT_STYLES = {
    "regressed": "bold red",
    "inconclusive": "yellow",
    "not comparable": "magenta",
    "improved": "green",
    "unchanged": "",
}
RESULT_STYLES = {
    ExitCode.NO_REGRESSION: "bold green",
    ExitCode.REGRESSION: "bold red",
    ExitCode.COULD_NOT_WORK: "bold red",
    ExitCode.UNDECIDED: "bold yellow",
}
NARROWEST = 80
"""With fewer columns numbers would be cut off, so at least this many are used."""


def render(summary: Summary, width: int, *, colour: bool = False) -> str:
    """Returns the summary as text.

    Args:
        summary: What is to be said.
        width: The number of columns to use; at least `NARROWEST` are used.
        colour: True if a terminal's colour codes may be used.
    """
    out = io.StringIO()
    console = Console(
        file=out,
        width=max(width, NARROWEST),
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        force_jupyter=False,
        legacy_windows=False,
    )
    for part in _parts(summary):
        console.print(part)
    lines = out.getvalue().split("\n")[:-1]
    return "".join(f"{line.rstrip(' ')}\n" for line in lines)


def _parts(summary: Summary) -> Iterator[RenderableType]:
    yield Text.assemble(("flopline gate", "bold"), "  ", "  ".join(summary.heading))
    yield _labelled(summary.settings)
    yield ""
    if summary.rows:
        yield _table(summary)
        yield ""
        for column in summary.columns_in("text"):
            if column.legend:
                yield Text(f"{column.name}: {column.legend}")
        yield ""
    for explanation in summary.explanations:
        style = VERDICT_STYLES[explanation.verdict] or "bold"
        lines = ["".join(sentence) for sentence in explanation.sentences]
        yield Text.assemble((explanation.verdict, style), "  ", explanation.title)
        yield Padding(Text("\n".join(lines)), (0, 0, 1, 4))
    yield _labelled([*_lost(summary), *summary.notes])
    result = Note("result", ((summary.answer,),))
    yield _labelled([result], style=RESULT_STYLES[summary.found])


def _table(summary: Summary) -> Table:
    """Returns the table of benchmarks; many unchanged ones become one row."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("benchmark", overflow="fold", min_width=10)
    columns = summary.columns_in("text")
    for column in columns:
        table.add_column(column.name, justify=column.align, no_wrap=True)
    merges = summary.unchanged.count > MANY
    for row in summary.rows:
        if merges and row.is_quiet:
            continue
        style = VERDICT_STYLES[row.verdict] if row.is_binding else ""
        cells = [_cell(row, column, style) for column in columns]
        table.add_row(Text(row.name), *cells)
    if merges:
        merged = [summary.unchanged.cells[column.name] for column in columns]
        table.add_row(f"{summary.unchanged.count} more, at most", *merged)
    return table


def _cell(row: ReportRow, column: ReportColumn, style: str) -> Text:
    return Text(row.cells[column.name], style if column.coloured else "")


def _lost(summary: Summary) -> Iterator[Note]:
    for lost in summary.lost:
        output = [(f"  {line}",) for line in lost.output]
        yield Note("lost", ((f"{lost.name}: {lost.why}",), *output))
    if summary.more_lost:
        yield Note("lost", ((f"and {summary.more_lost} more",),))


def _labelled(notes: Iterable[Note], style: str = "") -> Table:
    """Returns notes with their labels in a column of their own."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=9, no_wrap=True, style="bold")
    grid.add_column(overflow="fold", style=style)
    for note in notes:
        lines = ["".join(sentence) for sentence in note.sentences]
        grid.add_row(note.label, Text("\n".join(lines)))
    return grid
