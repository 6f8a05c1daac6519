"""What every command shares: how it ends with a message, prints JSON, and finds the suite and what it needs."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from types import ModuleType

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def fail(message: str) -> NoReturn:
    """Ends the command with exit code 2 and a line on stderr."""
    Console(stderr=True, soft_wrap=True).print(
        f"flopline: {message}", markup=False, highlight=False
    )
    raise typer.Exit(2)


LOG = 120
"""Columns of a log, which does not say how wide it is: a benchmark's name that is broken cannot be searched for."""


def stdout() -> Console:
    """A console on stdout, as wide as the terminal or COLUMNS says, else as a log."""
    told = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if told else LOG, highlight=False)


def writable(*paths: Path | None) -> None:
    """Refuses files that could not be written, before anything is measured."""
    for path in paths:
        if path is not None and (path.is_dir() or not path.absolute().parent.is_dir()):
            fail(f"{path} cannot be written: it is a folder, or its folder does not exist")


def suite() -> Path:
    """The folder that holds `benchmarks/`: the current checkout's, or the one that came with the package.

    Raises:
        typer.Exit: There is neither; with code 2.
    """
    package = Path(__file__).parents[1]
    for folder in (Path.cwd(), package / "suite", package.parents[1]):
        if (folder / "benchmarks" / "cases.py").is_file():
            return folder
    fail(
        "no suite here: run this in a checkout of flopline, or install the package, which brings its own"
    )


def suite_cases() -> ModuleType:
    """The suite's list of cases."""
    sys.path.insert(0, str(suite()))
    return importlib.import_module("benchmarks.cases")


def require(module: str) -> ModuleType:
    """A module that needs the suite's dependencies; without them the command ends."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        fail(f"this needs {error.name}, which the suite brings: pip install 'flopline[suite]'")


def print_json(record: object) -> None:
    """Prints a value as indented JSON."""
    sys.stdout.write(json.dumps(record, indent=2) + "\n")
