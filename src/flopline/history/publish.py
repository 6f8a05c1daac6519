"""What asv's pages get from flopline: GFLOPS series beside the seconds, the right direction, and a page of our own.

asv loads this module because asv.conf.json lists it as a plugin, and finds the publishers below as subclasses. asv
compares, colours and detects with "lower is better"; so the seconds stay what decides, and GFLOPS derive from them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

from asv.console import log
from asv.graph import make_summary_graph
from asv.publishing import OutputPublisher

from flopline.history import commits, results
from flopline.history import page as summary
from flopline.history.compare import gflops
from flopline.history.page import SUFFIX

PAGE = "gflops.html"


class ContractError(RuntimeError):
    """asv's pages are not those of asv 0.6.6."""


class Series(OutputPublisher):  # type: ignore[misc]  # asv ships no types
    """Adds a series of GFLOPS for every benchmark with flops, before grid and list are made from what there is."""

    name, button_label, description = "gflops", "GFLOPS", ""
    order: ClassVar[int] = -1  # the grid is 0

    @classmethod
    def publish(cls, conf: Any, repo: Any, benchmarks: Any, graphs: Any, revisions: Any) -> None:  # noqa: ANN401, ARG003
        """Adds them; regressions are not looked for in them, because asv would take a rise for one."""
        for name, benchmark in list(benchmarks.items()):
            work = benchmark.get("flops_per_call")
            if not work or benchmark["unit"] != "seconds":
                continue
            derived = name + SUFFIX
            pretty = f"{name.partition('.')[2]}, GFLOPS"
            benchmarks[derived] = {
                **benchmark,
                "name": derived,
                "pretty_name": pretty,
                "type": "track",
                "unit": "GFLOPS",
                "higher_is_better": True,
            }
            conf.regressions_first_commits[f"^{re.escape(derived)}"] = None
            for graph in list(graphs.get_graph_group(name)):
                series = graphs.get_graph(derived, graph.params)
                for revision, seconds, _ in graph.get_data():
                    taken = seconds if isinstance(seconds, list) else [seconds]
                    rates = [gflops(flops, value) for flops, value in zip(work, taken, strict=True)]
                    series.add_data_point(revision, rates if benchmark["params"] else rates[0])
                series.save(conf.html_dir)
            if group := graphs.get_graph_group(derived):
                make_summary_graph(group).save(conf.html_dir)


class Direction(OutputPublisher):  # type: ignore[misc]  # as above
    """Corrects what asv has written: more GFLOPS is green, a regression is a loss of GFLOPS; and adds our page."""

    name, button_label, description = "gflops-direction", "", ""
    order: ClassVar[int] = 90  # after the regressions, 3

    @classmethod
    def publish(cls, conf: Any, repo: Any, benchmarks: Any, graphs: Any, revisions: Any) -> None:  # noqa: ANN401, ARG003
        """Rewrites the files that stand in the pages' folder."""
        site = Path(conf.html_dir)
        edit(site / "summarylist.js", LIST)
        edit(site / "index.html", NAVIGATION)
        path = site / "regressions.json"
        found = json.loads(path.read_text(encoding="utf-8"))
        found["regressions"] = [in_gflops(row, benchmarks) for row in found["regressions"]]
        path.write_text(json.dumps(found), encoding="utf-8")
        root = Path.cwd()
        history = results.read(Path(conf.results_dir))
        for problem in history.problems:
            log.warning(f"left out: {problem}")
        line, tags = commits.line(root, conf.branches[0]), commits.tags(root)
        elsewhere = sorted({run.commit[:8] for run in history.runs if run.commit not in line})
        if elsewhere:
            log.warning(
                f"measured, but not on {conf.branches[0]}, so in no page: {', '.join(elsewhere)}"
            )
        shown = summary.sections(history, line, tags, conf.regressions_thresholds)
        (site / PAGE).write_text(summary.page(conf.project, shown, tags), encoding="utf-8")


LIST = {
    "if (change > 5)": "if (better * change > 5)",
    "else if (change < -5)": "else if (better * change < -5)",
    "var text, change_str, change = 0, sort_value = 0;": (
        "var text, change_str, change = 0, sort_value = 0;\n"
        "                var better = $.asv.main_json.benchmarks[row.name].higher_is_better ? -1 : 1;"
    ),
}
"""In the list a rise beyond 5 % is red; of a series that counts up it is the fall."""

REGRESSIONS = '<li id="nav-li-regressions"><a href="#/regressions">Regressions</a></li>'
NAVIGATION = {
    REGRESSIONS: f'{REGRESSIONS}\n\t<li id="nav-li-gflops"><a href="{PAGE}">GFLOPS</a></li>'
}


def edit(path: Path, changes: dict[str, str]) -> None:
    """Replaces texts in a file, each of which must be there exactly once.

    Raises:
        ContractError: One is not, so this is another asv.
    """
    source = path.read_text(encoding="utf-8")
    for old, new in changes.items():
        if (count := source.count(old)) != 1:
            raise ContractError(
                f"{path.name} holds {old!r} {count} times; in asv 0.6.6 it is once. Install that version"
            )
        source = source.replace(old, new)
    path.write_text(source, encoding="utf-8")


def in_gflops(row: list[Any], benchmarks: Any) -> list[Any]:  # noqa: ANN401  # asv's own records
    """A row of regressions.json, its seconds turned into GFLOPS where the benchmark has them."""
    entry, path, params, index, last, best, jumps = row
    name, bracket, point = entry.partition("(")
    work = benchmarks[name].get("flops_per_call")
    if not work or name + SUFFIX not in benchmarks:
        return row
    flops = work[index or 0]
    rates = [
        [before, after, gflops(flops, old), gflops(flops, new)] for before, after, old, new in jumps
    ]
    derived = path.removesuffix(f"{name}.json") + f"{name}{SUFFIX}.json"
    return [
        f"{name}{SUFFIX}{bracket}{point}",
        derived,
        params,
        index,
        gflops(flops, last),
        gflops(flops, best),
        rates,
    ]
