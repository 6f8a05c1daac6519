"""`flopline gate --bisect`: exit codes that `git bisect run` wants."""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING, Any

import typer

from flopline import FloplineError
from flopline.cli.console import complain
from flopline.cli.gate.arguments import GateCommand
from flopline.gate.record import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flopline.gate.record import GateRecord

UNTESTABLE = 125
"""The exit code that tells `git bisect run` to go on with another commit."""
STOP = 128
"""The exit code that tells `git bisect run` to stop, because no commit can be judged like this."""


@contextlib.contextmanager
def _for_git_bisect() -> Iterator[None]:
    """Stops the whole search where the gate could not work for a reason that is no commit's.

    To git any other code that is not 0 would mean that the commit is to blame: also that of a
    mistyped option, or of Ctrl-C.
    """
    try:
        yield
    except typer.Exit as end:
        code = STOP if end.exit_code == ExitCode.COULD_NOT_WORK else end.exit_code
        raise typer.Exit(code) from end
    except (KeyboardInterrupt, FloplineError, OSError) as error:
        complain(str(error) or "interrupted")
        raise typer.Exit(STOP) from error
    except Exception as error:
        if hasattr(error, "exit_code"):  # a wrong use of the command line, which typer tells
            error.exit_code = STOP
            raise
        complain(f"a defect of flopline's\n{traceback.format_exc()}")
        raise typer.Exit(STOP) from error


@contextlib.contextmanager
def of_this_commit() -> Iterator[None]:
    """Lets a search by git go on with another commit where this one cannot be measured."""
    from flopline.gate.measure.handle import WorkerError
    from flopline.gate.run import GateError
    from flopline.gate.sides.build import BuildError

    try:
        yield
    except (BuildError, GateError, WorkerError) as error:
        complain(str(error))
        raise typer.Exit(UNTESTABLE) from error


class BisectableCommand(GateCommand):
    """`flopline gate`, whose exit codes are those that `git bisect run` wants with `--bisect`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # as Commands.invoke
        """Reads the arguments; to a search by git, a wrong one is no commit's fault."""
        own = args[: args.index("--")] if "--" in args else args
        with _for_git_bisect() if "--bisect" in own else contextlib.nullcontext():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # as Commands.invoke
        """Runs the gate."""
        with _for_git_bisect() if ctx.params["bisect"] else contextlib.nullcontext():
            return super().invoke(ctx)


def bisect_code(record: GateRecord, code: int) -> int:
    """Returns the exit code for `git bisect run`, in place of a record's own.

    What could not be decided or measured says nothing about the commit, and a regression is one
    whatever settings let it pass. A run that broke off, and one whose files could not be written,
    stop the search.
    """
    from flopline.gate.run import BROKEN

    if record.result.startswith(BROKEN) or code != record.exit_code:
        return STOP
    undecided = (ExitCode.COULD_NOT_WORK, ExitCode.UNDECIDED)
    return UNTESTABLE if record.found in undecided else record.found
