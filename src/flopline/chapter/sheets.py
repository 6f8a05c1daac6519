"""Records as tables for a terminal."""

from __future__ import annotations

import io
import statistics
import sys
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flopline.chapter.claims.assess import ClaimsRecord
    from flopline.chapter.claims.evidence import Quantity
    from flopline.chapter.prediction import Explained, Machine
    from flopline.chapter.training import Trained, Training


def plain(**style: str) -> Table:
    """A table with a rule below its head and no other lines."""
    return Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False, **style)  # type: ignore[arg-type]


def seconds(value: float) -> str:
    """A time in the unit that suits it, four digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if value >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value / 1e-9:.4g} ns"


def show(text: str) -> None:
    """Prints a text, in the terminal's width."""
    sys.stdout.write(text)


def _text(table: Table, width: int) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n\n"


UNLIMITED = 1000
"""Columns; lines that a terminal would break are easier to read than columns that were left out."""


def _grid(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1
) -> str:
    """A table as wide as it must be, whose first columns are words and the others numbers."""
    table = plain(title=title, title_justify="left")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i < left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return _text(table, UNLIMITED)


EXPLAINED = (0.5, 1.5)
"""Outside of this range of predicted over measured time a row is marked: the terms do not explain it."""


def machine(found: Machine) -> str:
    """The ceilings, and the predicted and measured times."""
    top = found.ceilings
    facts = [("product, float32", f"{top.flops / 1e9:.1f} GFLOPS")]
    facts += [(f"read, {level.name}", f"{level.read / 1e9:.1f} GB/s") for level in top.levels]
    facts += [
        ("copy, memory", f"{top.copy / 1e9:.1f} GB/s"),
        ("framework call", seconds(top.dispatch)),
    ]
    narrow = [
        (str(each.width), f"{each.flops / 1e9:.1f}", f"{other.flops / 1e9:.1f}")
        for each, other in zip(top.rows, top.columns, strict=True)
    ]
    low, high = EXPLAINED
    rows = [
        (row.case.removeprefix("matmul/strategy="), str(row.calls), row.level, *prediction(row))
        for row in found.cases
    ]
    return (
        _grid(f"ceilings, threads {found.threads}", ("what", "best"), facts)
        + _grid("products by their width", ("width", "rows, GFLOPS", "columns, GFLOPS"), narrow)
        + _grid(
            "max(flops/as narrow, bytes/read) + calls x overhead",
            ("case", "calls", "level", *PREDICTION),
            rows,
        )
        + f"! predicted over measured time is outside {low:g} to {high:g}\n"
    )


PREDICTION = (
    "as narrow",
    "predicted",
    "measured",
    "explained",
    "GFLOPS",
    "of peak",
    "of roof",
    "overhead",
)


def prediction(row: Explained) -> tuple[str, ...]:
    """What the ceilings make of a case's time; its heads are `PREDICTION`."""
    low, high = EXPLAINED
    return (
        *(f"{row.as_narrow / 1e9:.1f}", seconds(row.predicted), seconds(row.seconds)),
        f"{row.explained:.2f}" + ("" if low <= row.explained <= high else " !"),
        *(f"{row.flops / row.seconds / 1e9:.3g}", f"{row.of_peak:.3f}", f"{row.of_roof:.3f}"),
        f"{row.overhead_share:.0%}",
    )


DISTANCES = (0.01, 0.02, 0.05)
"""Distances to the least loss, as shares of it, to which the time is told."""
EXPERIMENT = (
    *(
        "experiment",
        "strategy",
        "batch",
        "lr",
        "epochs",
        "updates",
        "final loss",
        "sd",
        "s/epoch",
        "IQR",
    ),
    *(f"to L*+{distance:.0%}" for distance in DISTANCES),
)


def training(found: Training) -> str:
    """Losses, seconds per epoch and times to a loss, over seeds."""
    limits = found.problem
    rows = [experiment(trained, limits.least) for trained in found.experiments]
    notes = [
        f"{trained.experiment.name} {trained.diverged}\n"
        for trained in found.experiments
        if trained.diverged
    ]
    seeds = len(found.experiments[0].runs) if found.experiments else 0
    return (
        _grid(f"training, {seeds} seeds", EXPERIMENT, rows, left=2)
        + f"L* = {limits.least:.7f}, L(0) = {limits.start:.7f}, data {limits.source}, threads {found.threads}\n"
        + "final loss: mean and standard deviation over seeds; times: medians; (k): only k seeds got there\n"
        + "".join(notes)
    )


def experiment(trained: Trained, least: float) -> tuple[str, ...]:
    """An experiment's row; its heads are `EXPERIMENT`."""
    what, finals, epochs = trained.experiment, trained.finals(), trained.epoch_seconds()
    final = f"{statistics.fmean(finals):.5f}" if finals else "not finite"
    spread = f"{statistics.stdev(finals):.5f}" if len(finals) > 1 else ""
    low, middle, high = statistics.quantiles(epochs, n=4) if len(epochs) > 1 else epochs * 3
    times = [
        [run.reaches(least * (1 + distance)) for run in trained.runs] for distance in DISTANCES
    ]
    return (
        *(what.name, what.strategy, str(what.batch), f"{what.lr:g}", str(what.epochs)),
        *(str(trained.updates[-1]), final, spread, seconds(middle), f"{(high - low) / middle:.1%}"),
        *(reached(column) for column in times),
    )


def reached(times: Sequence[float | None]) -> str:
    """The median of the times there are; how many there are, where some are missing."""
    there = [value for value in times if value is not None]
    if not there:
        return "never"
    return seconds(statistics.median(there)) + (
        f" ({len(there)})" if len(there) < len(times) else ""
    )


def claims(found: ClaimsRecord, width: int) -> str:
    """Claim, what was measured with its interval, and the verdict."""
    table = plain(title=f"the chapter's claims, data {found.source}", title_justify="left")
    for name, share in (
        ("", None),
        ("claim", 5),
        ("measured, with 99 % intervals", 6),
        ("verdict", None),
    ):
        table.add_column(name, ratio=share, overflow="fold", no_wrap=share is None)
    table.padding = (0, 1, 1, 0)
    for each in found.assessed:
        table.add_row(
            each.id,
            each.claim,
            "\n".join(quantity(one) for one in each.measured[:SHOWN]),
            each.answer,
        )
    text = _text(table, max(100, width))
    counts = {
        verdict: sum(each.answer == verdict for each in found.assessed) for verdict in VERDICTS
    }
    return (
        text + ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count) + "\n"
    )


VERDICTS = ("confirmed", "refuted", "depends on the machine", "not testable here")
SHOWN = 3
"""Quantities of a claim that are shown; its record has them all, and the page on demand."""


def quantity(found: Quantity) -> str:
    """A quantity in words: `epoch of 100 over 1, loader: 0.0172 [0.0168, 0.0177]`."""
    interval = (
        ""
        if found.low == found.high
        else f" [{number(found.low, found.unit)}, {number(found.high, found.unit)}]"
    )
    return f"{found.what}: {number(found.value, found.unit)}{interval}"


def number(value: float, unit: str) -> str:
    """A number with four digits, in the unit that suits it."""
    if unit == "s":
        return seconds(value)
    names = {"flop/s": "GFLOPS", "B/s": "GB/s"}
    return (
        f"{value / 1e9:.4g} {names[unit]}"
        if unit in names
        else f"{value:.4g}" + (f" {unit}" if unit else "")
    )
