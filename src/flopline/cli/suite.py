"""The commands of the suite: `flopline list`, `data` and `bench`."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flopline import FloplineError
from flopline.cli import child
from flopline.cli.console import (
    Json,
    complain,
    fail,
    print_json,
    print_text,
    refuse_unwritable,
    require,
    stdout,
)
from flopline.registry import LeftOut, installed, left_out, provider
from flopline.sheet import Column, Sheet, to_rich
from flopline.workload import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    import pytest

app = typer.Typer()


class NoSuiteError(FloplineError, FileNotFoundError):
    """There is no suite to list or to measure."""


def suite_folder() -> Path:
    """Returns the folder that holds `benchmarks/`.

    That is the current checkout's, or the one that was installed with the package.

    Raises:
        NoSuiteError: There is neither.
    """
    package = Path(__file__).parents[1]
    for folder in (Path.cwd(), package / "suite", package.parents[1]):
        if (folder / "benchmarks" / "cases.py").is_file():
            return folder
    raise NoSuiteError(
        "there is no suite here: run this in a checkout of flopline, or install the package, "
        "which brings its own"
    )


def suite_cases() -> ModuleType:
    """Imports the suite's list of cases, `benchmarks/cases.py`."""
    sys.path.insert(0, str(suite_folder()))
    return importlib.import_module("benchmarks.cases")


@dataclass(frozen=True)
class ListedCase:
    """A case as `flopline list` shows it.

    Attributes:
        case: The case.
        scales: The scales at which it is measured.
        origin: Which distribution brings its strategy.
    """

    case: Case
    scales: tuple[str, ...]
    origin: str


def listed_cases(cases: ModuleType) -> list[ListedCase]:
    """Returns every case of the suite, then those of strategies from other distributions."""
    listed: dict[str, ListedCase] = {}
    for scale, names in cases.CASES.items():
        for name in names:
            before = listed[name].scales if name in listed else ()
            listed[name] = ListedCase(Case.parse(name), (*before, scale), "flopline")
    unusable = {strategy.name for strategy in left_out_strategies(cases)}
    for group, patterns in cases.INSTALLED.items():
        for strategy, entry_point in installed(group).items():
            if strategy in unusable:
                continue
            for pattern in patterns:
                name = pattern.format(strategy)
                scales = tuple(cases.CASES)
                listed[name] = ListedCase(Case.parse(name), scales, provider(entry_point))
    return list(listed.values())


def left_out_strategies(cases: ModuleType) -> list[LeftOut]:
    """Returns the strategies of other distributions whose names are taken, or are none."""
    strategies = []
    for group in cases.INSTALLED:
        strategies += left_out(group, built_in_names(cases, group))
    return strategies


def built_in_names(cases: ModuleType, group: str) -> set[str]:
    """Returns the strategies that the suite measures of the family of a group; torch is not needed.

    A group is called as its family, for example `flopline.matmul`.
    """
    names = set()
    for scale in cases.CASES.values():
        for name in scale:
            case = Case.parse(name)
            if group.endswith(f".{case.family}"):
                names.add(case.strategy)
    return names


@app.command("list")
def list_cases(*, as_json: Json = False) -> None:
    """List the strategies and the cases in which they are measured."""
    cases = suite_cases()
    listed = listed_cases(cases)
    if as_json:
        rows = []
        for entry in listed:
            facts = {"name": entry.case.name, "scales": list(entry.scales), "from": entry.origin}
            rows.append(facts)
        unusable = [dataclasses.asdict(strategy) for strategy in left_out_strategies(cases)]
        print_json({"cases": rows, "left_out": unusable})
        return
    stdout().print(to_rich(strategies_sheet(listed, tuple(cases.CASES))))
    for strategy in left_out_strategies(cases):
        print_text(f"left out: {strategy.reason}\n")


def strategies_sheet(listed: list[ListedCase], scales: tuple[str, ...]) -> Sheet:
    """Returns a table with a row for every strategy: how many cases it has at each scale."""
    by_strategy: dict[tuple[str, str, str], list[ListedCase]] = {}
    for entry in listed:
        key = (entry.case.family, entry.case.strategy, entry.origin)
        by_strategy.setdefault(key, []).append(entry)
    rows = []
    for (family, strategy, origin), entries in by_strategy.items():
        counts = []
        for scale in scales:
            measured = [entry for entry in entries if scale in entry.scales]
            counts.append(str(len(measured)))
        sizes = _sizes([entry.case for entry in entries])
        rows.append((family, strategy, *counts, sizes, origin))
    columns = (
        Column("family", "left"),
        Column("strategy", "left"),
        *(Column(scale) for scale in scales),
        Column("sizes", "left"),
        Column("from", "left"),
    )
    return Sheet("", columns, tuple(rows))


def _sizes(cases: list[Case]) -> str:
    """Returns the range of every axis, for example `n 64...2048, block 8...1024`."""
    values: dict[str, set[int]] = {}
    for case in cases:
        for axis, value in case.axes.items():
            values.setdefault(axis, set()).add(value)
    ranges = []
    for axis, known in values.items():
        smallest, largest = min(known), max(known)
        span = f"{smallest}" if smallest == largest else f"{smallest}...{largest}"
        ranges.append(f"{axis} {span}")
    return ", ".join(ranges)


@app.command("data")
def show_data(
    path: Annotated[
        str | None,
        typer.Argument(
            help="A file, or the word surrogate. Without it the data are those that every "
            "command uses."
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show which training data are used, where they come from, their hash and their licence."""
    data = require("flopline.data")
    table = data.resolve(path)
    facts = dataclasses.asdict(table.source) | {
        "examples": len(table.X),
        "features": table.X.shape[1],
        "licence": data.LICENCE,
        "attribution": data.ATTRIBUTION,
    }
    if as_json:
        print_json(facts)
        return
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        print_text(f"{name:<{width}}  {str(value) or '-'}\n")


@app.command("bench", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    *,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Save the record to this file.")
    ] = None,
) -> None:
    """Verify and time the suite. Arguments after -- go to pytest, for example -- -k column."""
    refuse_unwritable(json_file)
    root = suite_folder()
    arguments = [
        *("--rootdir", str(root), "-o", f"pythonpath={root}"),
        *("-p", "no:cacheprovider", "--import-mode=importlib"),
        *("--benchmark-only", "--benchmark-quiet", "--tb=short", "-W", "default"),
    ]
    if json_file is not None:
        arguments += ["--benchmark-json", str(json_file)]
    arguments += [str(root / "benchmarks" / "pytest_suite"), *context.args]
    raise typer.Exit(_measure(arguments))


def _measure(arguments: list[str]) -> int:
    """Runs pytest in a process of its own until it ends in order; returns the exit code.

    A case that ends the process is refused by name, and the suite is measured again without it.
    """
    deadly: dict[str, str] = {}
    while True:
        ending = child.run(lambda announce: _pytest(arguments, _Watch(deadly, announce)))
        if ending.code is not None:
            return ending.code
        if ending.signal is not None:
            fail(f"ended by {ending.signal.name}; no record was written")
        if not ending.running or ending.running in deadly:
            fail(f"the process that measures ended with {ending.how} while no case was running")
        reason = f"{ending.running}: the process ended with {ending.how} while this case was run"
        complain(f"{reason}; everything else is measured again without it")
        deadly[ending.running] = reason


def _pytest(arguments: list[str], watch: _Watch) -> int:
    require("flopline.matmul")
    import pytest

    status = pytest.main(arguments, plugins=[watch])
    judged = status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    return int(status) if judged else 2


class _Watch:
    """A plugin of pytest that says which test runs, and refuses those that ended the process.

    Args:
        deadly: Why a test is refused, by its name.
        announce: Receives the name of the test that runs from now on; empty after the test.
    """

    def __init__(self, deadly: Mapping[str, str], announce: Callable[[str], None]) -> None:
        self._deadly = deadly
        self._announce = announce

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Says which test runs."""
        self._announce(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        """Says that no test runs."""
        self._announce("")

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Refuses a test that ended the process in an earlier run."""
        import pytest

        if item.nodeid in self._deadly:
            plugin = item.config.pluginmanager.get_plugin("flopline")
            item.config.stash[plugin.SESSION].refused.append(self._deadly[item.nodeid])
            pytest.fail(self._deadly[item.nodeid], pytrace=False)
