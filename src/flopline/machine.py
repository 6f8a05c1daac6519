"""What machine this is, what it can do at best, and how long a product should take on it.

The ceilings are measured through torch, because torch is what the suite runs on: the fastest product, products with few
rows or columns, the rate at which each level of memory is read, and the price of one framework call. A case's time is
then predicted as `max(flops / as_narrow, bytes / read) + calls x overhead`.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from flopline import __version__, records, timing
from flopline import workload as strategies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from flopline.workload import Workload


Report = Callable[[str, float], None]
"""Told what is at work, and the share of the work that is done."""


def silent(_name: str, _share: float) -> None:
    """A report that nobody reads."""


@cache
def describe() -> dict[str, str | int | dict[str, str]]:
    """Processor, cores, memory, caches and torch's back ends of this machine; the GPU where there is one."""
    facts: dict[str, str | int | dict[str, str]] = {
        "cpu": cpu(),
        "cores": os.cpu_count() or 1,
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_bytes": memory(),
        "caches": caches(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "blas": blas(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
    if torch.cuda.is_available():
        facts |= {"gpu": torch.cuda.get_device_name(), "cuda": str(torch.version.cuda)}
    return facts


def cpu() -> str:
    """The processor's model name as the kernel knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory() -> int:
    """Bytes of main memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def caches() -> dict[str, str]:
    """Sizes of the first core's data caches as the kernel gives them, for example `{"L2": "1024K"}`; may be empty."""
    found = {}
    for entry in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((entry / name).read_text(encoding="ascii").strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def cache_bytes(found: Mapping[str, str]) -> dict[str, int]:
    """Sizes as `caches` gives them, in bytes, smallest first."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    sizes = {level: int(size.rstrip("KMG")) * units.get(size[-1], 1) for level, size in found.items()}
    return dict(sorted(sizes.items(), key=lambda item: item[1]))


def blas() -> str:
    """The library behind torch's float32 products on the CPU, for example `mkl 2024.2`."""
    build = torch.__config__.show()
    name = re.search(r"BLAS_INFO=(\w+)", build)
    version = re.search(r"Math Kernel Library Version (\S+?)-", build)
    return " ".join(match[1] for match in (name, version) if match) or "unknown"


@contextlib.contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Gives torch and every BLAS that threadpoolctl knows this many threads, and restores what there was."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        torch.set_num_threads(before)


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
        return next((level for level in self.levels if working_set <= level.capacity), self.levels[-1])

    def as_narrow(self, rows: int, columns: int) -> float:
        """The rate of products with so few rows, or that with so few columns, whichever is lower."""
        return min(self._at(rows, self.rows), self._at(columns, self.columns))

    def _at(self, width: int, known: tuple[Narrow, ...]) -> float:
        """The rate at a width; between known widths times lie on a line, beyond them it is that of all products."""
        if width > known[-1].width:
            return self.flops
        width = max(1, width)
        return width / float(
            np.interp(width, [each.width for each in known], [each.width / each.flops for each in known])
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
        buffers[last] = min(sizes[last] // 2, 3 * sizes[private[-1]]) if private else sizes[last] // 4
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
    buffers = working_sets(sizes, memory())
    with pinned(threads), torch.inference_mode():
        probes = {f"mm {n}": _product(n, generator) for n in PRODUCTS}
        probes |= {f"{width} rows": _narrow(width, generator) for width in WIDTHS}
        probes |= {f"{width} columns": _narrow(width, generator, columns=True) for width in WIDTHS}
        probes |= {level: _read(size, generator) for level, size in buffers.items()}
        x, out = torch.ones(8), torch.empty(8)
        probes["mm"] = _narrow(1, generator, edge=1)
        probes["dispatch"] = Probe(DISPATCHES, lambda: [torch.add(x, x, out=out) for _ in range(DISPATCHES)])
        source = _random(buffers["memory"] // 8, generator)
        target = torch.empty_like(source)
        probes["copy"] = Probe(buffers["memory"], lambda: target.copy_(source))
        rates = best_rates(probes, patience, timing.host_clock())
    capacities = sizes | {"memory": memory()}
    call = 2 / rates["mm"]  # seconds of a product of two numbers
    rows, columns = (
        tuple(Narrow(width, _without(call, 2 * EDGE * EDGE * width, rates[f"{width} {side}"])) for width in WIDTHS)
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


def _narrow(width: int, generator: torch.Generator, *, columns: bool = False, edge: int = EDGE) -> Probe:
    """So many rows, or columns, of a product; often enough that the matrix comes from a cache."""
    b, c = (_random(edge * edge, generator).view(edge, edge) for _ in range(2))
    out, times = torch.empty(edge, edge), max(16, WIDTHS[-1] // width)
    b, c, out = (b, c[:, :width], out[:, :width]) if columns else (b[:width], c, out[:width])
    return Probe(times * 2 * edge * out.numel(), lambda: [torch.mm(b, c, out=out) for _ in range(times)])


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


def best_rates(probes: Mapping[str, Probe], patience: float, clock: timing.Clock) -> dict[str, float]:
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


@dataclass(frozen=True)
class Explained:
    """A case's time, and what the ceilings make of it.

    Attributes:
        case: Its name.
        seconds: Seconds per run, in the fastest batch.
        flops: Floating-point operations of a run.
        bytes: Bytes a run asks of memory.
        calls: Framework calls of a run.
        overhead: Seconds per call of the same loop on the least data.
        level: The level that holds what one call asks for.
        as_narrow: `Ceilings.as_narrow` of the product that one call makes, in floating-point operations per second.
        predicted: `max(flops / as_narrow, bytes / read) + calls x overhead`, in seconds.
        explained: Predicted over measured time; near 1 when it is known why a case takes as long as it does.
        of_peak: Share of the peak that the case reaches.
        of_roof: Share of the roofline, `max(flops / peak, bytes / read)`, that it reaches.
        overhead_share: Share of the time that calls cost.
    """

    case: str
    seconds: float
    flops: int
    bytes: int
    calls: int
    overhead: float
    level: str
    as_narrow: float
    predicted: float
    explained: float
    of_peak: float
    of_roof: float
    overhead_share: float


def explain(workload: Workload, seconds: float, overhead: float, found: Ceilings) -> Explained:
    """Predicts a workload's time from the ceilings and compares it with the measured one.

    Args:
        workload: What was measured.
        seconds: Seconds per run.
        overhead: Seconds per call of its loop on the least data.
        found: The ceilings.
    """
    level = found.level(workload.bytes / workload.calls)
    as_narrow = found.as_narrow(*workload.product) if workload.product else found.flops
    reading = workload.bytes / level.read
    predicted = max(workload.flops / as_narrow, reading) + workload.calls * overhead
    return Explained(
        case=workload.case.name,
        seconds=seconds,
        flops=workload.flops,
        bytes=workload.bytes,
        calls=workload.calls,
        overhead=overhead,
        level=level.name,
        as_narrow=as_narrow,
        predicted=predicted,
        explained=predicted / seconds,
        of_peak=workload.flops / found.flops / seconds,
        of_roof=max(workload.flops / found.flops, reading) / seconds,
        overhead_share=min(1.0, workload.calls * overhead / seconds),
    )


ROUNDS = 5


def measure(workloads: Sequence[Workload], *, report: Report = silent) -> list[tuple[float, float]]:
    """Seconds per run, and seconds per call on the least data, of verified workloads: the best of batches in turns.

    Args:
        workloads: Each with a `least` of its own.
        report: Told what is at work.

    Raises:
        WrongAnswerError: One of them is wrong; nothing is timed then.
    """
    runs: dict[tuple[int, bool], Callable[[], object]] = {}
    for i, workload in enumerate(workloads):
        report(f"verifying {workload.case.name}", i / len(workloads) / 2)
        strategies.verify(workload)
        runs[i, False], runs[i, True] = workload.run, _least(workload).run
    found = timing.turns(
        runs,
        timing.host_clock(),
        rounds=ROUNDS,
        report=lambda turn: report(f"timing, round {turn + 1} of {ROUNDS}", (1 + turn / ROUNDS) / 2),
    )
    best = {key: min(times) for key, times in found.items()}
    return [(best[i, False], best[i, True] / _least(workload).calls) for i, workload in enumerate(workloads)]


def _least(workload: Workload) -> Workload:
    return workload.least or workload


@dataclass(frozen=True, kw_only=True)
class Machine(records.Record):
    """What `flopline machine` found: the ceilings, and how much of the products' times they explain."""

    kind: ClassVar[str] = "machine"
    schema_version: ClassVar[int] = 2
    ceilings: Ceilings
    cases: tuple[Explained, ...]


def examine(
    workloads: Sequence[Workload],
    *,
    threads: int = 1,
    report: Report = silent,
) -> Machine:
    """Measures the ceilings and the workloads, and predicts the one from the other.

    Args:
        workloads: Products.
        threads: Threads that torch and BLAS may use.
        report: Told what is at work.

    Raises:
        WrongAnswerError: A workload is wrong.
    """
    begin, started = time.perf_counter(), records.now()
    report("ceilings", 0.0)
    found = ceilings(threads=threads)
    with pinned(threads):
        times = measure(workloads, report=report)
    rows = tuple(explain(workload, *both, found) for workload, both in zip(workloads, times, strict=True))
    return Machine(
        machine=describe(),
        threads=threads,
        started=started,
        seconds=time.perf_counter() - begin,
        flopline=__version__,
        ceilings=found,
        cases=rows,
    )
