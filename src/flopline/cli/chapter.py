"""The chapter's commands: `flopline machine`, `train`, `claims`, `report`."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from flopline import __version__, records
from flopline.cli.console import fail, refuse_unwritable, require, stdout
from flopline.cli.suite import suite_cases
from flopline.registry import UnknownStrategyError
from flopline.workload import Case, WrongAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flopline.bench import Bench
    from flopline.chapter.prediction import Machine
    from flopline.chapter.training import Experiment, Training
    from flopline.data import Table
    from flopline.progress import Report

app = typer.Typer()

JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Save the record here.")
]
Data = Annotated[
    str | None,
    typer.Option("--data", metavar="PATH", help="The airfoil table, or the word surrogate."),
]

CHAPTER = ("gd", "sgd", "batch100", "batch10", "concise")

SEEDS = 20

EXTRA = ("matmul/strategy=full/n=512", "matmul/strategy=full/n=2048")
"""Whole products beside those of the quick suite: the ceiling should be met from n = 512 on."""


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """A bar on stderr, told what is at work and the share of the work that is done; silent where that is no terminal.

    What the chapter's rooms refuse ends the command with a message.
    """
    from flopline.chapter.training import ExperimentError

    console = Console(stderr=True)
    columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    try:
        with Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as bars:
            task = bars.add_task("starting", total=1.0)
            yield lambda name, share: bars.update(task, description=escape(name), completed=share)
    except (
        UnknownStrategyError,
        WrongAnswerError,
        ExperimentError,
        records.RecordError,
        OSError,
    ) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted; nothing was written")


def detailed(show: Callable[[str, float], None]) -> Report:
    """Returns a report of progress that shows the detail and the share of the steps done."""
    return lambda now: show(now.detail, now.done / now.of)


@app.command("machine")
def machine(*, json_file: JsonFile = None) -> None:
    """Measures this machine's ceilings, and how much of the products' times they explain."""
    require("flopline.chapter.prediction")
    from flopline.chapter import sheets as tables

    refuse_unwritable(json_file)
    with progress() as report:
        found = measure_machine(report)
    if json_file:
        records.save(found, json_file)
    tables.show(tables.machine(found))


def measure_machine(report: Callable[[str, float], None]) -> Machine:
    """Examines this machine with the products of the quick suite."""
    from flopline import machine, matmul
    from flopline.chapter import prediction

    names = [*(name for name in suite_cases().QUICK if name.startswith("matmul/")), *EXTRA]
    with machine.pinned(1):
        workloads = [matmul.prepare(Case.parse(name)) for name in names]
        return prediction.examine(workloads, report=report)


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
    batch: Annotated[int | None, typer.Option(help="Examples in a minibatch.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often each is repeated.")] = SEEDS,
    every: Annotated[int | None, typer.Option(help="Examples between two points (200).")] = None,
    data: Data = None,
    json_file: JsonFile = None,
) -> None:
    """Repeats the chapter's training: loss against time, examples and updates, over seeds.

    Experiments: gd, sgd, batch100, batch10, concise; the exercises replacement, doubled, decayed. The options change
    every experiment that is named. Ctrl-C keeps the seeds that have finished.
    """
    training = require("flopline.chapter.training")
    from flopline.chapter import sheets as tables

    refuse_unwritable(json_file)
    known = training.EXPERIMENTS
    names = names or list(CHAPTER)
    if unknown := [name for name in names if name not in known]:
        fail(f"no experiment {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
    asked = {"strategy": strategy, "batch": batch, "lr": lr, "epochs": epochs, "every": every}
    changes = {option: value for option, value in asked.items() if value is not None}
    chosen = [replace(known[name], **changes) for name in dict.fromkeys(names)]
    with progress() as report:
        found = measure_training(chosen, seeds, data, report)
    if json_file:
        records.save(found, json_file)
    done = len(found.experiments[0].runs)
    tables.show(tables.training(found))
    if done < seeds:
        Console(stderr=True).print(
            f"interrupted: {done} of {seeds} seeds finished and are kept", highlight=False
        )


def measure_training(
    chosen: list[Experiment], seeds: int, data: str | None, report: Callable[[str, float], None]
) -> Training:
    """Runs experiments with seeds 0, 1, ... on one thread."""
    from flopline import machine
    from flopline.chapter import training

    table = load_table(data)
    begin, started = time.perf_counter(), records.now()
    with machine.pinned(1):
        found = training.train(chosen, table, range(seeds), report=report)
    return training.Training(
        machine=machine.describe(),
        threads=1,
        started=started,
        seconds=time.perf_counter() - begin,
        flopline=__version__,
        problem=training.problem(table),
        experiments=found,
    )


def load_table(path: str | None) -> Table:
    """The training set, as everywhere."""
    from flopline import data

    try:
        return data.resolve(path)
    except (ValueError, OSError) as error:
        fail(str(error))


@app.command("claims")
def claims(
    *,
    only: Annotated[str, typer.Option(metavar="C9,C21", help="These claims; by default all.")] = "",
    data: Data = None,
    json_file: JsonFile = None,
) -> None:
    """Measures every claim of the chapter on this machine, and says which hold."""
    require("flopline.chapter.claims.assess")
    from flopline.chapter import sheets as tables
    from flopline.chapter.claims import assess

    refuse_unwritable(json_file)
    try:
        ids = assess.select(only)
    except assess.UnknownClaimError as error:
        fail(str(error))
    with progress() as report:
        found = assess.assess(ids, load_table(data), report=detailed(report))
    if json_file:
        records.save(found, json_file)
    tables.show(tables.claims(found, stdout().width))


@app.command("report")
def report_page(
    page: Annotated[Path, typer.Argument(metavar="[FILE]", help="The page.")] = Path(
        "flopline.html"
    ),
    *,
    bench: Annotated[
        Path | None, typer.Option(metavar="JSON", help="As `flopline bench --json` saved it.")
    ] = None,
    train: Annotated[
        Path | None, typer.Option(metavar="JSON", help="As `flopline train --json` saved it.")
    ] = None,
    claims: Annotated[
        Path | None, typer.Option(metavar="JSON", help="As `flopline claims --json` saved it.")
    ] = None,
    machine: Annotated[
        Path | None, typer.Option(metavar="JSON", help="As `flopline machine --json` saved it.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Save the pictures here too, SVG and PNG.")
    ] = None,
    data: Data = None,
) -> None:
    """Writes one HTML page with every picture, from saved records; what is missing is measured (minutes)."""
    require("flopline.chapter.claims.assess")
    try:
        from flopline.chapter import page as report
    except ModuleNotFoundError as error:
        fail(f"the page needs {error.name}: pip install 'flopline[suite,report]'")
    from flopline import bench as benches
    from flopline.chapter.claims import assess
    from flopline.chapter.prediction import Machine
    from flopline.chapter.training import EXPERIMENTS, Training

    refuse_unwritable(page)
    if figures is not None and not figures.is_dir():
        fail(f"--figures {figures}: there is no such folder; make it first")
    with progress() as show:
        # What is given is read before anything is measured: a wrong file is told at once.
        timed = benches.load(bench) if bench else None
        trained = records.load(train, Training) if train else None
        judged = records.load(claims, assess.ClaimsRecord) if claims else None
        examined = records.load(machine, Machine) if machine else None
        given = {"bench": timed, "train": trained, "claims": judged, "machine": examined}
        report.check({name: record for name, record in given.items() if record is not None})
        found = report.Records(
            bench=timed or measure_bench(data, show),
            training=trained
            or measure_training([EXPERIMENTS[name] for name in CHAPTER], SEEDS, data, show),
            claims=judged
            or assess.assess(assess.select(""), load_table(data), report=detailed(show)),
            machine=examined or measure_machine(show),
        )
        show("drawing", 1.0)
        report.write(found, page, figures)
    Console(highlight=False).print(f"wrote {page}", soft_wrap=True)


def measure_bench(data: str | None, report: Callable[[str, float], None]) -> Bench:
    """Runs `flopline bench` and reads what it saved."""
    from flopline import bench

    report("the suite", 0.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.json"
        options = ["--flopline-data", data] if data else []
        command = [sys.executable, "-m", "flopline", "bench", "--json", str(path), "--", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not path.is_file():
            fail(
                f"`flopline bench` ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            )
        return bench.load(path)
