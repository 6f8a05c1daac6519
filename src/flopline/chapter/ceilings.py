"""What this machine can do at best.

The ceilings are measured through torch, because torch is what the suite runs on. They are the
fastest product, products with few rows or columns, the rate at which each level of memory is read,
and the price of one framework call.
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
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor


@dataclass(frozen=True)
class Level:
    """A level of the memory hierarchy.

    Attributes:
        name: `L1`, `L2`, `L3` or `memory`.
        capacity: The bytes that it holds.
        read: Bytes per second at which torch sums a working set that fits into it.
    """

    name: str
    capacity: int
    read: float


@dataclass(frozen=True)
class NarrowProduct:
    """The rate of products with few rows, or with few columns.

    Attributes:
        width: The number of rows, or of columns.
        flops: float32 floating-point operations per second, without the cost of the call itself.
    """

    width: int
    flops: float


@dataclass(frozen=True)
class Ceilings:
    """What this machine can do at best.

    Attributes:
        threads: The threads that were used.
        flops: float32 floating-point operations per second of the fastest product.
        rows: Rates of products with few rows, fewest first.
        columns: Rates of products with few columns, fewest first.
        levels: The memory hierarchy, smallest level first.
        copy: Bytes per second, read and written together, of a copy in main memory.
        dispatch: Seconds of one framework call on eight numbers.
    """

    threads: int
    flops: float
    rows: tuple[NarrowProduct, ...]
    columns: tuple[NarrowProduct, ...]
    levels: tuple[Level, ...]
    copy: float
    dispatch: float

    def level(self, working_set: float) -> Level:
        """Returns the smallest level that holds this many bytes, otherwise the largest level."""
        for level in self.levels:
            if working_set <= level.capacity:
                return level
        return self.levels[-1]

    def as_narrow(self, rows: int, columns: int) -> float:
        """Returns the rate of products as narrow as this one, in operations per second.

        It is the lower one of two rates: of products with as few rows and of products with as few
        columns.
        """
        return min(self._rate(rows, self.rows), self._rate(columns, self.columns))

    def _rate(self, width: int, measured: tuple[NarrowProduct, ...]) -> float:
        """Returns the rate at a width.

        Between two measured widths, times are interpolated linearly. Beyond the widest one, the
        rate is that of the fastest product.
        """
        if width > measured[-1].width:
            return self.flops
        width = max(1, width)
        widths = [product.width for product in measured]
        times = [product.width / product.flops for product in measured]
        return width / float(np.interp(width, widths, times))


EDGES = (512, 1024)
"""Edges of the square products among which the fastest is sought."""
PASS = 1 << 26
"""Bytes that one probe of a cache reads.

The probe sums a small buffer many times in one call, so that the cost of the call is paid once.
With one call per pass, the cost of the call would be measured: the sum of 16 KiB would then read
2 GB/s.
"""
DISPATCHES = 200
"""Framework calls that one probe of their price makes."""
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
"""Rows and columns of the narrow products."""
EDGE = 384
"""The other edges of a narrow product.

Its matrix of 576 KiB fits into a second-level cache of 1 MiB, and 384 is not a power of two, which
would put the numbers of a column into few sets of a cache.
"""


def working_sets(sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Returns the bytes of the buffer with which each level is probed; `memory` is the last one.

    A private cache is probed with a buffer of half its size. The last-level cache is shared with
    other cores, so its buffer is three times the size of the previous level (at most half of the
    cache): a smaller buffer is less likely to be evicted by a neighbour. Main memory is probed
    with four times all caches together (the rule of the STREAM benchmark), at least 256 MiB and at
    most an eighth of the memory.

    Args:
        sizes: Bytes of the caches, smallest first.
        total: Bytes of main memory.
    """
    buffers = {level: size // 2 for level, size in sizes.items()}
    if len(sizes) == 1:
        buffers = {level: size // 4 for level, size in sizes.items()}
    elif sizes:
        *_, previous, last = sizes
        buffers[last] = min(sizes[last] // 2, 3 * sizes[previous])
    buffers["memory"] = min(max(1 << 28, 4 * sum(sizes.values())), total // 8)
    return buffers


@dataclass(frozen=True, eq=False)
class Probe:
    """A call that is timed again and again, and the work that it does.

    Attributes:
        work: Operations, bytes or calls of one run; a rate is in these units per second.
        run: The call.
    """

    work: float
    run: Callable[[], object]


@dataclass(frozen=True, eq=False)
class Probes:
    """Everything that is timed to find the ceilings.

    Attributes:
        squares: Whole products, in floating-point operations.
        rows: Products with few rows by their number, in floating-point operations.
        columns: Products with few columns by their number, in floating-point operations.
        levels: Sums over a buffer that fits into a level, by the level's name, in bytes.
        copy: A copy in main memory, in bytes.
        smallest: Products of two numbers, in floating-point operations.
        dispatch: Additions of eight numbers, in calls.
    """

    squares: tuple[Probe, ...]
    rows: dict[int, Probe]
    columns: dict[int, Probe]
    levels: dict[str, Probe]
    copy: Probe
    smallest: Probe
    dispatch: Probe

    def all(self) -> list[Probe]:
        """Returns every probe, in the order of their turns."""
        return [
            *self.squares,
            *self.rows.values(),
            *self.columns.values(),
            *self.levels.values(),
            self.smallest,
            self.dispatch,
            self.copy,
        ]


def prepare_probes(buffers: Mapping[str, int], generator: torch.Generator) -> Probes:
    """Allocates what the probes need.

    Args:
        buffers: As `working_sets` gives them.
        generator: The source of the numbers.
    """
    return Probes(
        squares=tuple(_square(edge, generator) for edge in EDGES),
        rows={width: _few_rows(width, generator) for width in WIDTHS},
        columns={width: _few_columns(width, generator) for width in WIDTHS},
        levels={level: _read(size, generator) for level, size in buffers.items()},
        copy=_copy(buffers["memory"], generator),
        smallest=_few_rows(1, generator, edge=1),
        dispatch=_dispatch(),
    )


def _random(numbers: int, generator: torch.Generator) -> Tensor:
    """Returns normal numbers, which repeat after 2^20.

    Processors and GPUs draw less power on constant data, and run faster.
    """
    drawn = torch.randn(min(numbers, 1 << 20), generator=generator)
    return drawn.repeat(math.ceil(numbers / len(drawn)))[:numbers]


def _matrix(edge: int, generator: torch.Generator) -> Tensor:
    return _random(edge * edge, generator).view(edge, edge)


def _square(edge: int, generator: torch.Generator) -> Probe:
    b, c = _matrix(edge, generator), _matrix(edge, generator)
    out = torch.empty(edge, edge)
    return Probe(2 * edge**3, lambda: torch.mm(b, c, out=out))


def _few_rows(width: int, generator: torch.Generator, *, edge: int = EDGE) -> Probe:
    b, c = _matrix(edge, generator), _matrix(edge, generator)
    out = torch.empty(edge, edge)
    return _repeated(width, b[:width], c, out[:width])


def _few_columns(width: int, generator: torch.Generator) -> Probe:
    b, c = _matrix(EDGE, generator), _matrix(EDGE, generator)
    out = torch.empty(EDGE, EDGE)
    return _repeated(width, b, c[:, :width], out[:, :width])


def _repeated(width: int, b: Tensor, c: Tensor, out: Tensor) -> Probe:
    """Returns a product that is made so often in one run that its matrix comes from a cache."""
    times = max(16, WIDTHS[-1] // width)

    def run() -> None:
        for _ in range(times):
            torch.mm(b, c, out=out)

    return Probe(times * 2 * b.shape[1] * out.numel(), run)


def _read(size: int, generator: torch.Generator) -> Probe:
    """Returns sums over a buffer of `size` bytes: its rows have stride 0, so all are the same."""
    numbers = size // 4
    passes = max(1, PASS // size)
    rows = _random(numbers, generator).expand(passes, numbers)
    sums = torch.empty(passes)
    return Probe(4 * numbers * passes, lambda: torch.sum(rows, 1, out=sums))


def _copy(size: int, generator: torch.Generator) -> Probe:
    """Returns a copy that reads and writes `size` bytes together."""
    source = _random(size // 8, generator)
    target = torch.empty_like(source)
    return Probe(size, lambda: target.copy_(source))


def _dispatch() -> Probe:
    x, out = torch.ones(8), torch.empty(8)

    def run() -> None:
        for _ in range(DISPATCHES):
            torch.add(x, x, out=out)

    return Probe(DISPATCHES, run)


RISE = 1.01
"""Probing continues for as long as some rate keeps improving by at least this factor."""


def best_rates(probes: Sequence[Probe], patience: float, clock: timing.Clock) -> dict[Probe, float]:
    """Returns the highest rate of each probe, in work per second.

    The probes take turns, so that a neighbour who takes the processor for a second spoils a few
    probes of each ceiling instead of all probes of one.

    Args:
        probes: What to run; each runs once untimed at first.
        patience: Seconds without a rise of any rate by `RISE` after which probing ends. It ends
            after five times as long in any case.
        clock: Gives seconds.
    """
    for probe in probes:
        probe.run()
    shortest = dict.fromkeys(probes, math.inf)
    at_last_rise = dict.fromkeys(probes, math.inf)
    start = clock()
    end = start + patience
    while clock() < end or math.inf in shortest.values():
        for probe in probes:
            seconds = timing.batch(probe.run, 1, clock)
            shortest[probe] = min(shortest[probe], seconds)
            if seconds * RISE < at_last_rise[probe]:
                at_last_rise[probe] = seconds
                end = min(clock() + patience, start + 5 * patience)
    return {probe: probe.work / shortest[probe] for probe in probes}


def measure_ceilings(*, threads: int = 1, patience: float = 4.0) -> Ceilings:
    """Measures the ceilings, each as the best of many probes, because noise can only lower a rate.

    Args:
        threads: Threads that torch and BLAS may use.
        patience: As for `best_rates`.
    """
    sizes = cache_bytes(caches())
    buffers = working_sets(sizes, memory_bytes())
    with pinned(threads), torch.inference_mode():
        probes = prepare_probes(buffers, torch.Generator().manual_seed(0))
        rates = best_rates(probes.all(), patience, timing.host_clock())

    seconds_per_call = 2 / rates[probes.smallest]  # two operations make a product of two numbers
    rows = _narrow_products(probes.rows, rates, seconds_per_call)
    columns = _narrow_products(probes.columns, rates, seconds_per_call)
    fastest = [rates[probe] for probe in probes.squares]
    fastest += [product.flops for product in rows + columns]

    capacities = sizes | {"memory": memory_bytes()}
    levels = [Level(name, capacities[name], rates[probe]) for name, probe in probes.levels.items()]
    return Ceilings(
        threads=threads,
        flops=max(fastest),
        rows=rows,
        columns=columns,
        levels=tuple(levels),
        copy=rates[probes.copy],
        dispatch=1 / rates[probes.dispatch],
    )


def _narrow_products(
    probes: Mapping[int, Probe], rates: Mapping[Probe, float], seconds_per_call: float
) -> tuple[NarrowProduct, ...]:
    """Returns the rates without the cost of the calls, which a prediction adds.

    At most half of the time is attributed to the call.
    """
    products = []
    for width, probe in probes.items():
        flops = 2 * EDGE * EDGE * width
        seconds = flops / rates[probe]
        without_call = max(seconds - seconds_per_call, seconds / 2)
        products.append(NarrowProduct(width, flops / without_call))
    return tuple(products)
