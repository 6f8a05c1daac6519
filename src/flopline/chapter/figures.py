"""Records as pictures, each with a text alternative and its data as a table: the only room that draws.

One colour stands for one thing in every picture. Lines and markers differ too, so that nothing rests on colour.
"""

from __future__ import annotations

import io
import statistics
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure

from flopline import machine as machines
from flopline.workload import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flopline.bench import Bench, Row
    from flopline.chapter.claims.assess import ClaimsRecord
    from flopline.chapter.prediction import Machine
    from flopline.chapter.training import Trained, Training

Theme = Literal["light", "dark"]
INK = {"light": "#1f2328", "dark": "#e6e8eb"}
QUIET = {"light": "#8a9099", "dark": "#8b949e"}
PAPER = {"light": "#ffffff", "dark": "#16191d"}

# Okabe and Ito's palette for the experiments, Tol's muted one for the epoch strategies: both are safe for colour-blind
# readers. The darkest of each are lighter on dark paper.
COLOURS: dict[Theme, dict[str, str]] = {
    "light": {
        "gd": "#0072b2", "sgd": "#d55e00", "batch100": "#009e73", "batch10": "#e69f00", "concise": "#cc79a7",
        "loader": "#882255", "autograd": "#44aa99", "module": "#999933", "manual": "#332288",
        "column_block": "#4477aa", "row_block": "#66ccee", "replacement": "#aa3377", "shuffled": "#228833",
    },
    "dark": {
        "gd": "#4fa8dc", "sgd": "#f07b2e", "batch100": "#2bc397", "batch10": "#f0b840", "concise": "#dd98c0",
        "loader": "#cc6699", "autograd": "#5cc4b3", "module": "#bdbd55", "manual": "#9a8cf0",
        "column_block": "#7aa8dd", "row_block": "#8adcf7", "replacement": "#d873a8", "shuffled": "#5cbb6d",
    },
}  # fmt: skip
MARKERS = dict(zip(COLOURS["light"], "osD^vosD^osos", strict=True))
NAMES = {
    "gd": "gradient descent, b = 1500", "sgd": "SGD, b = 1", "batch100": "b = 100", "batch10": "b = 10",
    "concise": "framework, b = 10", "column_block": "panels of columns", "row_block": "panels of rows",
    "replacement": "with replacement", "shuffled": "without replacement",
}  # fmt: skip
SIZES = (1, 10, 100, 1500)
"""Minibatch sizes that an axis names: the chapter's."""


@dataclass(frozen=True)
class Picture:
    """A picture, ready to be drawn.

    Attributes:
        name: Its file name, without ending.
        title: What it shows, as a heading.
        caption: What to see in it, and where the data come from.
        alternative: What it shows, for those who do not see it.
        columns: Heads of its data.
        rows: Its data.
        draw: Draws it in a theme.
    """

    name: str
    title: str
    caption: str
    alternative: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]
    draw: Callable[[Theme], Figure]

    def svg(self, theme: Theme) -> str:
        """The picture as an SVG document; the same data give the same bytes."""
        out = io.StringIO()
        with _style(theme):
            self.draw(theme).savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        return out.getvalue()

    def png(self, theme: Theme) -> bytes:
        """The picture as a PNG file."""
        out = io.BytesIO()
        with _style(theme):
            self.draw(theme).savefig(out, format="png", dpi=150, metadata={"Software": None})
        return out.getvalue()


@contextmanager
def _style(theme: Theme) -> Iterator[None]:
    ink, quiet = INK[theme], QUIET[theme]
    settings: dict[Any, object] = {  # Any: matplotlib lists all of its parameters as literals
        "figure.facecolor": PAPER[theme], "axes.facecolor": PAPER[theme], "savefig.facecolor": PAPER[theme],
        "text.color": ink, "axes.labelcolor": ink, "axes.edgecolor": quiet, "axes.titlecolor": ink,
        "xtick.color": quiet, "ytick.color": quiet, "xtick.labelcolor": ink, "ytick.labelcolor": ink,
        "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11, "axes.titlelocation": "left",
        "font.size": 10.5, "font.family": "sans-serif", "legend.frameon": False, "lines.linewidth": 1.8,
        "axes.grid": True, "grid.color": quiet, "grid.alpha": 0.18, "grid.linewidth": 0.8,
        "svg.hashsalt": "flopline", "svg.fonttype": "path", "figure.constrained_layout.use": True,
        "axes.axisbelow": True, "xtick.minor.visible": False, "ytick.minor.visible": False,
    }  # fmt: skip
    with mpl.rc_context(settings):
        yield


def pictures(
    bench: Bench, training: Training, claims: ClaimsRecord, machine: Machine
) -> list[Picture]:
    """All pictures that these records allow."""
    found = [
        ladder(bench, machine),
        roofline(bench, machine),
        blocks(bench, machine),
        epochs(bench),
        loss(training),
    ]
    return found + ([noise(claims)] if claims.noise else [])


def _products(bench: Bench) -> list[tuple[Case, Row]]:
    pairs = ((Case.parse(row.case), row) for row in bench.rows)
    return [(case, row) for case, row in pairs if case.family == "matmul"]


def label(case: Case) -> str:
    """A product's strategy and block, for example `column_block 64`."""
    block = case.axes.get("block")
    return case.strategy + (f" {block}" if block else "")


def _roof(row: Row, machine: Machine) -> float:
    """The GFLOPS at which the roofline ends for a case: its bytes come from the level that holds one call's."""
    level = machine.ceilings.level(row.bytes / row.calls)
    return row.flops / max(row.flops / machine.ceilings.flops, row.bytes / level.read) / 1e9


def ladder(bench: Bench, machine: Machine) -> Picture:
    """GFLOPS of every product strategy, with the roof over each."""
    sizes = sorted({case.axes["n"] for case, _ in _products(bench)})
    groups = {
        n: sorted(((c, r) for c, r in _products(bench) if c.axes["n"] == n), key=_rate)
        for n in sizes
    }
    rows = tuple(
        (case.axes["n"], label(case), round(row.gflops, 4), round(_roof(row, machine), 4))
        for group in groups.values()
        for case, row in reversed(group)
    )
    peak = machine.ceilings.flops / 1e9

    def draw(theme: Theme) -> Figure:
        counts = [len(group) for group in groups.values()]
        figure = Figure(figsize=(8, 0.9 + 0.235 * sum(counts)))
        axes = figure.subplots(len(groups), 1, sharex=True, height_ratios=counts, squeeze=False)[
            :, 0
        ]
        for ax, (n, group) in zip(axes, groups.items(), strict=True):
            places = range(len(group))
            rates = [row.gflops for _, row in group]
            roofs = [_roof(row, machine) for _, row in group]
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
            for place, (case, row) in zip(places, group, strict=True):
                colour = COLOURS[theme].get(case.strategy, INK[theme])
                whole = case.strategy == "full"
                ax.plot(
                    row.gflops,
                    place,
                    "D" if whole else "o",
                    color=colour,
                    markersize=7 if whole else 6,
                )
            ax.axvline(peak, color=INK[theme], linewidth=1, linestyle=(0, (4, 3)))
            ax.set_yticks(list(places), [label(case) for case, _ in group])
            ax.set_ylim(-0.7, len(group) - 0.3)
            ax.set_xscale("log")
            ax.grid(visible=False, axis="y")
            ax.set_title(f"n = {n}")
        axes[0].annotate(
            f"peak {peak:.0f}", (peak, 1), xycoords=("data", "axes fraction"), xytext=(0, 4),
            textcoords="offset points", ha="center", color=INK[theme],
        )  # fmt: skip
        axes[-1].set_xlabel("GFLOPS (● measured, ◆ whole product, | roof)")
        return figure

    best, worst = max(rows, key=lambda row: float(row[2])), min(rows, key=lambda row: float(row[2]))
    return Picture(
        "ladder",
        "The ladder: one product, many ways",
        "Billions of floating-point operations per second of every strategy. The tick is the roofline over it: "
        "what the machine could do with the bytes that the strategy asks for. The gap is overhead, "
        "and the library's kernels.",
        f"From {worst[1]} at {worst[2]:.3g} to {best[1]} at {best[2]:.3g} GFLOPS, under a peak of {peak:.0f}.",
        ("n", "strategy", "GFLOPS", "roof, GFLOPS"),
        rows,
        draw,
    )


def _rate(pair: tuple[Case, Row]) -> float:
    return pair[1].gflops


def roofline(bench: Bench, machine: Machine) -> Picture:
    """GFLOPS over arithmetic intensity, under the roofs of every level of memory."""
    points = [(case, row, row.flops / row.bytes) for case, row in _products(bench)]
    peak = machine.ceilings.flops
    named = {"element", "row", "column", "outer", "full"}

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(8, 4.8))
        ax = figure.subplots()
        left, right = 0.12, 400.0
        for level in machine.ceilings.levels:
            ridge = peak / level.read
            ax.plot(
                [left, ridge],
                [left * level.read / 1e9, peak / 1e9],
                color=QUIET[theme],
                linewidth=1.2,
            )
            ax.annotate(
                f"{level.name} {level.read / 1e9:.0f} GB/s", (left, left * level.read / 1e9), xytext=(-3, 0),
                textcoords="offset points", color=QUIET[theme], fontsize=9, ha="right", va="center",
            )  # fmt: skip
        ax.plot(
            [peak / machine.ceilings.levels[0].read, right],
            [peak / 1e9] * 2,
            color=INK[theme],
            linewidth=1.4,
        )
        ax.annotate(
            f"peak {peak / 1e9:.0f} GFLOPS", (right, peak / 1e9), xytext=(0, 5), textcoords="offset points",
            ha="right", color=INK[theme],
        )  # fmt: skip
        for case, row, intensity in points:
            colour = COLOURS[theme].get(case.strategy, INK[theme])
            marker = "D" if case.strategy == "full" else MARKERS.get(case.strategy, "o")
            solid = case.axes["n"] == 256  # noqa: PLR2004  # the chapter's size
            ax.plot(
                intensity, row.gflops, marker, color=colour, markersize=6,
                markerfacecolor=colour if solid else PAPER[theme],
            )  # fmt: skip
            if solid and case.strategy in named:
                ax.annotate(
                    case.strategy,
                    (intensity, row.gflops),
                    xytext=(7, -3),
                    textcoords="offset points",
                    color=colour,
                )
        for strategy in ("column_block", "row_block"):
            ax.plot(
                [], [], MARKERS[strategy], color=COLOURS[theme][strategy], label=NAMES[strategy]
            )
        ax.plot([], [], "o", color=INK[theme], label="others, n = 256")
        ax.plot([], [], "o", color=INK[theme], markerfacecolor=PAPER[theme], label="larger n")
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("floating-point operations per byte asked for")
        ax.set_xlim(left=left / 5)
        ax.set_ylabel("GFLOPS")
        ax.legend(loc="lower right")
        return figure

    return Picture(
        "roofline",
        "On the roofline",
        "Every strategy by the operations it does per byte it asks for. Points far below the slanted roofs are not "
        "short of bandwidth: at n = 256 they pay for calls.",
        "The loops over elements and columns lie far below the roofs of every cache; blocks and the whole product "
        "approach the peak.",
        ("case", "flops per byte", "GFLOPS"),
        tuple(
            (row.case, round(intensity, 4), round(row.gflops, 4)) for _, row, intensity in points
        ),
        draw,
    )


def blocks(bench: Bench, machine: Machine) -> Picture:
    """GFLOPS and overhead over the size of a block."""
    series: dict[tuple[str, int], list[tuple[int, Row]]] = {}
    for case, row in _products(bench):
        if case.strategy in ("column_block", "row_block"):
            series.setdefault((case.strategy, case.axes["n"]), []).append((case.axes["block"], row))
    full = {case.axes["n"]: row for case, row in _products(bench) if case.strategy == "full"}
    caches = machines.cache_bytes(machine.machine.get("caches", {}))

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(8, 6))
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        for (strategy, n), points in series.items():
            widths = [block for block, _ in sorted(points, key=lambda point: point[0])]
            ordered = [row for _, row in sorted(points, key=lambda point: point[0])]
            small = n == min(full, default=n)
            style = {
                "color": COLOURS[theme][strategy],
                "marker": MARKERS[strategy],
                "markersize": 6,
            }
            style |= {
                "linestyle": "-" if small else "--",
                "markerfacecolor": style["color"] if small else PAPER[theme],
            }
            top.plot(
                widths,
                [row.gflops for row in ordered],
                label=f"{NAMES[strategy]}, n = {n}",
                **style,
            )
            shares = [
                (width, row.overhead)
                for width, row in zip(widths, ordered, strict=True)
                if row.overhead
            ]
            bottom.plot(
                [width for width, _ in shares], [100 * share for _, share in shares], **style
            )
        whole = sorted(
            (row.gflops, n) for n, row in full.items() if any(size == n for _, size in series)
        )
        for i, (rate, n) in enumerate(
            whole
        ):  # the slowest is named below its line, so that two names do not meet
            top.axhline(
                rate, color=INK[theme], linewidth=1, linestyle="-" if n == min(full) else "--"
            )
            top.annotate(
                f"full, n = {n}", (0, rate), xycoords=("axes fraction", "data"), xytext=(4, 3 if i else -12),
                textcoords="offset points", color=INK[theme], fontsize=9,
            )  # fmt: skip
        n = min((size for _, size in series), default=256)
        for level, size in caches.items():
            width = size / (4 * n)
            if 1 <= width <= 1024:  # noqa: PLR2004  # what the axis shows
                for ax in (top, bottom):
                    ax.axvline(width, color=QUIET[theme], linewidth=1, linestyle=":")
                top.annotate(
                    f"panel of {n} rows fills {level}", (width, 0.02), xycoords=("data", "axes fraction"),
                    xytext=(3, 0), textcoords="offset points", color=QUIET[theme], fontsize=9, rotation=90, va="bottom",
                )  # fmt: skip
        top.set_xscale("log", base=2)
        top.set_ylim(0, 1.1 * max(row.gflops for _, row in _products(bench)))
        top.set_ylabel("GFLOPS")
        figure.legend(loc="outside upper left", ncols=2)
        bottom.set_ylim(0, 100)
        bottom.set_ylabel("overhead, % of time")
        bottom.set_xlabel("block size")
        bottom.xaxis.set_major_formatter("{x:.0f}")
        return figure

    rows = tuple(
        (
            f"{strategy}, n = {n}",
            block,
            round(row.gflops, 4),
            "" if row.overhead is None else round(row.overhead, 4),
        )
        for (strategy, n), points in series.items()
        for block, row in sorted(points, key=lambda point: point[0])
    )
    return Picture(
        "blocks",
        "How wide must a block be?",
        "Speed over the width of a panel, and the share of the time that framework calls cost. Lines mark the whole "
        "product and the width at which a panel of the right-hand matrix fills a cache.",
        "Speed rises with the block size towards that of the whole product while the share of overhead falls.",
        ("panels", "block", "GFLOPS", "overhead"),
        rows,
        draw,
    )


def epochs(bench: Bench) -> Picture:
    """Seconds per epoch and updates per second over the minibatch size, for every epoch strategy."""
    series: dict[str, list[tuple[int, Row]]] = {}
    for row in bench.rows:
        case = Case.parse(row.case)
        if case.family == "sgd":
            series.setdefault(case.strategy, []).append((case.axes["batch"], row))
    source = next((row.data for row in bench.rows if row.data), "")

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(8, 4.2))
        left, right = figure.subplots(1, 2)
        for i, (strategy, points) in enumerate(series.items()):
            ordered = sorted(points, key=lambda point: point[0])
            sizes, rows = [size for size, _ in ordered], [row for _, row in ordered]
            colour = COLOURS[theme].get(strategy, INK[theme])
            style = {"color": colour, "marker": MARKERS.get(strategy, "o"), "markersize": 6}
            errors = [
                [row.seconds - row.low for row in rows],
                [row.high - row.seconds for row in rows],
            ]
            left.errorbar(
                sizes,
                [row.seconds for row in rows],
                yerr=errors,
                elinewidth=1,
                label=strategy,
                **style,
            )
            right.plot(
                sizes,
                [row.calls / row.seconds for row in rows],
                label=f"{strategy}",
                zorder=3 + i,
                **style,
            )
        for ax, name in ((left, "seconds per epoch"), (right, "updates per second")):
            ax.set_xscale("log")
            ax.set_yscale("log")
            ax.set_xlabel("minibatch size")
            ax.set_title(name)
            ax.set_xticks(SIZES, [str(size) for size in SIZES])
        left.legend()
        return figure

    rows = tuple(
        (strategy, size, row.seconds, row.low, row.high, round(row.calls / row.seconds, 1))
        for strategy, points in series.items()
        for size, row in sorted(points, key=lambda point: point[0])
    )
    return Picture(
        "epochs",
        "What an epoch costs",
        f"Median and quartiles of an epoch over 1500 examples ({source or 'no'} data), by how it is run. The loader "
        "fetches row by row, so its epochs stop getting cheaper; written out without autograd, they do not.",
        "Seconds per epoch fall with the minibatch size for every strategy; manual is one to two orders of magnitude "
        "below the loader.",
        ("strategy", "minibatch", "s/epoch", "lower quartile", "upper quartile", "updates/s"),
        rows,
        draw,
    )


def _band(trained: Trained, quantile: Callable[[Sequence[float]], float]) -> list[float]:
    """A quantile of the losses over seeds at every point that all seeds have reached with a finite loss."""
    count = min(len(run.losses) for run in trained.runs)
    return [quantile([run.losses[i] for run in trained.runs]) for i in range(count)]


def _tenth(values: Sequence[float]) -> float:
    return (
        statistics.quantiles(values, n=10, method="inclusive")[0] if len(values) > 1 else values[0]
    )


def _ninetieth(values: Sequence[float]) -> float:
    return (
        statistics.quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]
    )


def loss(training: Training) -> Picture:
    """Loss against time, examples and updates, with bands over seeds: the chapter's figure."""
    limits = training.problem

    def abscissae(trained: Trained) -> tuple[list[float], list[float], list[float]]:
        count = len(_band(trained, statistics.median))
        seconds = [statistics.median(run.seconds[i] for run in trained.runs) for i in range(count)]
        return (
            seconds,
            [float(x) for x in trained.examples[:count]],
            [float(x) for x in trained.updates[:count]],
        )

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(8, 7))
        grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))
        panels = [
            figure.add_subplot(grid[0, :]),
            figure.add_subplot(grid[1, 0]),
            figure.add_subplot(grid[1, 1]),
        ]
        heads = ("against time", "against examples", "against updates")
        names = ("seconds of training", "examples seen", "updates")
        for trained in training.experiments:
            name = trained.experiment.name
            colour = COLOURS[theme].get(name, INK[theme])
            middle = _band(trained, statistics.median)
            low, high = _band(trained, _tenth), _band(trained, _ninetieth)
            label = NAMES.get(name, name) + (" (diverges)" if trained.diverged else "")
            for panel, xs in zip(panels, abscissae(trained), strict=True):
                panel.plot(
                    xs[1:],
                    middle[1:],
                    color=colour,
                    marker=MARKERS.get(name, "o"),
                    markersize=4,
                    label=label,
                )
                panel.fill_between(xs[1:], low[1:], high[1:], color=colour, alpha=0.16, linewidth=0)
        for panel, head, name in zip(panels, heads, names, strict=True):
            panel.axhline(limits.least, color=INK[theme], linewidth=1, linestyle=(0, (4, 3)))
            panel.set_title(head)
            panel.set_xlabel(name)
            panel.set_ylim(0.238, 0.35)
            if head != "against examples":
                panel.set_xscale("log")
        panels[0].set_ylabel("loss")
        panels[1].set_ylabel("loss")
        panels[0].annotate(
            f"L* = {limits.least:.4f}", (0, limits.least), xycoords=("axes fraction", "data"), xytext=(4, 4),
            textcoords="offset points", color=INK[theme], fontsize=9,
        )  # fmt: skip
        panels[1].set_xticks(range(0, 15001, 5000))
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper left", ncols=3)
        return figure

    rows = tuple(
        (trained.experiment.name, int(seen), int(made), seconds, middle, low, high)
        for trained in training.experiments
        for seconds, seen, made, middle, low, high in zip(
            *abscissae(trained),
            *(_band(trained, each) for each in (statistics.median, _tenth, _ninetieth)),
            strict=True,
        )
    )
    seeds = max((len(trained.runs) for trained in training.experiments), default=0)
    ways = ", ".join(dict.fromkeys(trained.experiment.strategy for trained in training.experiments))
    return Picture(
        "loss",
        "Loss against time: the chapter's figure",
        f"Median over {seeds} seeds, with bands from the 10th to the 90th percentile, on the {limits.source} data; "
        f"epochs run by {ways}. L* is the least loss there is. Evaluation is not part of the time.",
        "Losses fall from 0.49 towards L*, each experiment at its own pace; gradient descent with the chapter's rate "
        "turns upwards.",
        ("experiment", "examples", "updates", "seconds", "median loss", "10 %", "90 %"),
        rows,
        draw,
    )


def noise(claims: ClaimsRecord) -> Picture:
    """The deviation of minibatch gradients over their size, with the theory for both samplers."""

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(8, 4.4))
        ax = figure.subplots()
        for sampling in ("replacement", "shuffled"):
            points = [point for point in claims.noise if point.sampling == sampling]
            colour = COLOURS[theme][sampling]
            shown = [point for point in points if point.measured > 1e-9]  # noqa: PLR2004  # a log axis has no zero
            ax.plot(
                [point.size for point in shown], [point.measured for point in shown], MARKERS[sampling], color=colour,
                markersize=7, label=f"{NAMES[sampling]}, measured",
            )  # fmt: skip
            exact = [(point.size, point.theory) for point in points if point.theory > 1e-9]  # noqa: PLR2004  # as above
            line = "-" if sampling == "replacement" else "--"
            name = "b^(-1/2)" if sampling == "replacement" else "b^(-1/2) and the finite population"
            ax.plot(
                *zip(*exact, strict=True), line, color=colour, linewidth=1.4, label=f"exact: {name}"
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(SIZES, [str(size) for size in SIZES])
        ax.set_xlabel("minibatch size b")
        ax.set_ylabel("deviation of the gradient")
        ax.legend()
        return figure

    return Picture(
        "noise",
        "Noise of the gradient",
        f"Root of the summed variances of a minibatch gradient at w = 0, over 2500 draws each ({claims.source} data). "
        "Without replacement the full batch has no noise at all.",
        "With replacement the deviation falls as the root of the minibatch size; without replacement it falls faster "
        "and ends at zero for 1500 examples.",
        ("sampling", "minibatch", "measured", "exact"),
        tuple((point.sampling, point.size, point.measured, point.theory) for point in claims.noise),
        draw,
    )
