"""What every command shares: how it ends with a message, prints, and shows its progress."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from flopline import FloplineError, files
from flopline.characters import visible, visible_text
from flopline.sheet import UNLIMITED, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
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
    """Prints a message on stderr that begins with the program's name.

    So it is not mistaken for the output of a program that flopline started. The message may quote a
    file or another program: whatever in it would steer a terminal is spelled out.
    """
    text = visible_text("\n".join(message.splitlines()))
    Console(stderr=True, soft_wrap=True).print(f"flopline: {text}", markup=False, highlight=False)


def fail(message: str) -> NoReturn:
    """Ends the command with a message on stderr and exit code 2: it could not do its work."""
    complain(message)
    raise typer.Exit(2)


def stdout() -> Console:
    """Returns a console on stdout, as wide as the terminal or COLUMNS says, otherwise as a log."""
    knows_its_width = sys.stdout.isatty() or "COLUMNS" in os.environ
    width = None if knows_its_width else LOG_WIDTH
    return Console(width=width, highlight=False, color_system=_colours())


def _colours() -> Literal["auto"] | None:
    """Returns which colours a console may show: none, not even bold text, with NO_COLOR."""
    return None if os.environ.get("NO_COLOR") else "auto"


def shows_colour(console: Console) -> bool:
    """Returns whether a console takes colour codes; NO_COLOR and TERM=dumb say that it does not."""
    return console.color_system is not None and not console.no_color


@contextlib.contextmanager
def showing(file: Path | str) -> Iterator[None]:
    """Ends the command with a message if a saved record has values that cannot be shown.

    A record of the right form may still hold what no measurement gives, for example a time of 0.

    Args:
        file: Where the record came from, for the message.
    """
    try:
        yield
    except FloplineError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        fail(
            f"{file} holds values that no measurement gives, so that it cannot be shown "
            f"({type(error).__name__}: {error}); measure again"
        )


def print_text(text: str) -> None:
    """Prints a text, which ends with its own line end.

    Whatever in it would steer a terminal is spelled out.
    """
    print_coloured(visible_text(text))


def print_coloured(text: str) -> None:
    """Prints a text with its colour codes, in which everything else is known to be printable."""
    sys.stdout.write(text)


def print_sheets(*sheets: Sheet, width: int = UNLIMITED) -> None:
    """Prints sheets with an empty line between them."""
    print_text("\n".join(to_text(shown, width) for shown in sheets))


def print_json(value: object) -> None:
    """Prints a value as indented JSON."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def refuse_unwritable(*paths: Path | None, inputs: Sequence[Path | None] = ()) -> None:
    """Refuses output files that could not be written, before anything is measured.

    Args:
        paths: The files that were asked for.
        inputs: Files that the command reads, none of which may be written over.
    """
    given = [path for path in paths if path is not None]
    read = [path for path in inputs if path is not None]
    try:
        for path in given:
            files.demand_writable(path)
        files.demand_distinct(given, read)
    except OSError as error:
        fail(str(error))


def refuse_folder_unwritable(folder: Path) -> None:
    """Refuses a folder in which no file could be made."""
    if not folder.is_dir():
        fail(f"{folder}: there is no such folder; make it first")
    try:
        files.demand_writable(folder / "picture")
    except OSError as error:
        fail(str(error))


def was_written(path: Path, write: Callable[[], object]) -> bool:
    """Writes one of the files that were asked for; a failure is told, and costs nothing else.

    Args:
        path: The file.
        write: Writes it.
    """
    try:
        write()
    except OSError as error:
        complain(
            f"{path} could not be written ({error.strerror or error}); what was there before is "
            "kept"
        )
        return False
    return True


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
    console = Console(stderr=True, color_system=_colours())
    # FORCE_COLOR makes rich take a log for a terminal; a line that changes is of no use there.
    if console.is_terminal and sys.stderr.isatty() and not console.is_dumb_terminal:
        with console.status("starting") as status:
            yield lambda progress: status.update(escape(_newest(progress)))
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


def _newest(progress: Progress) -> str:
    """Returns the line of a terminal, with what is at work."""
    return f"{_line(progress)}  {visible(progress.detail)}"


def _line(progress: Progress) -> str:
    line = visible(progress.stage)
    if progress.of:
        line += f", {progress.done + 1} of {progress.of}"
    if progress.seconds_left is not None:
        line += f", {progress.seconds_left:.0f} s left"
    return line
