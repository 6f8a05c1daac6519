"""Records as sheets: the same rows in the terminal and on the page."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from flopline import units
from flopline.chapter.claims.evidence import ANSWERS
from flopline.chapter.training import LOSS_DISTANCES
from flopline.sheet import Column, Sheet, columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.chapter.claims.assess import ClaimsRecord
    from flopline.chapter.claims.evidence import Quantity
    from flopline.chapter.prediction import MachineRecord, Prediction
    from flopline.chapter.training import ExperimentResult, TrainingRecord


def machine(record: MachineRecord) -> tuple[Sheet, ...]:
    """Returns the sheets of `flopline machine`."""
    return ceilings(record), narrow_products(record), predictions(record)


def facts(record: MachineRecord) -> Sheet:
    """Returns what is known of the machine; its caches are one fact."""
    rows = []
    for name, value in record.machine.items():
        text = str(value)
        if isinstance(value, dict):
            text = ", ".join(f"{key} {size}" for key, size in value.items())
        rows.append((name, text))
    return Sheet("facts", columns(words=("what", "here")), tuple(rows))


def ceilings(record: MachineRecord) -> Sheet:
    """Returns what the machine can do at best."""
    best = record.ceilings
    reads = [(f"read, {level.name}", f"{level.read / 1e9:.1f} GB/s") for level in best.levels]
    return Sheet(
        title=f"ceilings, threads {record.threads}",
        columns=columns(words=("what",), numbers=("best",)),
        rows=(
            ("product, float32", f"{best.flops / 1e9:.1f} GFLOPS"),
            *reads,
            ("copy, memory", f"{best.copy / 1e9:.1f} GB/s"),
            ("framework call", units.duration(best.dispatch)),
        ),
    )


def narrow_products(record: MachineRecord) -> Sheet:
    """Returns the rates of products with few rows, and with few columns."""
    rows = []
    for by_rows, by_columns in zip(record.ceilings.rows, record.ceilings.columns, strict=True):
        rates = f"{by_rows.flops / 1e9:.1f}", f"{by_columns.flops / 1e9:.1f}"
        rows.append((str(by_rows.width), *rates))
    return Sheet(
        title="products by their width",
        columns=(Column("width", "left"), Column("rows, GFLOPS"), Column("columns, GFLOPS")),
        rows=tuple(rows),
        notes=("width: the number of rows, or of columns, of the result",),
    )


LOWEST, HIGHEST = 0.5, 1.5
"""The range of predicted over measured time outside of which a row is marked."""

PREDICTION_LEGEND = (
    "level: the smallest level of memory that holds what one call asks for",
    "as narrow: GFLOPS of products with as few rows, or as few columns, whichever are lower",
    "predicted: max(flops / as narrow, bytes / read) + calls x overhead",
    "in that formula, read is the level's rate and overhead what a call costs on tiny operands",
    f"explained: predicted over measured; ! marks what is outside {LOWEST:g} to {HIGHEST:g}",
    "of peak: the share of the fastest product's rate that is reached",
    "of roof: max(flops / peak, bytes / read) over measured",
    "overhead: the share of the time that calls cost",
)
"""What the columns of `predictions` mean."""


def predictions(record: MachineRecord) -> Sheet:
    """Returns the predicted and measured times of products."""
    numbers = (
        "calls",
        "level",
        "as narrow",
        "predicted",
        "measured",
        "explained",
        "GFLOPS",
        "of peak",
        "of roof",
        "overhead",
    )
    return Sheet(
        title="predicted and measured times",
        columns=columns(words=("case",), numbers=numbers),
        rows=tuple(_prediction(prediction) for prediction in record.cases),
        notes=PREDICTION_LEGEND,
    )


def _prediction(prediction: Prediction) -> tuple[str, ...]:
    explained = f"{prediction.explained:.2f}"
    if not LOWEST <= prediction.explained <= HIGHEST:
        explained += " !"
    return (
        prediction.case.removeprefix("matmul/strategy="),
        str(prediction.calls),
        prediction.level,
        f"{prediction.as_narrow / 1e9:.1f}",
        units.duration(prediction.predicted),
        units.duration(prediction.seconds),
        explained,
        f"{units.gflops(prediction.flops, prediction.seconds):.3g}",
        f"{prediction.of_peak:.3f}",
        f"{prediction.of_roof:.3f}",
        f"{prediction.overhead_share:.0%}",
    )


def training(record: TrainingRecord) -> Sheet:
    """Returns losses, seconds per epoch and times to a loss, over seeds."""
    loss = record.loss
    seeds = len(record.experiments[0].runs) if record.experiments else 0
    numbers = ["minibatch", "lr", "epochs", "updates", "final loss", "sd", "s/epoch", "IQR"]
    numbers += [f"to L*+{distance:.0%}" for distance in LOSS_DISTANCES]
    facts = (
        f"L* = {loss.minimum:.7f}, L(0) = {loss.at_zero:.7f}, data {loss.source}, "
        f"threads {record.threads}"
    )
    diverged = [result for result in record.experiments if result.diverged]
    return Sheet(
        title=f"training, {seeds} seeds",
        columns=columns(words=("experiment", "strategy"), numbers=tuple(numbers)),
        rows=tuple(_experiment(result, loss.minimum) for result in record.experiments),
        notes=(
            facts,
            "final loss, sd: mean and standard deviation over seeds",
            "s/epoch, IQR: median seconds of an epoch, and their interquartile range over it",
            "to L*+1%: median seconds until the loss is at most 1 % above the minimum L*",
            "(k): only k seeds got there",
            *(f"{result.experiment.name} {result.diverged}" for result in diverged),
        ),
    )


def _experiment(result: ExperimentResult, minimum: float) -> tuple[str, ...]:
    experiment = result.experiment
    losses = result.final_losses()
    mean = f"{statistics.fmean(losses):.5f}" if losses else "not finite"
    deviation = f"{statistics.stdev(losses):.5f}" if len(losses) > 1 else ""
    epochs = result.epoch_seconds()
    low = middle = high = epochs[0]
    if len(epochs) > 1:
        low, middle, high = statistics.quantiles(epochs, n=4)
    to_losses = []
    for distance in LOSS_DISTANCES:
        threshold = minimum * (1 + distance)
        to_losses.append(reached([run.reaches(threshold) for run in result.runs]))
    return (
        experiment.name,
        experiment.strategy,
        str(experiment.minibatch),
        f"{experiment.lr:g}",
        str(experiment.epochs),
        str(result.updates[-1]),
        mean,
        deviation,
        units.duration(middle),
        f"{(high - low) / middle:.1%}",
        *to_losses,
    )


def reached(seconds: Sequence[float | None]) -> str:
    """Returns the median of the seconds after which seeds reached a loss, in words.

    Args:
        seconds: One entry per seed; None for a seed that never reached it.
    """
    finite = [value for value in seconds if value is not None]
    if not finite:
        return "never"
    median = units.duration(statistics.median(finite))
    if len(finite) == len(seconds):
        return median
    return f"{median} ({len(finite)})"


SHOWN = 3
"""Quantities of a claim that are shown; its record has them all, and the page on demand."""


def claims(record: ClaimsRecord) -> Sheet:
    """Returns each claim with its first measured quantities and its answer."""
    rows = []
    for claim in record.assessed:
        measured = [quantity(measurement) for measurement in claim.measured[:SHOWN]]
        rows.append((claim.id, claim.claim, "\n".join(measured), claim.answer))
    answers = [claim.answer for claim in record.assessed]
    counts = [f"{answers.count(answer)} {answer}" for answer in ANSWERS if answer in answers]
    return Sheet(
        title=f"the chapter's claims, data {record.source}",
        columns=columns(words=("", "claim", "measured, with 99 % intervals", "answer")),
        rows=tuple(rows),
        notes=(", ".join(counts),),
        spaced=True,
    )


def quantity(measured: Quantity) -> str:
    """Returns a quantity in words: `epoch of 100 over 1, loader: 0.0172 [0.0168, 0.0177]`."""
    text = f"{measured.what}: {number(measured.value, measured.unit)}"
    if measured.low == measured.high:
        return text
    low, high = number(measured.low, measured.unit), number(measured.high, measured.unit)
    return f"{text} [{low}, {high}]"


def number(value: float, unit: str) -> str:
    """Returns a number with four digits, in the unit that suits it."""
    if unit == "s":
        return units.duration(value)
    if unit == "flop/s":
        return f"{value / 1e9:.4g} GFLOPS"
    if unit == "B/s":
        return f"{value / 1e9:.4g} GB/s"
    return f"{value:.4g} {unit}".rstrip()
