"""The regressions of a gate run as annotations that GitHub shows beside the lines of a change.

An annotation is a line on stdout that GitHub's runner reads, a workflow command:
https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from flopline.characters import visible
from flopline.gate.record import ExitCode
from flopline.gate.tell.names import common_prefix, shortened
from flopline.units import counted, percent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from flopline.gate.record import Comparison, GateRecord

Level = Literal["error", "warning"]
MOST = 10
"""GitHub shows at most ten annotations of a level for a step."""
MANY = 3
"""At most this many benchmarks are named in one annotation."""


class Line(NamedTuple):
    """A line of the repository that calls a function more often than it did.

    Attributes:
        file: The path from the root of the repository.
        number: The number of the line.
        what: What the candidate does there, in words.
    """

    file: str
    number: int
    what: str


def render(record: GateRecord, files: Collection[str], level: Level) -> list[str]:
    """Returns the annotations, the largest slowdown first.

    A regression is shown at the line that the explanation names first, if it lies in the
    repository. Regressions with the same line are one annotation. Those without one are shown
    beside none, and so is the answer of a run that ended without one.

    Args:
        record: The run.
        files: The files of the repository, as paths from its root.
        level: What kind of annotation they are. Where every regression at a line is accepted, or
            only reported, it is a warning whatever this says.
    """
    slower = [row for row in record.comparisons if row.verdict == "regressed"]
    slower.sort(key=lambda row: row.change or 0.0, reverse=True)
    together: dict[Line | None, list[Comparison]] = {}
    for row in slower:
        line = next(_lines(row, record, files), None)
        together.setdefault(line, []).append(row)
    common = common_prefix(row.id for row in record.comparisons)
    annotations = []
    for line, rows in together.items():
        fails = any(row.is_binding for row in rows)
        own: Level = level if fails else "warning"
        annotations.append(_annotation(own, line, _title(rows, common), _message(line, rows)))
    if record.exit_code in (ExitCode.COULD_NOT_WORK, ExitCode.UNDECIDED):
        title = f"flopline gate: {record.exit_code.word}"
        annotations.append(_annotation(level, None, title, visible(record.result)))
    return annotations[:MOST]


def _lines(row: Comparison, record: GateRecord, files: Collection[str]) -> Iterator[Line]:
    """Yields the lines at which the candidate calls more than the baseline.

    Where it calls less, the line is one of the baseline's, which the candidate need not have.
    """
    for difference in record.explanations.get(row.id, []):
        path, _, number = difference.where.rpartition(":")
        file = _in_repository(path, files)
        more = difference.candidate - difference.baseline
        if file and number.isdecimal() and more > 0:
            function = shortened(difference.function)
            what = f"{counted(more, 'more call')} of {function} in a run"
            yield Line(file, int(number), f"{what} ({difference.baseline} before)")


def _in_repository(path: str, files: Collection[str]) -> str:
    """Returns the path of a file from the root of the repository; empty if it is not in there.

    Code that was installed is named from the folder of its packages: `subject/core.py` can be
    `src/subject/core.py` here. It is named only if just one file can be meant.
    """
    if path in files:
        return path
    meant = [file for file in files if file.endswith(f"/{path}")]
    return meant[0] if len(meant) == 1 else ""


def _title(rows: list[Comparison], common: str) -> str:
    first = f"{_name(rows[0], common)} is {_change(rows[0])} slower"
    return first if len(rows) == 1 else f"{first}, and {len(rows) - 1} more"


def _message(line: Line | None, rows: list[Comparison]) -> str:
    """Returns what the candidate does there, and what every benchmark lost by it."""
    lost = []
    for row in rows[:MANY]:
        within = ""
        if row.low is not None and row.high is not None:
            within = f" (95 % interval {percent(row.low)} to {percent(row.high)})"
        lost.append(f"{visible(row.id)} takes {_change(row)} more time{within}")
    if len(rows) > MANY:
        lost.append(f"and so do {len(rows) - MANY} more")
    why = line.what if line else "no line of the repository makes more calls than before"
    return "\n".join([f"{why[0].upper()}{why[1:]}.", *(f"{one}." for one in lost)])


def _name(row: Comparison, common: str) -> str:
    return shortened(row.id.removeprefix(common))


def _change(row: Comparison) -> str:
    return "?" if row.change is None else percent(row.change).lstrip("+")


def _annotation(level: Level, line: Line | None, title: str, message: str) -> str:
    properties = {"file": line.file, "line": str(line.number)} if line else {}
    properties["title"] = title
    joined = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{level} {joined}::{_data(message)}"


def _data(text: str) -> str:
    """Returns a text as one line that the runner turns into the text again."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
