"""What every command shares: how it ends with a message, prints, and shows its progress."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from flopline.sheet import UNLIMITED, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from flopline.progress import Progress, Report
    from flopline.sheet import Sheet

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
"""The option of commands that can print their result for programs."""

LOG_WIDTH = 120
"""Columns that are used where stdout is not a terminal.

Wide enough that names of benchmarks are not wrapped, so that logs can be searched for them.
"""


def complain(message: str) -> None:
    """Prints a line on stderr that begins with the program's name.

    So it is not mistaken for the output of a program that flopline started.
    """
    Console(stderr=True, soft_wrap=True).print(
        f"flopline: {message}", markup=False, highlight=False
    )


def fail(message: str) -> NoReturn:
    """Ends the command with a message on stderr and exit code 2: it could not do its work."""
    complain(message)
    raise typer.Exit(2)


def stdout() -> Console:
    """Returns a console on stdout, as wide as the terminal or COLUMNS says, otherwise as a log."""
    knows_its_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if knows_its_width else LOG_WIDTH, highlight=False)


def print_text(text: str) -> None:
    """Prints a text as it is; it ends with its own line end."""
    sys.stdout.write(text)


def print_sheets(*sheets: Sheet, width: int = UNLIMITED) -> None:
    """Prints sheets with an empty line between them."""
    print_text("\n".join(to_text(shown, width) for shown in sheets))


def print_json(value: object) -> None:
    """Prints a value as indented JSON."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def refuse_unwritable(*paths: Path | None) -> None:
    """Refuses output files that could not be written, before anything is measured."""
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            fail(f"{path} cannot be written because it is a folder; give the name of a file")
        if not path.absolute().parent.is_dir():
            fail(f"{path} cannot be written because its folder does not exist; make it first")


def require(module: str) -> ModuleType:
    """Imports a module that needs the suite's dependencies; ends the command without them."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        fail(f"this needs {error.name}, which the suite brings: pip install 'flopline[suite]'")


@contextlib.contextmanager
def show_progress(command: str) -> Iterator[Report]:
    """Gives a function that shows on stderr where a long command is.

    On a terminal that is one line, always the newest. Elsewhere every new stage and step is a line
    of the log; what is at work inside a step is left out there.

    Args:
        command: The command's name, which begins every line of a log.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status("starting") as status:
            yield lambda progress: status.update(escape(_line(progress) + f"  {progress.detail}"))
        return
    last = ""

    def log(progress: Progress) -> None:
        nonlocal last
        line = _line(progress)
        if line != last:
            last = line
            text = f"flopline {command}: {line}"
            console.print(text, markup=False, highlight=False, soft_wrap=True)

    yield log


def _line(progress: Progress) -> str:
    line = progress.stage
    if progress.of:
        line += f", {progress.done + 1} of {progress.of}"
    if progress.seconds_left is not None:
        line += f", {progress.seconds_left:.0f} s left"
    return line
