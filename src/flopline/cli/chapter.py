"""The chapter's commands: `flopline machine`, `train`, `claims`, `report`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flopline import records
from flopline.cli import child
from flopline.cli.console import (
    complain,
    fail,
    print_sheets,
    print_text,
    refuse_folder_unwritable,
    refuse_unwritable,
    require,
    show_progress,
    showing,
    stdout,
    was_written,
)
from flopline.cli.suite import suite_cases
from flopline.progress import Progress
from flopline.registry import installed
from flopline.workload import Case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flopline.bench import Bench
    from flopline.chapter.claims.assess import ClaimsRecord
    from flopline.chapter.prediction import MachineRecord
    from flopline.chapter.training import Experiment, TrainingRecord
    from flopline.progress import Report
    from flopline.records import SavedRecord

app = typer.Typer()

JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Save the record in this file.")
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="The file with the airfoil table, or the word surrogate. By default the variable "
        "FLOPLINE_DATA, the cache, a download.",
    ),
]

CHAPTER = ("gd", "sgd", "batch100", "batch10", "concise")
"""The experiments of the chapter's figure."""

SEEDS = 20
"""Runs of each experiment unless the user gives another number."""

WHOLE_PRODUCTS = ("matmul/strategy=full/n=512", "matmul/strategy=full/n=2048")
"""Products beside those of the quick suite: the ceiling should be met from n = 512 on."""


@contextlib.contextmanager
def measuring(command: str) -> Iterator[Report]:
    """Shows how far a command has come while it measures; an interrupt ends it with a message."""
    try:
        with show_progress(command) as report:
            yield report
    except KeyboardInterrupt:
        fail("interrupted; nothing was written")


@contextlib.contextmanager
def kept(record: SavedRecord, json_file: Path | None) -> Iterator[None]:
    """Saves a record where that was asked for, lets it be printed, and ends the command.

    A file that could not be written is told, and ends with exit code 2 after what was measured is
    shown.
    """
    written = json_file is None or was_written(json_file, lambda: records.save(record, json_file))
    yield
    if not written:
        raise typer.Exit(2)


@app.command("machine")
def machine(*, json_file: JsonFile = None) -> None:
    """Measure this machine's ceilings, and how much of the products' times they explain."""
    require("flopline.chapter.prediction")

    refuse_unwritable(json_file)
    with measuring("machine") as report:
        record = measure_machine(report)
    with kept(record, json_file):
        print_machine(record)


def print_machine(record: MachineRecord) -> None:
    """Prints a record of `flopline machine`; its tables are as wide as they must be."""
    from flopline.chapter import sheets

    print_sheets(*sheets.machine(record))


def measure_machine(report: Report) -> MachineRecord:
    """Measures this machine with the products of the quick suite."""
    from flopline import machine, matmul
    from flopline.chapter import prediction

    quick = [name for name in suite_cases().QUICK if name.startswith("matmul/")]
    with machine.pinned(1):
        workloads = [matmul.prepare(Case.parse(name)) for name in [*quick, *WHOLE_PRODUCTS]]
        return prediction.record_machine(workloads, report=report)


@app.command("train")
def train(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXPERIMENT]...", help="By default the chapter's five."),
    ] = None,
    *,
    strategy: Annotated[
        str | None, typer.Option(help="How an epoch is run: loader, autograd, module, ...")
    ] = None,
    minibatch: Annotated[
        int | None, typer.Option("--minibatch", "--batch", help="Examples in a minibatch.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often each is repeated.")] = SEEDS,
    every: Annotated[
        int | None, typer.Option(help="Examples between two points, by default 200.")
    ] = None,
    data: Data = None,
    json_file: JsonFile = None,
) -> None:
    """Repeat the chapter's training: loss against time, examples and updates, over seeds.

    Experiments: gd, sgd, batch100, batch10, concise; the exercises replacement, doubled, decayed.
    The options change every experiment that is named. Ctrl-C keeps the seeds that have finished.
    """
    options = {
        "strategy": strategy,
        "minibatch": minibatch,
        "lr": lr,
        "epochs": epochs,
        "every": every,
    }
    changes = {option: value for option, value in options.items() if value is not None}

    def work() -> int:
        train_and_print(names or list(CHAPTER), changes, seeds, data, json_file)
        return 0

    if strategy is None or strategy not in installed("flopline.sgd"):
        work()
        return
    # The strategy of another distribution may end its process; this one sees that.
    ending = child.run(lambda _announce: work())
    if ending.code is not None:
        raise typer.Exit(ending.code)
    if ending.signal is not None:
        fail(f"ended by {ending.signal.name}; nothing was written")
    fail(f"the strategy {strategy!r} ended the process with {ending.how}; nothing was written")


def train_and_print(
    names: list[str],
    changes: dict[str, str | int | float],
    seeds: int,
    data: str | None,
    json_file: Path | None,
) -> None:
    """Runs the named experiments with these changes; saves the record, and prints it."""
    training = require("flopline.chapter.training")
    from flopline.sgd import epochs

    refuse_unwritable(json_file)
    known = training.EXPERIMENTS
    unknown = [repr(name) for name in names if name not in known]
    if unknown:
        fail(f"there is no experiment {', '.join(unknown)}; there are {', '.join(known)}")
    if "strategy" in changes:
        epochs.refuse_left_out(str(changes["strategy"]))
    experiments = [replace(known[name], **changes) for name in dict.fromkeys(names)]
    with measuring("train") as report:
        record = measure_training(experiments, seeds, data, report)
    with kept(record, json_file):
        print_training(record)
    finished = len(record.experiments[0].runs)
    if finished < seeds:
        complain(f"interrupted: {finished} of {seeds} seeds finished and are kept")


def print_training(record: TrainingRecord) -> None:
    """Prints a record of `flopline train`; its table is as wide as it must be."""
    from flopline.chapter import sheets

    print_sheets(sheets.training(record))


def measure_training(
    experiments: list[Experiment], seeds: int, data: str | None, report: Report
) -> TrainingRecord:
    """Runs experiments with the seeds 0, 1, ... on one thread."""
    from flopline.chapter import training
    from flopline.data import resolve

    return training.record_training(experiments, resolve(data), range(seeds), report=report)


@app.command("claims")
def claims(
    *,
    only: Annotated[
        str, typer.Option(metavar="C9,C21", help="Assess these claims. By default all of them.")
    ] = "",
    data: Data = None,
    json_file: JsonFile = None,
) -> None:
    """Measure every claim of the chapter on this machine, and show which hold."""
    require("flopline.chapter.claims.assess")

    refuse_unwritable(json_file)
    with measuring("claims") as report:
        record = measure_claims(only, data, report)
    with kept(record, json_file):
        print_claims(record)


def print_claims(record: ClaimsRecord) -> None:
    """Prints a record of `flopline claims`, at least 100 columns wide."""
    from flopline.chapter import sheets

    print_sheets(sheets.claims(record), width=max(100, stdout().width))


def measure_claims(only: str, data: str | None, report: Report) -> ClaimsRecord:
    """Assesses the claims in a comma-separated list; all of them for an empty one."""
    from flopline.chapter.claims.assess import assess, select
    from flopline.data import resolve

    return assess(select(only), resolve(data), report=report)


@app.command("report")
def report_page(
    page: Annotated[Path, typer.Argument(metavar="[FILE]", help="The page to write.")] = Path(
        "flopline.html"
    ),
    *,
    bench: Annotated[
        Path | None, typer.Option(metavar="JSON", help="The file that `bench --json` saved.")
    ] = None,
    train: Annotated[
        Path | None, typer.Option(metavar="JSON", help="The file that `train --json` saved.")
    ] = None,
    claims: Annotated[
        Path | None, typer.Option(metavar="JSON", help="The file that `claims --json` saved.")
    ] = None,
    machine: Annotated[
        Path | None, typer.Option(metavar="JSON", help="The file that `machine --json` saved.")
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Save the pictures in this folder too, as SVG and PNG."),
    ] = None,
    data: Data = None,
) -> None:
    """Write one HTML page with every picture, from saved records.

    What is not given is measured, which takes minutes.
    """
    require("flopline.chapter.claims.assess")
    try:
        from flopline.chapter import page as chapter_page
    except ModuleNotFoundError as error:
        fail(f"the page needs {error.name}: pip install 'flopline[suite,report]'")
    from flopline import bench as benches
    from flopline.chapter.claims.assess import ClaimsRecord
    from flopline.chapter.prediction import MachineRecord
    from flopline.chapter.training import EXPERIMENTS, TrainingRecord
    from flopline.data import resolve

    refuse_unwritable(page, inputs=[bench, train, claims, machine])
    if figures is not None:
        refuse_folder_unwritable(figures)
    with measuring("report") as report:
        # Files are read before anything is measured, so that a wrong one is reported at once.
        timed = benches.load(bench) if bench else None
        trained = records.load(train, TrainingRecord) if train else None
        assessed = records.load(claims, ClaimsRecord) if claims else None
        examined = records.load(machine, MachineRecord) if machine else None
        given = {"bench": timed, "train": trained, "claims": assessed, "machine": examined}
        chapter_page.check({name: record for name, record in given.items() if record is not None})
        if data is not None or None in (timed, trained, assessed):
            resolve(data)

        if timed is None:
            timed = measure_bench(data, report)
        if trained is None:
            experiments = [EXPERIMENTS[name] for name in CHAPTER]
            trained = measure_training(experiments, SEEDS, data, report)
        if assessed is None:
            assessed = measure_claims("", data, report)
        if examined is None:
            examined = measure_machine(report)
        report(Progress("drawing"))
        shown = chapter_page.ChapterRecords(timed, trained, assessed, examined)
        with showing("a record that was given"):
            chapter_page.write(shown, page, figures)
    print_text(f"wrote {page}\n")


def measure_bench(data: str | None, report: Report) -> Bench:
    """Runs `flopline bench` and reads what it saved."""
    from flopline import bench

    report(Progress("measuring the suite"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.json"
        command = [sys.executable, "-m", "flopline", "bench", "--json", str(path)]
        if data:
            command += ["--", "--flopline-data", data]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not path.is_file():
            fail(
                f"`flopline bench` ended with {done.returncode}:\n"
                f"{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return bench.load(path)
