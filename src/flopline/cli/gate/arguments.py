"""What the command line of `flopline gate` says, and what the project's configuration adds."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from flopline.gate import configuration
from flopline.gate.configuration import Configuration
from flopline.gate.sides.place import Place

if TYPE_CHECKING:
    import typer


class GateCommand(TyperCommand):
    """`flopline gate`, which knows which of its arguments are pytest's because -- stands before.

    What the command line does not say, the project's configuration does.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # as Commands.invoke
        """Notes how many arguments come after the --, which is itself no longer there later.

        The folder may be left out after --asv, which options of typer do not allow otherwise.
        """
        for place, (argument, following) in enumerate(itertools.pairwise([*args, "--"])):
            if argument == "--":
                break
            if argument == "--asv" and following.startswith("-"):
                args[place] = "--asv="
        after = args[args.index("--") + 1 :] if "--" in args else []
        ctx.meta[AFTER] = len(after)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401  # as Commands.invoke
        """Runs the command with the options of the project's configuration that were not given."""
        ctx.meta[CONFIGURED] = Configuration()
        if not reads_records(ctx):
            configured = ctx.meta[CONFIGURED] = configuration.read(Place.here())
            for parameter in self.params:
                key = parameter.opts[0].removeprefix("--")
                if key in configured.options and not was_given(ctx, parameter.name):
                    ctx.params[parameter.name] = configured.options[key]
        return super().invoke(ctx)


AFTER = "flopline.gate.after"
"""The name under which the context of a command has the number of arguments after the --."""
CONFIGURED = "flopline.gate.configured"
"""The name under which it has the project's configuration."""


def before_dashes(context: typer.Context) -> list[str]:
    """Returns the arguments without an option that stand before the --."""
    return context.args[: len(context.args) - context.meta[AFTER]]


def reads_records(context: typer.Context) -> bool:
    """Returns whether the command is `show` or `join`, which compare nothing themselves."""
    first = before_dashes(context)[:1]
    versions = ("baseline", "baseline_python", "candidate_python")
    compares = any(context.params[name] for name in versions)
    return first == ["show"] or (first == ["join"] and not compares)


def was_given(context: typer.Context, name: str) -> bool:
    """Returns whether the command line has the option of a parameter."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
