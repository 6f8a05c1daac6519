"""Adds GFLOPS to asv's pages: a series beside the seconds, the right direction, and one more page.

asv loads this module because asv.conf.json lists it as a plugin, and finds the publishers below
because they are subclasses of its own. asv compares, colours and detects with "lower is better".
Therefore the seconds decide, and the GFLOPS are derived from them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from asv import util
from asv.commands import publish as asv_publish
from asv.console import log
from asv.graph import make_summary_graph
from asv.plugins import regressions as asv_regressions
from asv.publishing import OutputPublisher
from asv.repo import get_repo
from asv.results import Results

from flopline import FloplineError, git, units
from flopline.history import configuration, page, results

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flopline.history.record import History

PAGE = "gflops.html"
"""The file of the page that is added."""


def setup() -> None:
    """Is called by asv when it has loaded this plugin: lets it publish only what can be read.

    asv skips a file that is no JSON, and ends with a traceback at, or never comes back from, one
    that holds something else.
    """
    asv_publish.get_repo = checked_repository
    asv_publish.iter_results = readable_results
    asv_regressions.iter_results = readable_results
    asv_publish.iter_machine_files = readable_machine_files


def checked_repository(conf: Any) -> Any:
    """Returns asv's repository, when the configuration and the results can be used.

    Raises:
        UserError: A value of the configuration is of the wrong kind, git does not know a branch, or
            there are no results.
    """
    for name in (conf.project, conf.repo):
        if not isinstance(name, str):
            raise util.UserError(f"asv.conf.json: project and repo are names, not {name!r}")
    repository = get_repo(conf)
    try:
        settings = configuration.check(conf, Path.cwd(), Path(configuration.FILE))
        for branch in conf.branches:
            git.resolve(settings.repository, repository.get_branch_name(branch))
    except FloplineError as error:
        raise util.UserError(str(error)) from error
    _history(settings.results)
    return repository


def readable_results(folder: str) -> Iterator[Any]:
    """Yields asv's results from every file that flopline can read.

    Raises:
        UserError: The folder holds no results.
    """
    for run in _history(Path(folder)).runs:
        try:
            yield Results.load(str(run.path), machine_name=run.machine)
        except (AttributeError, TypeError, ValueError, util.UserError) as error:
            log.warning(f"left out: {run.path}: {error}")


def readable_machine_files(folder: str) -> Iterator[str]:
    """Yields the files of the machines that have results.

    Raises:
        UserError: The folder holds no results, or one of these files does not name its machine.
    """
    for machine in sorted({run.machine for run in _history(Path(folder)).runs}):
        path = Path(folder, machine, "machine.json")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise util.UserError(f"{path} cannot be read: {error}") from error
        if not isinstance(content, dict) or content.get("machine") != machine:
            raise util.UserError(f"{path} does not say that the machine is {machine}")
        yield str(path)


def _history(folder: Path) -> History:
    try:
        return results.read(folder)
    except FloplineError as error:
        raise util.UserError(str(error)) from error


class GflopsSeries(OutputPublisher):  # type: ignore[misc]  # asv ships no types
    """Adds a series of GFLOPS for every benchmark that declares its flops."""

    name = "gflops"
    button_label = "GFLOPS"
    description = ""
    order: ClassVar[int] = -1
    """This comes before the grid (0) and the list (1), which are made of all benchmarks."""

    @classmethod
    def publish(cls, conf: Any, repo: Any, benchmarks: Any, graphs: Any, revisions: Any) -> None:
        """Adds the benchmarks and their graphs."""
        for name, benchmark in list(benchmarks.items()):
            flops = benchmark.get("flops_per_call")
            if not flops or benchmark["unit"] != "seconds":
                continue
            derived = name + page.SUFFIX
            _, _, short_name = name.partition(".")
            benchmarks[derived] = {
                **benchmark,
                "name": derived,
                "pretty_name": f"{short_name}, GFLOPS",
                "type": "track",
                "unit": "GFLOPS",
                "higher_is_better": True,
            }
            # No regressions are searched in this series, because asv would report every rise.
            conf.regressions_first_commits[f"^{re.escape(derived)}"] = None
            for graph in list(graphs.get_graph_group(name)):
                series = graphs.get_graph(derived, graph.params)
                for revision, seconds, _weight in graph.get_data():
                    series.add_data_point(revision, _rates(flops, seconds))
                series.save(conf.html_dir)
            group = graphs.get_graph_group(derived)
            if group:
                make_summary_graph(group).save(conf.html_dir)


def _rates(flops: list[int], seconds: Any) -> Any:
    """Returns the GFLOPS of a point: a list if the benchmark has parameters, otherwise a number."""
    if not isinstance(seconds, list):
        return _gflops(flops[0], seconds)
    return [_gflops(work, taken) for work, taken in zip(flops, seconds, strict=True)]


def _gflops(flops: int, seconds: float | None) -> float | None:
    return units.gflops(flops, seconds) if seconds else None


class GflopsDirection(OutputPublisher):  # type: ignore[misc]  # asv ships no types
    """Corrects the pages that asv has written, and adds one.

    More GFLOPS become green, a regression becomes a loss of GFLOPS, and the added page shows the
    GFLOPS of the newest commit.
    """

    name = "gflops-direction"
    button_label = ""
    description = ""
    order: ClassVar[int] = 90
    """This comes after the regressions (3), which are corrected."""

    @classmethod
    def publish(cls, conf: Any, repo: Any, benchmarks: Any, graphs: Any, revisions: Any) -> None:
        """Changes the files in the folder of the pages."""
        site = Path(conf.html_dir)
        try:
            edit(site / "summarylist.js", LIST)
            edit(site / "index.html", NAVIGATION)
            path = site / "regressions.json"
            content = json.loads(path.read_text(encoding="utf-8"))
            content["regressions"] = [in_gflops(row, benchmarks) for row in content["regressions"]]
            path.write_text(json.dumps(content), encoding="utf-8")
            _write_page(conf, site / PAGE)
        except FloplineError as error:
            raise util.UserError(str(error)) from error


def _write_page(conf: Any, target: Path) -> None:
    root = Path.cwd()
    settings = configuration.check(conf, root, root / configuration.FILE)
    history = results.read(settings.results)
    branch = git.branch(settings.repository, settings.branch)
    for file in history.unreadable:
        log.warning(f"left out: {file}")
    elsewhere = {run.commit for run in history.runs} - set(branch)
    if elsewhere:
        commits = ", ".join(sorted(commit[:8] for commit in elsewhere))
        log.warning(f"measured, but not on {settings.branch}, so on no page: {commits}")
    tags = git.tags(settings.repository)
    sections = page.sections(history, branch, tags, settings.thresholds)
    target.write_text(page.render(str(conf.project), sections, tags), encoding="utf-8")


VARIABLES = "var text, change_str, change = 0, sort_value = 0;"
BETTER = "var better = $.asv.main_json.benchmarks[row.name].higher_is_better ? -1 : 1;"
LIST = {
    "if (change > 5)": "if (better * change > 5)",
    "else if (change < -5)": "else if (better * change < -5)",
    VARIABLES: f"{VARIABLES}\n                {BETTER}",
}
"""Changes in asv's list, in which a rise of more than 5 % is red; of GFLOPS it must be the fall."""

REGRESSIONS = '<li id="nav-li-regressions"><a href="#/regressions">Regressions</a></li>'
NAVIGATION = {
    REGRESSIONS: f'{REGRESSIONS}\n\t<li id="nav-li-gflops"><a href="{PAGE}">GFLOPS</a></li>'
}
"""The change in asv's navigation: a link to the added page."""


class ContractError(FloplineError, RuntimeError):
    """asv's pages are not those of asv 0.6.6."""


def edit(path: Path, changes: Mapping[str, str]) -> None:
    """Replaces texts in a file, each of which must be there exactly once.

    Raises:
        ContractError: A text is not there exactly once, so this is another asv.
    """
    source = path.read_text(encoding="utf-8")
    for old, new in changes.items():
        count = source.count(old)
        if count != 1:
            raise ContractError(
                f"{path.name} holds {old!r} {count} times, and in asv 0.6.6 it is there once; "
                "install that version"
            )
        source = source.replace(old, new)
    path.write_text(source, encoding="utf-8")


class Regression(NamedTuple):
    """A row of asv's regressions.json.

    Attributes:
        entry: The benchmark's name, with the values of its parameters in parentheses.
        graph: The file of the benchmark's graph.
        selection: The values of the graph's selectors.
        combination: The index of the combination of parameters; None without parameters.
        latest: The latest level.
        best: The best level.
        jumps: The jumps from one level to another.
    """

    entry: str
    graph: str
    selection: dict[str, Any]
    combination: int | None
    latest: float
    best: float
    jumps: list[list[Any]]


class Jump(NamedTuple):
    """A jump in such a row.

    Attributes:
        before: The last revision at the old level.
        after: The first revision at the new level.
        old: The old level.
        new: The new level.
    """

    before: int
    after: int
    old: float
    new: float


def in_gflops(row: list[Any], benchmarks: Any) -> list[Any]:
    """Returns a row of regressions.json in GFLOPS if its benchmark has a series of them."""
    regression = Regression(*row)
    name, bracket, values = regression.entry.partition("(")
    derived = name + page.SUFFIX
    all_flops = benchmarks[name].get("flops_per_call")
    if not all_flops or derived not in benchmarks:
        return row
    flops = all_flops[regression.combination or 0]
    jumps = []
    for jump in map(Jump._make, regression.jumps):
        old, new = _gflops(flops, jump.old), _gflops(flops, jump.new)
        jumps.append([jump.before, jump.after, old, new])
    return [
        f"{derived}{bracket}{values}",
        regression.graph.removesuffix(f"{name}.json") + f"{derived}.json",
        regression.selection,
        regression.combination,
        _gflops(flops, regression.latest),
        _gflops(flops, regression.best),
        jumps,
    ]
