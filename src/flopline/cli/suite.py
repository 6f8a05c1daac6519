"""The commands of the suite: `flopline list`, `data` and `bench`."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import shlex
import shutil
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flopline import FloplineError, files
from flopline.cli import child
from flopline.cli.console import (
    Json,
    complain,
    print_json,
    print_text,
    refuse_unwritable,
    require,
    stdout,
    was_written,
)
from flopline.registry import LeftOut, installed, left_out, provider
from flopline.sheet import Column, Sheet, to_rich
from flopline.workload import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

    import pytest

app = typer.Typer()


class NoSuiteError(FloplineError, FileNotFoundError):
    """There is no suite to list or to measure."""


def suite_folder() -> Path:
    """Returns the folder that holds `benchmarks/`.

    That is the current checkout of flopline, or the one that was installed with the package.

    Raises:
        NoSuiteError: There is neither.
    """
    package = Path(__file__).parents[1]
    here, installed_suite, checkout = Path.cwd(), package / "suite", package.parents[1]
    if is_checkout(here):
        return here
    if (installed_suite / CASES).is_file():
        return installed_suite
    if is_checkout(checkout):
        return checkout
    raise NoSuiteError(
        "there is no suite here: run this in a checkout of flopline, or install the package, "
        "which brings its own"
    )


CASES = Path("benchmarks", "cases.py")
"""The list of what is measured, in the suite's folder."""


def is_checkout(folder: Path) -> bool:
    """Returns whether a folder is a checkout of flopline.

    Many projects have a file `benchmarks/cases.py`; what tells is the name in `pyproject.toml`.
    """
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        is_flopline = project["project"]["name"] == "flopline"
        return is_flopline and (folder / CASES).is_file()
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def suite_cases() -> ModuleType:
    """Imports the suite's list of cases, `benchmarks/cases.py`, by its place and not by its name.

    A package `benchmarks` of somebody else may be imported already, or come first on the path.
    """
    location = suite_folder() / CASES
    specification = importlib.util.spec_from_file_location("flopline_suite_cases", location)
    if specification is None or specification.loader is None:
        raise NoSuiteError(f"{location} cannot be imported")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


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
    with folder_of_this_process() as folder, isolated_from_pytest():
        measured = folder / "bench.json"
        arguments = pytest_arguments(suite_folder())
        if json_file is not None:
            arguments.append(f"--benchmark-json={measured}")
        code = _measure([*arguments, *context.args])
        is_complete = code in (0, 1)
        kept = json_file is None or keep_record(measured, json_file, is_complete=is_complete)
    raise typer.Exit(code if kept else code or 2)


@contextlib.contextmanager
def folder_of_this_process() -> Iterator[Path]:
    """Makes a temporary folder that a forked child, which leaves the block too, does not remove."""
    process = os.getpid()
    folder = tempfile.mkdtemp(prefix="flopline-")
    try:
        yield Path(folder)
    finally:
        if os.getpid() == process:
            shutil.rmtree(folder, ignore_errors=True)


def pytest_arguments(root: Path) -> list[str]:
    """Returns the arguments with which pytest runs the suite, and nothing of what lies around it.

    Neither a configuration file nor a conftest outside of the suite is read. Of the plugins of the
    environment only flopline's and pytest-benchmark are loaded, by name; others can be with -p.

    Args:
        root: The folder that holds `benchmarks/`.
    """
    return [
        *("-c", os.devnull, "--rootdir", str(root), "--confcutdir", str(root / "benchmarks")),
        *("-o", f"pythonpath={shlex.quote(str(root))}"),
        *("-p", "pytest_benchmark.plugin", "-p", "flopline.pytest_plugin"),
        *("-p", "no:cacheprovider", "--import-mode=importlib"),
        *("--benchmark-only", "--benchmark-quiet", "--tb=short", "-W", "default"),
        str(root / "benchmarks" / "pytest_suite"),
    ]


@contextlib.contextmanager
def isolated_from_pytest() -> Iterator[None]:
    """Hides the variables from which pytest takes arguments and plugins, while the suite runs."""
    before = dict(os.environ)
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def keep_record(measured: Path, json_file: Path, *, is_complete: bool) -> bool:
    """Puts a record where it was asked for, and returns whether that could be done.

    What an interrupted run has measured is kept only where there is no record yet: it does not
    replace the record of a whole run.

    Args:
        measured: The file that pytest-benchmark wrote; it is missing or empty if nothing was timed.
        json_file: Where the record was asked for.
        is_complete: Whether pytest came to its end.
    """
    content = measured.read_bytes() if measured.is_file() else b""
    if not content:
        complain(f"nothing was timed, so {json_file} was not written")
        return False
    if not is_complete and json_file.is_file():
        complain(f"the run was not complete, so {json_file} is left as it was")
        return False
    return was_written(json_file, lambda: files.write(json_file, content))


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
            complain(f"ended by {ending.signal.name}")
            return 2
        if not ending.running or ending.running in deadly:
            complain(f"the process that measures ended with {ending.how} while no case ran")
            return 2
        reason = f"{ending.running}: the process ended with {ending.how} while this case was run"
        complain(f"{reason}; everything else is measured again without it")
        deadly[ending.running] = reason


def _pytest(arguments: list[str], watch: _Watch) -> int:
    require("flopline.matmul")
    is_given = any(word.startswith("--flopline-data") for word in arguments)
    if os.environ.get("FLOPLINE_DATA") and not is_given:
        require("flopline.data").resolve()  # what it names is refused before anything is measured
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
            plugin: Any = item.config.pluginmanager.get_plugin("flopline.pytest_plugin")
            item.config.stash[plugin.SESSION].refused.append(self._deadly[item.nodeid])
            pytest.fail(self._deadly[item.nodeid], pytrace=False)
