"""What this machine can do at best.

The ceilings are measured through torch, because torch is what the suite runs on: the fastest product, products with few
rows or columns, the rate at which each level of memory is read, and the price of one framework call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from flopline import timing
from flopline.machine import cache_bytes, caches, memory_bytes, pinned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor


@dataclass(frozen=True)
class Level:
    """A level of the memory hierarchy.

    Attributes:
        name: `L1`, `L2`, `L3` or `memory`.
        capacity: Bytes it holds.
        read: Bytes per second at which torch sums a working set that fits in.
    """

    name: str
    capacity: int
    read: float


@dataclass(frozen=True)
class Narrow:
    """The rate of products with few rows, or few columns.

    Attributes:
        width: How many.
        flops: float32 floating-point operations per second, the call's own cost left out.
    """

    width: int
    flops: float


@dataclass(frozen=True)
class Ceilings:
    """What this machine can do at best.

    Attributes:
        threads: Threads that were used.
        flops: float32 floating-point operations per second of the fastest product.
        rows: Rates of products with few rows, fewest first.
        columns: Rates of products with few columns, fewest first.
        levels: The memory hierarchy, smallest level first.
        copy: Bytes per second, read and written together, of a copy in main memory.
        dispatch: Seconds of one framework call on eight numbers.
    """

    threads: int
    flops: float
    rows: tuple[Narrow, ...]
    columns: tuple[Narrow, ...]
    levels: tuple[Level, ...]
    copy: float
    dispatch: float

    def level(self, working_set: float) -> Level:
        """The smallest level that holds this many bytes."""
        return next(
            (level for level in self.levels if working_set <= level.capacity), self.levels[-1]
        )

    def as_narrow(self, rows: int, columns: int) -> float:
        """The rate of products with so few rows, or that with so few columns, whichever is lower."""
        return min(self._at(rows, self.rows), self._at(columns, self.columns))

    def _at(self, width: int, known: tuple[Narrow, ...]) -> float:
        """The rate at a width; between known widths times lie on a line, beyond them it is that of all products."""
        if width > known[-1].width:
            return self.flops
        width = max(1, width)
        return width / float(
            np.interp(
                width, [each.width for each in known], [each.width / each.flops for each in known]
            )
        )


PRODUCTS = (512, 1024)
"""Edges of the products among which the fastest is looked for."""
PASS = 1 << 26
"""Bytes that one probe of a cache reads: it sums a small buffer again and again in one call, so that the call's own
cost is paid once. A call of its own per pass would measure dispatch: a 16 KiB sum then reads 2 GB/s."""
DISPATCHES = 200
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
"""Rows and columns of the narrow products."""
EDGE = 384
"""The other edges of a narrow product: its matrix of 576 KiB fits into a second-level cache of 1 MiB, and 384 is no
power of two, which would put a column's numbers into few sets of a cache."""


def working_sets(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Bytes of the buffer by which each level is probed, `memory` being the last.

    Half a private cache; of the last one, which others share, three times the one before it and at most a half: the
    less a probe asks for, the less a neighbour can take from it. For main memory four times the caches together (the
    rule of the STREAM benchmark), at least 256 MiB, at most an eighth of it.

    Args:
        sizes: Bytes of the caches, smallest first.
        total: Bytes of main memory.
    """
    *private, last = sizes or {"L3": 0}
    buffers = {level: sizes[level] // 2 for level in private}
    if sizes:
        buffers[last] = (
            min(sizes[last] // 2, 3 * sizes[private[-1]]) if private else sizes[last] // 4
        )
    return buffers | {"memory": min(max(1 << 28, 4 * sum(sizes.values())), total // 8)}


def ceilings(*, threads: int = 1, patience: float = 4.0) -> Ceilings:
    """Measures the ceilings, each as the best of many probes: noise can only lower a rate.

    The probes take turns, so that a neighbour who takes the processor for a second spoils a few probes of each ceiling
    and not all of one; and they go on until no ceiling has risen by a hundredth for a while.

    Args:
        threads: Threads that torch and BLAS may use.
        patience: Seconds without a rise after which it ends; it ends after five times as long in any case.
    """
    sizes, generator = cache_bytes(caches()), torch.Generator().manual_seed(0)
    buffers = working_sets(sizes, memory_bytes())
    with pinned(threads), torch.inference_mode():
        probes = {f"mm {n}": _product(n, generator) for n in PRODUCTS}
        probes |= {f"{width} rows": _narrow(width, generator) for width in WIDTHS}
        probes |= {f"{width} columns": _narrow(width, generator, columns=True) for width in WIDTHS}
        probes |= {level: _read(size, generator) for level, size in buffers.items()}
        x, out = torch.ones(8), torch.empty(8)
        probes["mm"] = _narrow(1, generator, edge=1)
        probes["dispatch"] = Probe(
            DISPATCHES, lambda: [torch.add(x, x, out=out) for _ in range(DISPATCHES)]
        )
        source = _random(buffers["memory"] // 8, generator)
        target = torch.empty_like(source)
        probes["copy"] = Probe(buffers["memory"], lambda: target.copy_(source))
        rates = best_rates(probes, patience, timing.host_clock())
    capacities = sizes | {"memory": memory_bytes()}
    call = 2 / rates["mm"]  # seconds of a product of two numbers
    rows, columns = (
        tuple(
            Narrow(width, _without(call, 2 * EDGE * EDGE * width, rates[f"{width} {side}"]))
            for width in WIDTHS
        )
        for side in ("rows", "columns")
    )
    return Ceilings(
        threads=threads,
        flops=max(*(rates[f"mm {n}"] for n in PRODUCTS), *(each.flops for each in rows + columns)),
        rows=rows,
        columns=columns,
        levels=tuple(Level(level, capacities[level], rates[level]) for level in buffers),
        copy=rates["copy"],
        dispatch=1 / rates["dispatch"],
    )


@dataclass(frozen=True)
class Probe:
    """A call, and the work it does."""

    work: float
    run: Callable[[], object]


def _random(numbers: int, generator: torch.Generator) -> Tensor:
    """Normal numbers: on constant data processors and GPUs draw less power and run faster. They repeat after 2^20."""
    drawn = torch.randn(min(numbers, 1 << 20), generator=generator)
    return drawn.repeat(math.ceil(numbers / len(drawn)))[:numbers]


def _product(n: int, generator: torch.Generator) -> Probe:
    b, c = (_random(n * n, generator).view(n, n) for _ in range(2))
    out = torch.empty(n, n)
    return Probe(2 * n**3, lambda: torch.mm(b, c, out=out))


def _narrow(
    width: int, generator: torch.Generator, *, columns: bool = False, edge: int = EDGE
) -> Probe:
    """So many rows, or columns, of a product; often enough that the matrix comes from a cache."""
    b, c = (_random(edge * edge, generator).view(edge, edge) for _ in range(2))
    out, times = torch.empty(edge, edge), max(16, WIDTHS[-1] // width)
    b, c, out = (b, c[:, :width], out[:, :width]) if columns else (b[:width], c, out[:width])
    return Probe(
        times * 2 * edge * out.numel(), lambda: [torch.mm(b, c, out=out) for _ in range(times)]
    )


def _without(call: float, flops: int, rate: float) -> float:
    """The rate of calls of so many operations without a call's own cost, which a prediction adds; at most twice it."""
    return flops / max(flops / rate - call, flops / rate / 2)


def _read(size: int, generator: torch.Generator) -> Probe:
    numbers, passes = size // 4, max(1, PASS // size)
    rows = _random(numbers, generator).expand(passes, numbers)
    sums = torch.empty(passes)
    return Probe(4 * numbers * passes, lambda: torch.sum(rows, 1, out=sums))


RISE = 1.01
"""A rate that is higher by this factor than the last that was news is news."""


def best_rates(
    probes: Mapping[str, Probe], patience: float, clock: timing.Clock
) -> dict[str, float]:
    """The highest rate of each probe, in work per second, from probes that take turns.

    Args:
        probes: What to run, by name.
        patience: Seconds without a rise of any rate after which it ends; it ends after five times as long in any case.
        clock: Gives seconds.
    """
    for probe in probes.values():
        probe.run()
    least, news, start = dict.fromkeys(probes, math.inf), dict.fromkeys(probes, math.inf), clock()
    end = start + patience
    while clock() < end or math.inf in least.values():
        for name, probe in probes.items():
            taken = timing.batch(probe.run, 1, clock)
            least[name] = min(least[name], taken)
            if taken * RISE < news[name]:
                news[name], end = taken, min(clock() + patience, start + 5 * patience)
    return {name: probe.work / least[name] for name, probe in probes.items()}
