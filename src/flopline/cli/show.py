"""`flopline show`: any saved record, printed as the command that wrote it prints it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flopline import records
from flopline.cli import chapter
from flopline.cli.console import fail, print_sheets, require, showing, stdout
from flopline.cli.gate.outputs import print_record

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer()


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A record saved with --json.")],
) -> None:
    """Print a saved record of gate, bench, machine, train or claims again."""
    kind = records.kind_of(file)
    if kind == "gate":
        from flopline.gate import storage

        record = storage.load(file)
        with showing(file):
            print_record(record)
        return
    if kind not in PRINTERS:
        kinds = ", ".join(["gate", *PRINTERS])
        fail(f"{file} is a record of `flopline {kind}`; flopline shows records of {kinds}")
    with showing(file):
        PRINTERS[kind](file)


def print_bench(file: Path) -> None:
    """Prints what `flopline bench --json` saved, a table for each family."""
    from flopline import bench

    print_sheets(*bench.sheets(bench.load(file).rows), width=stdout().width)


def print_machine(file: Path) -> None:
    """Prints what `flopline machine --json` saved."""
    prediction = require("flopline.chapter.prediction")
    chapter.print_machine(records.load(file, prediction.MachineRecord))


def print_training(file: Path) -> None:
    """Prints what `flopline train --json` saved."""
    training = require("flopline.chapter.training")
    chapter.print_training(records.load(file, training.TrainingRecord))


def print_claims(file: Path) -> None:
    """Prints what `flopline claims --json` saved."""
    assess = require("flopline.chapter.claims.assess")
    chapter.print_claims(records.load(file, assess.ClaimsRecord))


PRINTERS: dict[str, Callable[[Path], None]] = {
    "bench": print_bench,
    "machine": print_machine,
    "train": print_training,
    "claims": print_claims,
}
"""How a saved record is printed, by its kind."""
