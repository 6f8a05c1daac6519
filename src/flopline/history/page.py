"""Shows the GFLOPS of the newest commit, case by case, as one page that loads nothing."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flopline.history.assessment import assess, threshold_of
from flopline.history.series import along
from flopline.units import gflops, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flopline.gate.record import Verdict
    from flopline.history.assessment import Thresholds
    from flopline.history.record import AsvCase, Conditions, History
    from flopline.history.series import MeasuredCommit, Series

SUFFIX = "_gflops"
"""Is added to a benchmark's name to give the name of its series of GFLOPS."""


@dataclass(frozen=True, kw_only=True)
class CaseRow:
    """One case on one machine under the same conditions.

    Attributes:
        case: What was measured.
        parameters: The names of the benchmark's parameters.
        commit: The newest commit with a number.
        gflops: The GFLOPS at that commit.
        since: The commit with which it is compared: that of the last tag, otherwise the first one
            that was measured; None if there is only one commit.
        change: GFLOPS at `commit` over GFLOPS at `since`, minus 1; None without `since`.
        verdict: The verdict on the seconds at the two commits; empty without `since`.
        line: The GFLOPS of every commit with a number, the oldest first.
    """

    case: AsvCase
    parameters: tuple[str, ...]
    commit: str
    gflops: float
    since: str | None
    change: float | None
    verdict: Verdict | str
    line: tuple[float, ...]


@dataclass(frozen=True)
class Section:
    """A machine under the same conditions, and its cases.

    Attributes:
        machine: The machine's name.
        conditions: The environment and the machine's facts.
        rows: One row for each case.
        failed: The cases that were run at the newest commit and failed there.
        commit: The newest commit that was measured here.
    """

    machine: str
    conditions: Conditions
    rows: tuple[CaseRow, ...]
    failed: tuple[AsvCase, ...]
    commit: str

    @property
    def median_change(self) -> float | None:
        """The median of the cases' changes; None if no case has one."""
        changes = [row.change for row in self.rows if row.change is not None]
        return statistics.median(changes) if changes else None


def sections(
    history: History, branch: Sequence[str], tags: Mapping[str, str], thresholds: Thresholds
) -> list[Section]:
    """Returns what the page shows, the section with the newest commit first.

    Args:
        history: The stored results. Runs of commits that are not on the branch are left out.
        branch: The commits of the branch, the oldest first.
        tags: The commits of tags, by name.
        thresholds: The slowdowns that count.
    """
    tagged = set(tags.values())
    sections = []
    for series in along(history, branch):
        newest = series.runs[-1]
        rows = []
        failed = []
        for case in series.cases():
            row = _row(history, series, case, tagged, thresholds)
            if row is None:
                continue
            rows.append(row)
            if case in newest.measurements and newest.measurements[case] is None:
                failed.append(case)
        section = Section(
            series.machine, series.conditions, tuple(rows), tuple(failed), newest.commit
        )
        sections.append(section)
    position = {commit: index for index, commit in enumerate(branch)}
    return sorted(sections, key=lambda section: -position[section.commit])


def _row(
    history: History, series: Series, case: AsvCase, tagged: set[str], thresholds: Thresholds
) -> CaseRow | None:
    """Returns None for a case without flops or without a number."""
    flops = history.flops(case)
    if flops is None:
        return None
    benchmark = history.benchmarks[case.benchmark]
    points = series.points(case, benchmark.version)
    if not points:
        return None
    newest = points[-1]
    start = _compared_with(points[:-1], tagged)
    change: float | None = None
    verdict: Verdict | str = ""
    if start is not None:
        change = start.measurement.seconds / newest.measurement.seconds - 1
        verdict = assess(start.measurement, newest.measurement, threshold_of(case, thresholds))
    line = tuple(gflops(flops, point.measurement.seconds) for point in points)
    return CaseRow(
        case=case,
        parameters=benchmark.parameters,
        commit=newest.commit,
        gflops=line[-1],
        since=None if start is None else start.commit,
        change=change,
        verdict=verdict,
        line=line,
    )


def _compared_with(earlier: Sequence[MeasuredCommit], tagged: set[str]) -> MeasuredCommit | None:
    """Returns the newest of the earlier points that has a tag, otherwise the first one."""
    for point in reversed(earlier):
        if point.commit in tagged:
            return point
    return earlier[0] if earlier else None


def render(project: str, sections: Sequence[Section], tags: Mapping[str, str]) -> str:
    """Returns the page as HTML; it loads no script, no style and no picture.

    Args:
        project: The project's name.
        sections: What the page shows.
        tags: The commits of tags, by name, the newest tag first.
    """
    names: dict[str, str] = {}
    for name, commit in tags.items():
        names.setdefault(commit, name)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(percent=percent, label=label, link=link, sparkline=sparkline)
    template = environment.get_template("page.html.jinja")
    return template.render(project=project, sections=sections, tags=names)


def label(row: CaseRow) -> str:
    """Returns a case for people, for example `matmul column_block n=256 block=64`."""
    module, _, _ = row.case.benchmark.partition(".")
    values = [value.strip("'") for value in row.case.values]
    words = [module.removeprefix("bench_"), *values[:1]]
    for name, value in zip(row.parameters[1:], values[1:], strict=True):
        words.append(f"{name}={value}")
    return " ".join(words)


def link(row: CaseRow, machine: str) -> str:
    """Returns the address of asv's graph of a row's GFLOPS.

    Its fragment selects the machine and the values of the parameters.
    """
    selection = {"machine": machine}
    for name, value in zip(row.parameters, row.case.values, strict=True):
        selection[f"p-{name}"] = value
    return f"index.html#{row.case.benchmark}{SUFFIX}?{urlencode(selection)}"


WIDTH, HEIGHT = 160, 24
"""The size of a line of GFLOPS, in pixels."""

MARGIN = 3
"""Pixels left and right of the line, so that the mark of the newest point is not cut off."""

PADDING = 2
"""Pixels above and below the line."""


@dataclass(frozen=True)
class Sparkline:
    """A line over the GFLOPS of all commits, drawn from zero up; its newest point is marked.

    Attributes:
        points: The points of the line, as SVG takes them.
        newest_x: Where the newest point is, in pixels from the left.
        newest_y: Where the newest point is, in pixels from the top.
        description: The line in words.
        view_box: The part of the plane that is shown, as SVG takes it.
        width: The width of the picture in pixels.
        height: The height of the picture in pixels.
    """

    points: str
    newest_x: str
    newest_y: str
    description: str
    view_box: str = f"{-MARGIN} 0 {WIDTH + 2 * MARGIN} {HEIGHT}"
    width: int = WIDTH + 2 * MARGIN
    height: int = HEIGHT


def sparkline(values: Sequence[float]) -> Sparkline:
    """Returns a line over values, at least one, the newest of which is the last."""
    top = max(values)
    step = WIDTH / max(1, len(values) - 1)
    xs = [f"{index * step:.1f}" for index in range(len(values))]
    ys = [f"{HEIGHT - PADDING - (HEIGHT - 2 * PADDING) * value / top:.1f}" for value in values]
    return Sparkline(
        points=" ".join(f"{x},{y}" for x, y in zip(xs, ys, strict=True)),
        newest_x=xs[-1],
        newest_y=ys[-1],
        description=f"{len(values)} commits, {min(values):.3g} to {top:.3g} GFLOPS",
    )
