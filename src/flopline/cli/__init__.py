"""The command line: the only package that prints and exits, with a module for each group.

A new command is a function in the module of its group. A new group is a module with an `app`, which
is added below. If a command saves a record, `show.SHEETS` says how it is printed again.

Exit codes: 0 done; 1 a strategy was refused, a benchmark failed or a regression was confirmed;
2 the command could not do its work; 3 the gate could not decide.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flopline import FloplineError, __version__
from flopline.cli import chapter, ci, gate, history, show, suite
from flopline.cli.console import complain, fail, print_text
from flopline.cli.gate.bisect import STOP
from flopline.cli.streams import tolerant
from flopline.gate.signals import INTERRUPTED, end_in_order


class Commands(TyperGroup):
    """The commands; an interruption ends each of them with a message."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # its type depends on the version of typer
        """Runs the command that was asked for."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            fail("interrupted")


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for group in (suite, gate, chapter, show):
    app.add_typer(group.app)
app.add_typer(history.app, name="history")
app.add_typer(ci.app, name="ci")


@tolerant()
def main() -> None:
    """Runs the command line.

    What flopline or the operating system refuses ends with a message and exit code 2. A defect of
    flopline itself also ends with exit code 2, after a traceback, because Python's own exit code
    for it would be 1, which means a regression. The same holds for a signal that asks to end,
    wherever it arrives.
    """
    interruption = end_in_order()
    try:
        app()
    except SystemExit as end:
        if interruption.arrived and end.code != STOP:
            sys.exit(INTERRUPTED)
        raise
    except KeyboardInterrupt:
        complain("interrupted")
        sys.exit(INTERRUPTED)
    except (FloplineError, OSError) as error:
        complain(str(error))
        sys.exit(2)
    except Exception:
        if not interruption.arrived:
            complain(f"a defect of flopline's\n{traceback.format_exc()}")
        sys.exit(2)


@app.callback(invoke_without_command=True)
def flopline(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    """Measure, remember and guard the performance of numerical code."""
    try:
        os.getcwd()  # noqa: PTH109  # only to see whether there is one
    except OSError:
        fail("the folder in which this was started is no longer there; change to another one")
    if version:
        print_text(f"flopline {__version__}\n")
