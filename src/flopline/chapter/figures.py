"""Records as pictures, each with a text alternative and its data as a table.

This is the only module that draws. One colour stands for one thing in every picture. Lines and
markers differ too, so that nothing rests on colour alone.
"""

from __future__ import annotations

import io
import itertools
import statistics
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure

from flopline import units
from flopline.chapter.training import MINIBATCH_SIZES
from flopline.machine import cache_bytes
from flopline.sheet import Column, Sheet
from flopline.workload import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from matplotlib.axes import Axes

    from flopline.bench import Bench, Row
    from flopline.chapter.claims.assess import ClaimsRecord
    from flopline.chapter.prediction import MachineRecord
    from flopline.chapter.training import ExperimentResult, TrainingRecord

Theme = Literal["light", "dark"]
INK: dict[Theme, str] = {"light": "#1f2328", "dark": "#e6e8eb"}
QUIET: dict[Theme, str] = {"light": "#8a9099", "dark": "#8b949e"}
PAPER: dict[Theme, str] = {"light": "#ffffff", "dark": "#16191d"}
DASHES = (0, (4, 3))
"""The line style of a bound."""


@dataclass(frozen=True)
class Look:
    """How one thing is drawn in every picture.

    Attributes:
        light: Its colour on light paper.
        dark: Its colour on dark paper, which is lighter where the former is too dark there.
        marker: Its marker, as matplotlib names it.
        name: Its name in a legend; empty for the name in the record.
    """

    light: str
    dark: str
    marker: str
    name: str = ""

    def colour(self, theme: Theme) -> str:
        """Returns the colour on the paper of a theme."""
        return self.light if theme == "light" else self.dark


LOOKS = {
    # The experiments have the palette of Okabe and Ito, the epoch strategies Tol's muted one. Both
    # are safe for colour-blind readers.
    "gd": Look("#0072b2", "#4fa8dc", "o", "gradient descent, b = 1500"),
    "sgd": Look("#d55e00", "#f07b2e", "s", "SGD, b = 1"),
    "batch100": Look("#009e73", "#2bc397", "D", "b = 100"),
    "batch10": Look("#e69f00", "#f0b840", "^", "b = 10"),
    "concise": Look("#cc79a7", "#dd98c0", "v", "framework, b = 10"),
    "loader": Look("#882255", "#cc6699", "o"),
    "autograd": Look("#44aa99", "#5cc4b3", "s"),
    "module": Look("#999933", "#bdbd55", "D"),
    "manual": Look("#332288", "#9a8cf0", "^"),
    "column_block": Look("#4477aa", "#7aa8dd", "o", "panels of columns"),
    "row_block": Look("#66ccee", "#8adcf7", "s", "panels of rows"),
    "replacement": Look("#aa3377", "#d873a8", "o", "with replacement"),
    "shuffled": Look("#228833", "#5cbb6d", "s", "without replacement"),
}
"""The looks of what is built in."""

SPARE_LOOKS = (
    Look("#8c510a", "#d8a15e", "P"),
    Look("#4d5a6a", "#aab6c4", "X"),
    Look("#b2182b", "#ee7f7f", "p"),
)
"""The looks of everything else, for example of strategies that other packages bring."""


def looks(names: Iterable[str]) -> dict[str, Look]:
    """Returns the looks of things that one picture shows together.

    What has no look of its own gets the spare ones in turn.
    """
    spare = itertools.cycle(SPARE_LOOKS)
    chosen = {}
    for name in names:
        chosen[name] = LOOKS[name] if name in LOOKS else next(spare)
    return chosen


@dataclass(frozen=True)
class Picture:
    """A picture, ready to be drawn.

    Attributes:
        name: Its file name, without an ending.
        caption: What to see in it, and where the data come from.
        alternative: What it shows, for those who do not see it.
        data: Its heading and its data.
        draw: Draws it in a theme.
    """

    name: str
    caption: str
    alternative: str
    data: Sheet
    draw: Callable[[Theme], Figure]

    @property
    def title(self) -> str:
        """What it shows, as a heading."""
        return self.data.title

    def svg(self, theme: Theme) -> str:
        """Returns the picture as an SVG document; the same data give the same bytes."""
        out = io.StringIO()
        with _style(theme):
            self.draw(theme).savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        return out.getvalue()

    def png(self, theme: Theme) -> bytes:
        """Returns the picture as a PNG file."""
        out = io.BytesIO()
        with _style(theme):
            self.draw(theme).savefig(out, format="png", dpi=150, metadata={"Software": None})
        return out.getvalue()


@contextmanager
def _style(theme: Theme) -> Iterator[None]:
    ink, quiet, paper = INK[theme], QUIET[theme], PAPER[theme]
    settings: dict[Any, object] = {  # Any: matplotlib lists all of its parameters as literals
        "figure.facecolor": paper,
        "axes.facecolor": paper,
        "savefig.facecolor": paper,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": quiet,
        "axes.titlecolor": ink,
        "xtick.color": quiet,
        "ytick.color": quiet,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 11,
        "axes.titlelocation": "left",
        "font.size": 10.5,
        "font.family": "sans-serif",
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "axes.grid": True,
        "grid.color": quiet,
        "grid.alpha": 0.18,
        "grid.linewidth": 0.8,
        "svg.hashsalt": "flopline",
        "svg.fonttype": "path",
        "figure.constrained_layout.use": True,
        "axes.axisbelow": True,
        "xtick.minor.visible": False,
        "ytick.minor.visible": False,
    }
    with mpl.rc_context(settings):
        yield


def pictures(
    bench: Bench, training: TrainingRecord, claims: ClaimsRecord, machine: MachineRecord
) -> list[Picture]:
    """Returns all pictures that these records allow."""
    drawn = [
        ladder(bench, machine),
        roofline(bench, machine),
        blocks(bench, machine),
        epochs(bench),
        loss(training),
    ]
    if claims.noise:
        drawn.append(noise(claims))
    return drawn


def digits(value: float) -> str:
    """Returns a number with six digits, for the data of a picture."""
    return f"{value:.6g}"


def _rounded(value: float) -> str:
    return digits(round(value, 4))


@dataclass(frozen=True)
class MeasuredProduct:
    """A product strategy at a size, as the pictures show it.

    Attributes:
        case: The strategy and its size.
        row: What was measured.
        roof: The GFLOPS at which the roofline ends for it; its bytes come from the level of memory
            that holds what one call asks for.
    """

    case: Case
    row: Row
    roof: float

    @property
    def label(self) -> str:
        """Its strategy and block, for example `column_block 64`."""
        block = self.case.axes.get("block")
        return f"{self.case.strategy} {block}" if block else self.case.strategy

    def colour(self, theme: Theme) -> str:
        """Returns the colour of its strategy; most are drawn in ink."""
        strategy = self.case.strategy
        return LOOKS[strategy].colour(theme) if strategy in LOOKS else INK[theme]


def products(bench: Bench, machine: MachineRecord) -> list[MeasuredProduct]:
    """Returns the measured products with their roofs."""
    listed = []
    for row in bench.rows:
        case = Case.parse(row.case)
        if case.family == "matmul":
            level = machine.ceilings.level(row.bytes / row.calls)
            seconds = max(row.flops / machine.ceilings.flops, row.bytes / level.read)
            listed.append(MeasuredProduct(case, row, units.gflops(row.flops, seconds)))
    return listed


def ladder(bench: Bench, machine: MachineRecord) -> Picture:
    """Draws the GFLOPS of every product strategy, with the roof over each."""
    ordered = sorted(products(bench, machine), key=lambda product: product.row.gflops)
    slowest, fastest = ordered[0], ordered[-1]
    groups: dict[int, list[MeasuredProduct]] = {}
    for product in ordered:
        groups.setdefault(product.case.axes["n"], []).append(product)
    groups = dict(sorted(groups.items()))

    rows = []
    for n, group in groups.items():
        for product in reversed(group):
            rates = _rounded(product.row.gflops), _rounded(product.roof)
            rows.append((str(n), product.label, *rates))

    peak = machine.ceilings.flops / 1e9
    return Picture(
        name="ladder",
        caption="Billions of floating-point operations per second of every strategy. The tick is "
        "the roofline over it: what the machine could do with the bytes that the strategy asks "
        "for. The gap between the two is overhead, and the library's kernels.",
        alternative=f"From {slowest.label} at {slowest.row.gflops:.3g} to {fastest.label} at "
        f"{fastest.row.gflops:.3g} GFLOPS, under a peak of {peak:.0f}.",
        data=Sheet(
            title="The ladder: one product, many ways",
            columns=(
                Column("n"),
                Column("strategy", "left"),
                Column("GFLOPS"),
                Column("roof, GFLOPS"),
            ),
            rows=tuple(rows),
        ),
        draw=partial(_draw_ladder, groups, peak),
    )


def _draw_ladder(groups: dict[int, list[MeasuredProduct]], peak: float, theme: Theme) -> Figure:
    counts = [len(group) for group in groups.values()]
    figure = Figure(figsize=(8, 0.9 + 0.235 * sum(counts)))
    grid = figure.subplots(len(groups), 1, sharex=True, height_ratios=counts, squeeze=False)
    panels = grid[:, 0]
    for ax, (n, group) in zip(panels, groups.items(), strict=True):
        places = range(len(group))
        rates = [product.row.gflops for product in group]
        roofs = [product.roof for product in group]
        ax.hlines(places, rates, roofs, color=QUIET[theme], linewidth=1, alpha=0.6)
        ax.plot(
            roofs,
            places,
            "|",
            color=QUIET[theme],
            markersize=9,
            markeredgewidth=1.6,
            label="roof",
        )
        for place, product in zip(places, group, strict=True):
            whole = product.case.strategy == "full"
            ax.plot(
                product.row.gflops,
                place,
                "D" if whole else "o",
                color=product.colour(theme),
                markersize=7 if whole else 6,
            )
        ax.axvline(peak, color=INK[theme], linewidth=1, linestyle=DASHES)
        ax.set_yticks(list(places), [product.label for product in group])
        ax.set_ylim(-0.7, len(group) - 0.3)
        ax.set_xscale("log")
        ax.grid(visible=False, axis="y")
        ax.set_title(f"n = {n}")
    panels[0].annotate(
        f"peak {peak:.0f}",
        (peak, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        color=INK[theme],
    )
    panels[-1].set_xlabel("GFLOPS (● measured, ◆ whole product, | roof)")
    return figure


CHAPTER_N = 256
"""The chapter's matrices are 256 x 256."""

NAMED = ("element", "row", "column", "outer", "full")
"""Strategies whose name stands beside their point on the roofline."""


def roofline(bench: Bench, machine: MachineRecord) -> Picture:
    """Draws GFLOPS over arithmetic intensity, under the roofs of every level of memory."""
    listed = products(bench, machine)
    rows = []
    for product in listed:
        row = product.row
        rows.append((row.case, _rounded(row.flops / row.bytes), _rounded(row.gflops)))
    return Picture(
        name="roofline",
        caption="Every strategy by the operations that it does per byte it asks for. Points far "
        "below the slanted roofs are not short of bandwidth: at n = 256 they pay for calls.",
        alternative="The loops over elements and columns lie far below the roofs of every cache; "
        "blocks and the whole product approach the peak.",
        data=Sheet(
            title="On the roofline",
            columns=(Column("case", "left"), Column("flops per byte"), Column("GFLOPS")),
            rows=tuple(rows),
        ),
        draw=partial(_draw_roofline, listed, machine),
    )


def _draw_roofline(
    listed: Sequence[MeasuredProduct], machine: MachineRecord, theme: Theme
) -> Figure:
    figure = Figure(figsize=(8, 4.8))
    ax = figure.subplots()
    _draw_roofs(ax, machine, theme)
    for product in listed:
        _draw_point(ax, product, theme)
    for strategy in ("column_block", "row_block"):
        look = LOOKS[strategy]
        ax.plot([], [], look.marker, color=look.colour(theme), label=look.name)
    ax.plot([], [], "o", color=INK[theme], label=f"others, n = {CHAPTER_N}")
    ax.plot([], [], "o", color=INK[theme], markerfacecolor=PAPER[theme], label="larger n")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("floating-point operations per byte asked for")
    ax.set_xlim(left=0.024)
    ax.set_ylabel("GFLOPS")
    ax.legend(loc="lower right")
    return figure


def _draw_roofs(ax: Axes, machine: MachineRecord, theme: Theme) -> None:
    """Draws the bandwidth of every level of memory up to the peak, and the peak."""
    left, right = 0.12, 400.0
    peak = machine.ceilings.flops
    for level in machine.ceilings.levels:
        ridge = peak / level.read
        foot = left * level.read / 1e9
        ax.plot([left, ridge], [foot, peak / 1e9], color=QUIET[theme], linewidth=1.2)
        ax.annotate(
            f"{level.name} {level.read / 1e9:.0f} GB/s",
            (left, foot),
            xytext=(-3, 0),
            textcoords="offset points",
            color=QUIET[theme],
            fontsize=9,
            ha="right",
            va="center",
        )
    first_ridge = peak / machine.ceilings.levels[0].read
    ax.plot([first_ridge, right], [peak / 1e9, peak / 1e9], color=INK[theme], linewidth=1.4)
    ax.annotate(
        f"peak {peak / 1e9:.0f} GFLOPS",
        (right, peak / 1e9),
        xytext=(0, 5),
        textcoords="offset points",
        ha="right",
        color=INK[theme],
    )


def _draw_point(ax: Axes, product: MeasuredProduct, theme: Theme) -> None:
    """Draws a strategy on the roofline, filled at the chapter's size."""
    row, strategy = product.row, product.case.strategy
    colour = product.colour(theme)
    marker = "D" if strategy == "full" else "o"
    if strategy in LOOKS:
        marker = LOOKS[strategy].marker
    filled = product.case.axes["n"] == CHAPTER_N
    intensity = row.flops / row.bytes
    ax.plot(
        intensity,
        row.gflops,
        marker,
        color=colour,
        markersize=6,
        markerfacecolor=colour if filled else PAPER[theme],
    )
    if filled and strategy in NAMED:
        ax.annotate(
            strategy,
            (intensity, row.gflops),
            xytext=(7, -3),
            textcoords="offset points",
            color=colour,
        )


@dataclass(frozen=True)
class Panels:
    """Products by panels of one size of matrix, over the width of a panel.

    Attributes:
        strategy: `column_block` or `row_block`.
        n: The size of the matrices.
        rows: What was measured, by the width of a panel, narrowest first.
    """

    strategy: str
    n: int
    rows: dict[int, Row]


def panels(listed: Sequence[MeasuredProduct]) -> list[Panels]:
    """Returns the products by panels, a series for each strategy and size of matrix."""
    series: dict[tuple[str, int], dict[int, Row]] = {}
    for product in listed:
        axes = product.case.axes
        if product.case.strategy in ("column_block", "row_block"):
            key = product.case.strategy, axes["n"]
            series.setdefault(key, {})[axes["block"]] = product.row
    return [
        Panels(strategy, n, dict(sorted(rows.items()))) for (strategy, n), rows in series.items()
    ]


def blocks(bench: Bench, machine: MachineRecord) -> Picture:
    """Draws GFLOPS and overhead over the width of a block."""
    listed = products(bench, machine)
    rows = []
    for series in panels(listed):
        for width, row in series.rows.items():
            overhead = "" if row.overhead is None else _rounded(row.overhead)
            name = f"{series.strategy}, n = {series.n}"
            rows.append((name, str(width), _rounded(row.gflops), overhead))
    return Picture(
        name="blocks",
        caption="Speed over the width of a panel, and the share of the time that framework calls "
        "cost. Lines mark the whole product, and the width at which a panel of the right-hand "
        "matrix fills a cache.",
        alternative="Speed rises with the block size towards that of the whole product while the "
        "share of overhead falls.",
        data=Sheet(
            title="How wide must a block be?",
            columns=(
                Column("panels", "left"),
                Column("block"),
                Column("GFLOPS"),
                Column("overhead"),
            ),
            rows=tuple(rows),
        ),
        draw=partial(_draw_blocks, listed, machine),
    )


def _draw_blocks(listed: Sequence[MeasuredProduct], machine: MachineRecord, theme: Theme) -> Figure:
    figure = Figure(figsize=(8, 6))
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    series = panels(listed)
    whole = {}
    for product in listed:
        if product.case.strategy == "full":
            whole[product.case.axes["n"]] = product.row.gflops
    smallest = min(whole, default=0)

    for line in series:
        look = LOOKS[line.strategy]
        solid = line.n == smallest or not whole
        style: dict[str, Any] = {
            "color": look.colour(theme),
            "marker": look.marker,
            "markersize": 6,
            "linestyle": "-" if solid else "--",
            "markerfacecolor": look.colour(theme) if solid else PAPER[theme],
        }
        rates = [row.gflops for row in line.rows.values()]
        top.plot(list(line.rows), rates, label=f"{look.name}, n = {line.n}", **style)
        shares = {width: row.overhead for width, row in line.rows.items() if row.overhead}
        percents = [100 * share for share in shares.values()]
        bottom.plot(list(shares), percents, **style)

    sizes = {line.n for line in series}
    whole_of_series = {n: rate for n, rate in whole.items() if n in sizes}
    for place, (n, rate) in enumerate(sorted(whole_of_series.items(), key=lambda item: item[1])):
        style = {"linewidth": 1, "linestyle": "-" if n == smallest else "--"}
        top.axhline(rate, color=INK[theme], **style)
        # The slowest is named below its line, so that two names do not meet.
        top.annotate(
            f"full, n = {n}",
            (0, rate),
            xycoords=("axes fraction", "data"),
            xytext=(4, 3 if place else -12),
            textcoords="offset points",
            color=INK[theme],
            fontsize=9,
        )
    n = min(sizes, default=CHAPTER_N)
    _mark_caches(top, bottom, cache_bytes(machine.machine.get("caches", {})), n, theme)
    top.set_xscale("log", base=2)
    top.set_ylim(0, 1.1 * max(product.row.gflops for product in listed))
    top.set_ylabel("GFLOPS")
    figure.legend(loc="outside upper left", ncols=2)
    bottom.set_ylim(0, 100)
    bottom.set_ylabel("overhead, % of time")
    bottom.set_xlabel("block size")
    bottom.xaxis.set_major_formatter("{x:.0f}")
    return figure


WIDEST_PANEL = 1024
"""The widest panel that the axis of `blocks` shows."""


def _mark_caches(top: Axes, bottom: Axes, caches: dict[str, int], n: int, theme: Theme) -> None:
    """Draws a line at each width at which a panel of n rows fills a cache."""
    for level, size in caches.items():
        width = size / (4 * n)
        if not 1 <= width <= WIDEST_PANEL:
            continue
        for ax in (top, bottom):
            ax.axvline(width, color=QUIET[theme], linewidth=1, linestyle=":")
        top.annotate(
            f"panel of {n} rows fills {level}",
            (width, 0.02),
            xycoords=("data", "axes fraction"),
            xytext=(3, 0),
            textcoords="offset points",
            color=QUIET[theme],
            fontsize=9,
            rotation=90,
            va="bottom",
        )


def epochs(bench: Bench) -> Picture:
    """Draws seconds per epoch and updates per second over the minibatch size."""
    by_size: dict[str, dict[int, Row]] = {}
    for row in bench.rows:
        case = Case.parse(row.case)
        if case.family == "sgd":
            by_size.setdefault(case.strategy, {})[case.axes["batch"]] = row
    series = {strategy: dict(sorted(rows.items())) for strategy, rows in by_size.items()}

    cells = []
    for strategy, rows in series.items():
        for size, row in rows.items():
            seconds = [digits(row.seconds), digits(row.low), digits(row.high)]
            updates = digits(round(row.calls / row.seconds, 1))
            cells.append((strategy, str(size), *seconds, updates))
    source = next((row.data for row in bench.rows if row.data), "no")
    return Picture(
        name="epochs",
        caption=f"Median and quartiles of an epoch over 1500 examples ({source} data), by how it "
        "is run. The loader fetches row by row, so its epochs stop getting cheaper; those that "
        "are written out without autograd do not.",
        alternative="Seconds per epoch fall with the minibatch size for every strategy; manual is "
        "one to two orders of magnitude below the loader.",
        data=Sheet(
            title="What an epoch costs",
            columns=(
                Column("strategy", "left"),
                Column("minibatch"),
                Column("s/epoch"),
                Column("lower quartile"),
                Column("upper quartile"),
                Column("updates/s"),
            ),
            rows=tuple(cells),
        ),
        draw=partial(_draw_epochs, series),
    )


def _draw_epochs(series: dict[str, dict[int, Row]], theme: Theme) -> Figure:
    figure = Figure(figsize=(8, 4.2))
    left, right = figure.subplots(1, 2)
    chosen = looks(series)
    for place, (strategy, by_size) in enumerate(series.items()):
        sizes, rows = list(by_size), list(by_size.values())
        look = chosen[strategy]
        style: dict[str, Any] = {
            "color": look.colour(theme),
            "marker": look.marker,
            "markersize": 6,
            "label": strategy,
        }
        below = [row.seconds - row.low for row in rows]
        above = [row.high - row.seconds for row in rows]
        seconds = [row.seconds for row in rows]
        left.errorbar(sizes, seconds, yerr=[below, above], elinewidth=1, **style)
        updates = [row.calls / row.seconds for row in rows]
        right.plot(sizes, updates, zorder=3 + place, **style)
    for ax, name in ((left, "seconds per epoch"), (right, "updates per second")):
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("minibatch size")
        ax.set_title(name)
        ax.set_xticks(MINIBATCH_SIZES, [str(size) for size in MINIBATCH_SIZES])
    left.legend()
    return figure


@dataclass(frozen=True)
class Curve:
    """The losses of an experiment over its seeds, at every point that all seeds have reached.

    Attributes:
        result: The experiment and its runs.
        seconds: Median seconds of training.
        examples: Examples seen.
        updates: Updates made.
        median: Median loss.
        low: The 10th percentile of the losses.
        high: The 90th percentile of the losses.
    """

    result: ExperimentResult
    seconds: list[float]
    examples: list[int]
    updates: list[int]
    median: list[float]
    low: list[float]
    high: list[float]


def curve(result: ExperimentResult) -> Curve:
    """Returns the losses of an experiment over its seeds."""
    count = min(len(run.losses) for run in result.runs)
    # One tuple per point, with an entry per seed.
    losses = list(zip(*(run.losses[:count] for run in result.runs), strict=True))
    seconds = list(zip(*(run.seconds[:count] for run in result.runs), strict=True))
    return Curve(
        result=result,
        seconds=[statistics.median(values) for values in seconds],
        examples=list(result.examples[:count]),
        updates=list(result.updates[:count]),
        median=[statistics.median(values) for values in losses],
        low=[_deciles(values)[0] for values in losses],
        high=[_deciles(values)[-1] for values in losses],
    )


def _deciles(values: Sequence[float]) -> list[float]:
    if len(values) == 1:
        return list(values)
    return statistics.quantiles(values, n=10, method="inclusive")


def loss(training: TrainingRecord) -> Picture:
    """Draws loss against time, examples and updates, with bands over seeds."""
    curves = [curve(result) for result in training.experiments]
    rows: list[tuple[str, ...]] = []
    for drawn in curves:
        for i, examples in enumerate(drawn.examples):
            losses = [digits(drawn.median[i]), digits(drawn.low[i]), digits(drawn.high[i])]
            counts = [digits(examples), digits(drawn.updates[i])]
            name = drawn.result.experiment.name
            rows.append((name, *counts, digits(drawn.seconds[i]), *losses))
    seeds = max((len(result.runs) for result in training.experiments), default=0)
    strategies = dict.fromkeys(result.experiment.strategy for result in training.experiments)
    return Picture(
        name="loss",
        caption=f"Median over {seeds} seeds, with bands from the 10th to the 90th percentile, on "
        f"the {training.loss.source} data; epochs are run by {', '.join(strategies)}. L* is the "
        "smallest loss that there is. Evaluation is not part of the time.",
        alternative="Losses fall from 0.49 towards L*, each experiment at its own pace; gradient "
        "descent with the chapter's rate turns upwards.",
        data=Sheet(
            title="Loss against time: the chapter's figure",
            columns=(
                Column("experiment", "left"),
                Column("examples"),
                Column("updates"),
                Column("seconds"),
                Column("median loss"),
                Column("10 %"),
                Column("90 %"),
            ),
            rows=tuple(rows),
        ),
        draw=partial(_draw_loss, curves, training.loss.minimum),
    )


def _draw_loss(curves: Sequence[Curve], minimum: float, theme: Theme) -> Figure:
    figure = Figure(figsize=(8, 7))
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))
    by_time = figure.add_subplot(grid[0, :])
    by_examples = figure.add_subplot(grid[1, 0])
    by_updates = figure.add_subplot(grid[1, 1])
    chosen = looks(drawn.result.experiment.name for drawn in curves)
    for drawn in curves:
        name = drawn.result.experiment.name
        look = chosen[name]
        label = look.name or name
        if drawn.result.diverged:
            label += " (diverges)"
        for ax, abscissa in (
            (by_time, drawn.seconds),
            (by_examples, drawn.examples),
            (by_updates, drawn.updates),
        ):
            # The start is left out: it has no place on a logarithmic axis.
            ax.plot(
                abscissa[1:],
                drawn.median[1:],
                color=look.colour(theme),
                marker=look.marker,
                markersize=4,
                label=label,
            )
            ax.fill_between(
                abscissa[1:],
                drawn.low[1:],
                drawn.high[1:],
                color=look.colour(theme),
                alpha=0.16,
                linewidth=0,
            )
    for ax, title, name in (
        (by_time, "against time", "seconds of training"),
        (by_examples, "against examples", "examples seen"),
        (by_updates, "against updates", "updates"),
    ):
        ax.axhline(minimum, color=INK[theme], linewidth=1, linestyle=DASHES)
        ax.set_title(title)
        ax.set_xlabel(name)
        ax.set_ylim(0.238, 0.35)
    by_time.set_xscale("log")
    by_updates.set_xscale("log")
    by_time.set_ylabel("loss")
    by_examples.set_ylabel("loss")
    by_time.annotate(
        f"L* = {minimum:.4f}",
        (0, minimum),
        xycoords=("axes fraction", "data"),
        xytext=(4, 4),
        textcoords="offset points",
        color=INK[theme],
        fontsize=9,
    )
    by_examples.set_xticks(range(0, 15001, 5000))
    figure.legend(*by_time.get_legend_handles_labels(), loc="outside upper left", ncols=3)
    return figure


LOWEST_NOISE = 1e-9
"""Smaller deviations are not drawn, because a logarithmic axis has no zero."""


def noise(claims: ClaimsRecord) -> Picture:
    """Draws the deviation of minibatch gradients over their size, measured and exact."""
    rows = []
    for point in claims.noise:
        deviations = digits(point.measured), digits(point.theory)
        rows.append((point.sampling, str(point.size), *deviations))
    return Picture(
        name="noise",
        caption="Root of the summed variances of a minibatch gradient at w = 0, over 2500 draws "
        f"each ({claims.source} data). Without replacement the full batch has no noise at all.",
        alternative="With replacement the deviation falls as the root of the minibatch size; "
        "without replacement it falls faster and ends at zero for 1500 examples.",
        data=Sheet(
            title="Noise of the gradient",
            columns=(
                Column("sampling", "left"),
                Column("minibatch"),
                Column("measured"),
                Column("exact"),
            ),
            rows=tuple(rows),
        ),
        draw=partial(_draw_noise, claims),
    )


def _draw_noise(claims: ClaimsRecord, theme: Theme) -> Figure:
    figure = Figure(figsize=(8, 4.4))
    ax = figure.subplots()
    for sampling, line, formula in (
        ("replacement", "-", "b^(-1/2)"),
        ("shuffled", "--", "b^(-1/2) and the finite population"),
    ):
        points = [point for point in claims.noise if point.sampling == sampling]
        look = LOOKS[sampling]
        colour = look.colour(theme)
        measured = [point for point in points if point.measured > LOWEST_NOISE]
        ax.plot(
            [point.size for point in measured],
            [point.measured for point in measured],
            look.marker,
            color=colour,
            markersize=7,
            label=f"{look.name}, measured",
        )
        exact = [point for point in points if point.theory > LOWEST_NOISE]
        ax.plot(
            [point.size for point in exact],
            [point.theory for point in exact],
            line,
            color=colour,
            linewidth=1.4,
            label=f"exact: {formula}",
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xticks(MINIBATCH_SIZES, [str(size) for size in MINIBATCH_SIZES])
    ax.set_xlabel("minibatch size b")
    ax.set_ylabel("deviation of the gradient")
    ax.legend()
    return figure
