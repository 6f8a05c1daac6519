"""`flopline gate show` and `join`: records that were saved before."""

from __future__ import annotations

from pathlib import Path

import typer

from flopline.cli.console import fail, showing
from flopline.cli.gate.arguments import was_given
from flopline.cli.gate.outputs import Outputs, exit_code, print_record


def show(arguments: list[str], outputs: Outputs) -> None:
    """Prints a saved record again, and writes it in the other formats that were requested."""
    from flopline.gate import storage

    if len(arguments) != 1:
        fail("gate show takes one file, a record that `flopline gate --json FILE` saved")
    file = Path(arguments[0])
    record = storage.load(file)
    outputs.refuse_unwritable(file)
    with showing(file):
        written = outputs.write(record)
        print_record(record)
    if not written:
        raise typer.Exit(2)


def refuse_options(context: typer.Context) -> None:
    """Ends the command if `join` was given an option that is for measuring."""
    for parameter in context.command.params:
        name = parameter.name or ""
        outputs = ("json_file", "markdown_file", "junit_file", "html_file")
        if was_given(context, name) and name not in outputs:
            fail(
                f"gate join measures nothing; leave {parameter.opts[0]} out, and give the files "
                "of the parts, and --json, --markdown, --junit or --html for what it shall write"
            )


def join(arguments: list[str], outputs: Outputs) -> None:
    """Gives one verdict over the saved records of all parts, and ends with its exit code."""
    from flopline.gate import parts, storage

    for argument in arguments:
        if argument.startswith("-"):
            fail(f"gate join has no option {argument}; it takes the records of all parts")
    inputs = [Path(argument) for argument in arguments]
    outputs.refuse_unwritable(*inputs)
    with showing("one of the parts"):
        # One is read at a time, because a record takes a gigabyte of memory where a suite is large.
        record = parts.join((str(file), storage.load(file)) for file in inputs)
        written = outputs.write(record)
        print_record(record)
    raise typer.Exit(exit_code(record, written=written))
