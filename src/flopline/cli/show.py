"""`flopline show`: any saved record, printed as the command that wrote it prints it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flopline import records
from flopline.cli.console import fail, print_sheets, require, stdout
from flopline.cli.gate import print_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from flopline.sheet import Sheet

app = typer.Typer()


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A record saved with --json.")],
) -> None:
    """Print a saved record of gate, bench, machine, train or claims again."""
    kind = records.kind_of(file)
    if kind == "gate":
        from flopline.gate import storage

        print_record(storage.load(file))
        return
    if kind not in SHEETS:
        kinds = ", ".join(["gate", *SHEETS])
        fail(f"{file} is a record of `flopline {kind}`; flopline shows records of {kinds}")
    print_sheets(*SHEETS[kind](file), width=stdout().width)


def bench_sheets(file: Path) -> list[Sheet]:
    """Returns the tables of what `flopline bench --json` saved, one for each family."""
    from flopline import bench

    return bench.sheets(bench.load(file).rows)


def machine_sheets(file: Path) -> list[Sheet]:
    """Returns the tables of what `flopline machine --json` saved."""
    require("flopline.chapter.prediction")
    from flopline.chapter import sheets
    from flopline.chapter.prediction import MachineRecord

    return list(sheets.machine(records.load(file, MachineRecord)))


def training_sheets(file: Path) -> list[Sheet]:
    """Returns the table of what `flopline train --json` saved."""
    require("flopline.chapter.training")
    from flopline.chapter import sheets
    from flopline.chapter.training import TrainingRecord

    return [sheets.training(records.load(file, TrainingRecord))]


def claims_sheets(file: Path) -> list[Sheet]:
    """Returns the table of what `flopline claims --json` saved."""
    require("flopline.chapter.claims.assess")
    from flopline.chapter import sheets
    from flopline.chapter.claims.assess import ClaimsRecord

    return [sheets.claims(records.load(file, ClaimsRecord))]


SHEETS: dict[str, Callable[[Path], list[Sheet]]] = {
    "bench": bench_sheets,
    "machine": machine_sheets,
    "train": training_sheets,
    "claims": claims_sheets,
}
"""The tables of a saved record, by its kind."""
