"""The summary of a gate run as one self-contained HTML page for a reviewer.

The page requests nothing from a network and has no script; it says so to the browser, too. What
stands where is in `page.html.jinja`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopline import pages
from flopline.gate.record import VERDICT_ORDER
from flopline.gate.tell.names import Name
from flopline.gate.tell.plot import HEIGHT, WIDTH
from flopline.gate.tell.summary import MANY

if TYPE_CHECKING:
    from flopline.gate.record import Verdict
    from flopline.gate.tell.columns import ReportColumn
    from flopline.gate.tell.summary import ReportRow, Summary

MARKS = {
    "regressed": "▲",
    "inconclusive": "?",
    "not comparable": "✕",
    "improved": "▼",
    "unchanged": "=",
}
"""A mark beside each verdict, so that none is told by its colour alone."""
MEANINGS = {
    "regressed": "Slower by more than is tolerated; fresh blocks have confirmed it.",
    "inconclusive": "Neither confirmed nor ruled out: it was too noisy, or there was too little "
    "time.",
    "not comparable": "Failed, was skipped or crashed on a side, or its source differs between "
    "them.",
    "improved": "Faster by what must be found or more; fresh blocks have confirmed it.",
    "unchanged": "A slowdown of the size that must be found would have been seen, and was not "
    "there. That is less than identical.",
}
"""What each verdict means, in a sentence."""
STAGES = ("screen", "confirm")
"""The labels of the notes that stand below the table of noise."""
ELSEWHERE = (*STAGES, "noise", "added", "removed", "warning", "guarantee")
"""The labels of the notes that have a place of their own; all others stand at the top."""
MOST_UNCHANGED = 2000
"""At most this many unchanged benchmarks have a row of their own, so that a page still opens."""


@dataclass(frozen=True)
class Group:
    """The benchmarks with one verdict.

    Attributes:
        verdict: The verdict.
        meaning: What it means.
        rows: The benchmarks that are shown.
        more: How many others there are.
        folded: Whether they are folded away.
    """

    verdict: Verdict
    meaning: str
    rows: tuple[ReportRow, ...]
    more: int
    folded: bool

    @property
    def count(self) -> int:
        """How many benchmarks have the verdict."""
        return len(self.rows) + self.more

    @property
    def anchor(self) -> str:
        """The name under which a link finds the group."""
        return self.verdict.replace(" ", "-")


@dataclass(frozen=True)
class PageColumn:
    """A column of the page's tables.

    Attributes:
        column: The column of every report.
        width: Its width in digits.
        pictured: Whether the pictures stand behind it.
    """

    column: ReportColumn
    width: float
    pictured: bool


def render(summary: Summary) -> str:
    """Returns the summary as a page."""
    environment = pages.environment("flopline.gate.tell")
    notes = [*summary.settings, *summary.notes]
    environment.tests["name"] = lambda piece: isinstance(piece, Name)
    page: str = environment.get_template("page.html.jinja").render(
        summary=summary,
        groups=_groups(summary),
        columns=_columns(summary),
        warnings=[note for note in notes if note.label == "warning"],
        guarantee=[note for note in notes if note.label == "guarantee"],
        stages=[note for note in notes if note.label in STAGES],
        others=[note for note in notes if note.label not in ELSEWHERE],
        marks=MARKS,
        meanings=MEANINGS,
        many=MANY,
        width=WIDTH,
        height=HEIGHT,
    )
    return page


def _groups(summary: Summary) -> list[Group]:
    """Returns the benchmarks by their verdicts, in the order of a report."""
    groups = []
    for verdict in VERDICT_ORDER:
        rows = [row for row in summary.rows if row.verdict == verdict]
        shown = rows[:MOST_UNCHANGED] if verdict == "unchanged" else rows
        if rows:
            more = len(rows) - len(shown)
            meaning = MEANINGS[verdict]
            is_folded = all(row.is_quiet for row in rows)
            groups.append(Group(verdict, meaning, tuple(shown), more, is_folded))
    return groups


def _columns(summary: Summary) -> list[PageColumn]:
    """Returns the columns, each as wide as its longest cell, so that all tables are alike.

    The pictures stand behind the interval that they show, or behind all columns without one.
    """
    columns = summary.columns_in("html")
    pictured = next((each for each in columns if "interval" in each.name), columns[-1])
    shown = []
    for column in columns:
        cells = [len(row.cells[column.name]) for row in summary.rows]
        # Most characters are narrower than a digit; bold ones are not.
        width = max([len(column.name), *cells]) * (1.0 if column.coloured else 0.88)
        shown.append(PageColumn(column, round(width, 1), column is pictured))
    return shown
