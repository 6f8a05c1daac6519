"""The GFLOPS of the newest commit, case by case, as one page that needs nothing from elsewhere."""

from __future__ import annotations

import html
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from flopline.history import compare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flopline.history.results import Case, History, Run

SUFFIX = "_gflops"
"""What the name of a derived series adds to the name of its seconds."""


@dataclass(frozen=True)
class Row:
    """One case in one environment of one machine.

    Attributes:
        case: What was measured.
        axes: Names of its parameters.
        commit: The newest one with a number.
        gflops: There.
        since: The commit that it is compared with: the last tag's, else the first one measured; None for a lone commit.
        change: GFLOPS at `commit` over GFLOPS at `since`, minus 1; None where there is nothing to compare with.
        verdict: Of the seconds, by the case's threshold and samples; "" where there is nothing to compare with.
        line: GFLOPS of every commit with a number, oldest first.
    """

    case: Case
    axes: tuple[str, ...]
    commit: str
    gflops: float
    since: str | None
    change: float | None
    verdict: str
    line: tuple[float, ...]


@dataclass(frozen=True)
class Section:
    """A machine in one environment, and its rows.

    Attributes:
        machine: Its name.
        facts: What is known of it and of the environment, by name.
        rows: One per case.
        failed: Cases without a number at the newest commit, although they were run.
        commit: The newest commit that was measured here.
    """

    machine: str
    facts: Mapping[str, str]
    rows: tuple[Row, ...]
    failed: tuple[Case, ...]
    commit: str


def sections(
    history: History, line: Sequence[str], tags: Mapping[str, str], thresholds: compare.Thresholds
) -> list[Section]:
    """What the page shows, the section with the newest commit first.

    Args:
        history: The results; of runs whose commit is not on the line nothing is used.
        line: The commits of the branch, oldest first.
        tags: Commits of tags, by name.
        thresholds: What change counts.
    """
    place = {commit: i for i, commit in enumerate(line)}
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[Run]] = {}
    for run in sorted(
        (run for run in history.runs if run.commit in place), key=lambda run: place[run.commit]
    ):
        groups.setdefault((run.machine, run.series), []).append(run)
    found = []
    for (machine, series), runs in groups.items():
        rows, failed = [], []
        for case in dict.fromkeys(case for run in runs for case in run.measures):
            row = _row(history, case, runs, set(tags.values()), thresholds)
            if row is not None:
                rows.append(row)
            if case in runs[-1].measures and runs[-1].measures[case] is None and row is not None:
                failed.append(case)
        found.append(Section(machine, dict(series), tuple(rows), tuple(failed), runs[-1].commit))
    return sorted(found, key=lambda section: -place[section.commit])


def _row(
    history: History,
    case: Case,
    runs: Sequence[Run],
    tagged: set[str],
    thresholds: compare.Thresholds,
) -> Row | None:
    listed = history.benchmarks.get(case.benchmark)
    if listed is None or not listed.flops or case.point not in listed.flops:
        return None
    flops = listed.flops[case.point]
    points = [
        (run.commit, measure)
        for run in runs
        if run.versions[case.benchmark] == listed.version and (measure := run.measures.get(case))
    ]
    if not points:
        return None
    commit, newest = points[-1]
    earlier = points[:-1]
    chosen = next(
        (point for point in reversed(earlier) if point[0] in tagged),
        earlier[0] if earlier else None,
    )
    since, base = chosen or (None, None)
    rates = tuple(flops / measure.seconds / 1e9 for _, measure in points)
    change = base.seconds / newest.seconds - 1 if base else None
    verdict = compare.verdict(base, newest, compare.threshold(case, thresholds)) if base else ""
    return Row(case, listed.axes, commit, rates[-1], since, change, verdict, rates)


def page(project: str, found: Sequence[Section], tags: Mapping[str, str]) -> str:
    """The page as HTML: no script, no style and no picture from elsewhere."""
    body = "".join(
        _section(section, {commit: name for name, commit in reversed([*tags.items()])})
        for section in found
    )
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(project)}: GFLOPS</title>
<style>{STYLE}</style>
<nav><a href="index.html">{html.escape(project)}: all pages</a> <a href="index.html#/regressions">Regressions</a></nav>
<h1>GFLOPS, newest commit</h1>
<p>Up is better. A change is coloured where it exceeds the case's threshold and the samples of both commits differ.</p>
{body or "<p>No results of a commit on this branch.</p>"}
</html>
"""


def _section(section: Section, names: Mapping[str, str]) -> str:
    facts = ", ".join(
        f"{html.escape(key)} {html.escape(value)}" for key, value in section.facts.items()
    )
    rows = "".join(_cells(section, row, names) for row in section.rows)
    changes = [row.change for row in section.rows if row.change is not None]
    shared = (
        f"""<p>Median change of all cases: {statistics.median(changes):+.1%}. What they share is more likely the machine
than the commit; <code>flopline gate</code> tells the two apart.</p>"""
        if changes
        else ""
    )
    failed = "".join(f"<li>{html.escape(str(case))}</li>" for case in section.failed)
    return f"""<section><h2>{html.escape(section.machine)}</h2>
<p class="facts">{facts}</p>
{shared}
<table><thead><tr><th>case<th>GFLOPS<th>commit<th>change<th>since<th>all commits</tr></thead>
<tbody>{rows}</tbody></table>
{f"<p>Failed at {section.commit[:8]}:</p><ul>{failed}</ul>" if failed else ""}</section>
"""


def _cells(section: Section, row: Row, names: Mapping[str, str]) -> str:
    case = html.escape(label(row))
    since = "" if row.since is None else html.escape(names.get(row.since, row.since[:8]))
    change = "" if row.change is None else f"{row.change:+.1%}"
    marks = (
        f'data-case="{html.escape(str(row.case))}" data-machine="{html.escape(section.machine)}"'
    )
    return (
        f'<tr class="{row.verdict}" {marks}>'
        f'<td><a href="{html.escape(link(section.machine, row))}">{case}</a>'
        f"<td>{row.gflops:#.4g}<td><code>{row.commit[:8]}</code><td>{change}<td>{since}<td>{sparkline(row.line)}</tr>\n"
    )


def label(row: Row) -> str:
    """A case for readers, for example `matmul column_block n=256 block=64`."""
    family = row.case.benchmark.partition(".")[0].removeprefix("bench_")
    values = [value.strip("'") for value in row.case.point]
    sizes = (f"{axis}={value}" for axis, value in zip(row.axes[1:], values[1:], strict=True))
    return " ".join([family, *values[:1], *sizes])


def link(machine: str, row: Row) -> str:
    """Where asv's graph of a row's GFLOPS is: its fragment selects the machine and the parameters."""
    point = {f"p-{axis}": value for axis, value in zip(row.axes, row.case.point, strict=True)}
    return f"index.html#{row.case.benchmark}{SUFFIX}?{urlencode({'machine': machine, **point})}"


def sparkline(values: Sequence[float], width: int = 160, height: int = 24) -> str:
    """A line over all values from zero up, its newest point marked, as SVG."""
    top, step = max(values), width / max(1, len(values) - 1)
    points = [(i * step, height - 2 - (height - 4) * value / top) for i, value in enumerate(values)]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return (
        f'<svg viewBox="-3 0 {width + 6} {height}" width="{width + 6}" height="{height}" role="img" '
        f'aria-label="{len(values)} commits, {min(values):.3g} to {top:.3g} GFLOPS">'
        f'<polyline points="{drawn}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/></svg>'
    )


STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 62rem; margin: 1.5rem auto; padding: 0 1rem; }
nav a { margin-right: 1rem; } h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 0; }
.facts { color: GrayText; font-size: .85rem; margin: .2rem 0 .6rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; border-bottom: 1px solid GrayText; padding: .25rem .6rem; }
td { text-align: right; padding: .15rem .6rem; border-bottom: 1px solid color-mix(in srgb, GrayText 25%, transparent); }
th:first-child, td:first-child { text-align: left; }
svg { vertical-align: middle; } polyline { fill: none; stroke: #4878a8; stroke-width: 1.5; } circle { fill: #4878a8; }
.regressed td:nth-child(4) { color: #c62828; font-weight: 600; } .regressed circle { fill: #c62828; }
.improved td:nth-child(4) { color: #2e7d32; font-weight: 600; } .improved circle { fill: #2e7d32; }
.inconclusive td:nth-child(4) { color: GrayText; }
"""
