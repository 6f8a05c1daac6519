"""The command line's door: the only room that prints and exits.

Exit codes: 0 done, 1 a strategy was refused or a benchmark failed, 2 the command could not do its work.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from flopline import __version__
from flopline.strategies import Case, installed, provider
from flopline.tables import plain

if TYPE_CHECKING:
    from types import ModuleType

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def main() -> None:
    """Runs the command line."""
    app()


def _fail(message: str) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(f"flopline: {message}", markup=False, highlight=False)
    raise typer.Exit(2)


@app.callback(invoke_without_command=True)
def flopline(*, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Performance of numerical code: measured, remembered, guarded."""
    if version:
        sys.stdout.write(f"flopline {__version__}\n")


def suite() -> Path:
    """The folder that holds `benchmarks/`: the current checkout's, or the one that came with the package.

    Raises:
        typer.Exit: There is neither; with code 2.
    """
    package = Path(__file__).parent
    for folder in (Path.cwd(), package / "suite", package.parents[1]):
        if (folder / "benchmarks" / "cases.py").is_file():
            return folder
    _fail("no suite here: run this in a checkout of flopline, or install the package, which brings its own")


def _cases() -> ModuleType:
    sys.path.insert(0, str(suite()))
    return importlib.import_module("benchmarks.cases")


@app.command("list")
def list_cases(*, as_json: Json = False) -> None:
    """Lists the strategies and the cases in which they are measured."""
    cases = _cases()
    added = {
        name.format(strategy): provider(point)
        for group, names in cases.INSTALLED.items()
        for strategy, point in installed(group).items()
        for name in names
    }
    scales = {scale: {*names, *added} for scale, names in cases.CASES.items()}
    names = dict.fromkeys([*(name for listed in cases.CASES.values() for name in listed), *added])
    if as_json:
        rows = [
            {"name": name, "scales": [scale for scale in scales if name in scales[scale]], "from": _origin(name, added)}
            for name in names
        ]
        _print_json({"cases": rows})
        return
    table = plain()
    for heading in ("family", "strategy", *scales, "sizes", "from"):
        table.add_column(heading, justify="right" if heading in scales else "left", overflow="fold")
    strategies: dict[tuple[str, str, str], list[Case]] = {}
    for name in names:
        case = Case.parse(name)
        strategies.setdefault((case.family, case.strategy, _origin(name, added)), []).append(case)
    for (family, strategy, origin), listed in strategies.items():
        counts = (str(sum(case.name in scale for case in listed)) for scale in scales.values())
        table.add_row(family, strategy, *counts, _sizes(listed), origin)
    Console(highlight=False).print(table)


def _origin(name: str, added: dict[str, str]) -> str:
    return added.get(name, "flopline")


def _sizes(cases: list[Case]) -> str:
    """The smallest and the largest value of every axis, for example `n 64...2048, block 8...1024`."""
    axes = dict.fromkeys(axis for case in cases for axis in case.axes)
    spans = {axis: sorted({case.axes[axis] for case in cases if axis in case.axes}) for axis in axes}
    return ", ".join(f"{axis} {'...'.join(map(str, dict.fromkeys((v[0], v[-1]))))}" for axis, v in spans.items())


@app.command("data")
def show_data(
    path: Annotated[str | None, typer.Argument(help="A file, or the word surrogate; by default as everywhere.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Says which training data is in use, where it came from, its hash and its licence."""
    data = _require("flopline.data")
    try:
        table = data.resolve(path)
    except (ValueError, OSError) as error:
        _fail(str(error))
    facts = dataclasses.asdict(table.source) | {
        "examples": len(table.X),
        "features": table.X.shape[1],
        "licence": data.LICENCE,
        "attribution": data.ATTRIBUTION,
    }
    if as_json:
        _print_json(facts)
        return
    grid = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        grid.add_row(key, str(value) or "-")
    Console(highlight=False).print(grid, soft_wrap=True)


@app.command("bench", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def bench(
    context: typer.Context,
    *,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Save the record here.")] = None,
) -> None:
    """Verifies and times the suite; arguments after -- go to pytest (for example -- -k column)."""
    _require("flopline.matmul")
    import pytest  # noqa: PLC0415  # the other commands do without

    if json_file is not None and not json_file.absolute().parent.is_dir():
        _fail(f"--json {json_file}: there is no folder {json_file.absolute().parent}; make it, or give another file")
    root = suite()
    arguments = [
        *("--rootdir", str(root), "-o", f"pythonpath={root}", "-p", "no:cacheprovider", "--import-mode=importlib"),
        *("--benchmark-only", "--benchmark-quiet", "--tb=short", "-W", "default"),
        *(["--benchmark-json", str(json_file)] if json_file else []),
        str(root / "benchmarks" / "pytest_suite"),
        *context.args,
    ]
    status = pytest.main(arguments)
    raise typer.Exit(status if status in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) else 2)


def _require(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        _fail(f"this needs {error.name}, which the suite brings: pip install 'flopline[suite]'")


def _print_json(record: object) -> None:
    sys.stdout.write(json.dumps(record, indent=2) + "\n")
