"""The columns of the table of benchmarks in every report.

To add a column, add an entry to `COLUMNS`. Its name is its own, and its cells are short, because a
terminal of 80 columns must show them whole. The expected reports in tests/gate/support follow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from flopline.units import duration, percent, points, share

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flopline.gate.record import Comparison

COUNTABLE = 1000
"""Of fewer calls the difference is shown as a number, of others as a percentage."""
LEAST_SHOWN = 5e-4
"""A smaller share would be shown as 0.0 %."""

Renderer = Literal["text", "markdown", "junit", "html"]


@dataclass(frozen=True, kw_only=True)
class ReportColumn:
    """A column of the table of benchmarks.

    Attributes:
        name: What stands above the column.
        cell: Returns the column's text for one benchmark; empty if it is unknown. It may hold only
            numbers and words of the gate, because renderers do not escape it.
        together: Returns one text that stands for several unchanged benchmarks.
        align: On which side cells are aligned.
        shown_in: The renderers that show the column.
        coloured: True if a terminal shows the cells in the colour of the verdict.
        optional: True if the column is left out where all cells are empty.
        legend: What the column means, where its name does not say it.
    """

    name: str
    cell: Callable[[Comparison], str]
    together: Callable[[Sequence[Comparison]], str] = lambda _: ""
    align: Literal["left", "right"] = "right"
    shown_in: tuple[Renderer, ...] = ("text", "markdown", "junit", "html")
    coloured: bool = False
    optional: bool = False
    legend: str = ""


def _change(row: Comparison) -> str:
    return "" if row.change is None else percent(row.change)


def largest_change(rows: Sequence[Comparison]) -> str:
    """Returns the largest change of some benchmarks, in either direction."""
    changes = [abs(row.change) for row in rows if row.change is not None]
    return f"±{share(max(changes, default=0.0))}"


def _interval(row: Comparison) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"[{points(row.low)}, {points(row.high)}]"


def _detectable(row: Comparison) -> str:
    return "" if row.detectable is None else percent(_rounded_up(row.detectable))


def largest_detectable(rows: Sequence[Comparison]) -> str:
    """Returns the slowdown that would have been found in every one of some benchmarks."""
    known = [row.detectable for row in rows if row.detectable is not None]
    return percent(_rounded_up(max(known, default=0.0)))


def _rounded_up(slowdown: float) -> float:
    """Returns a slowdown in whole tenths of a percent, and never a smaller one than was seen."""
    return math.ceil(1000 * slowdown - 1e-9) / 1000


def _calls(row: Comparison) -> str:
    """Returns by how much the number of calls differs: `=`, `+3`, `+0.4 %` or `varies`."""
    if row.calls_baseline is None or row.calls_candidate is None:
        return ""
    if row.calls_vary:
        return "varies"
    if row.more_calls == 0:
        return "="
    change = row.more_calls / max(1, row.calls_baseline)
    if row.calls_baseline < COUNTABLE or abs(change) < LEAST_SHOWN:
        return f"{row.more_calls:+d}"
    return percent(change)


def _all_calls(rows: Sequence[Comparison]) -> str:
    """Returns the cell that all rows have, or that of the largest difference."""
    known = [row for row in rows if _calls(row)]
    if len({_calls(row) for row in known}) <= 1:
        return _calls(known[0]) if known else ""
    largest = max(known, key=lambda row: abs(row.more_calls) / max(1, row.calls_baseline or 0))
    return "varies" if largest.more_calls == 0 else _calls(largest)


def _time(row: Comparison) -> str:
    return "" if row.seconds is None else duration(row.seconds)


def _clock(row: Comparison) -> str:
    return row.clock or ""


def _all_clocks(rows: Sequence[Comparison]) -> str:
    clocks = dict.fromkeys(row.clock for row in rows if row.clock)
    return ", ".join(clocks)


def _verdict(row: Comparison) -> str:
    is_accepted = row.verdict == "regressed" and row.accepted
    return "accepted" if is_accepted else row.verdict


COLUMNS = (
    ReportColumn(name="change", cell=_change, together=largest_change, coloured=True),
    ReportColumn(name="95 % interval", cell=_interval),
    ReportColumn(
        name="detectable",
        cell=_detectable,
        together=largest_detectable,
        legend="the smallest slowdown that would have been called regressed, with a probability of "
        "90 %",
    ),
    ReportColumn(
        name="calls",
        cell=_calls,
        together=_all_calls,
        optional=True,
        legend="how many calls of Python and C functions one run makes more or fewer; = is exactly "
        "as many; it decides nothing unless --calls is given",
    ),
    ReportColumn(
        name="time",
        cell=_time,
        shown_in=("markdown", "html"),
        legend="the median of the baseline's time per call",
    ),
    ReportColumn(
        name="clock",
        cell=_clock,
        together=_all_clocks,
        align="left",
        shown_in=("text", "markdown", "html"),
    ),
    ReportColumn(
        name="verdict",
        cell=_verdict,
        together=lambda _: "unchanged",
        align="left",
        shown_in=("text", "markdown", "html"),
        coloured=True,
    ),
)
"""The columns of every report's table, after the one with the names of the benchmarks."""
