"""How long a product should take on this machine, and how long it takes.

A case's time is predicted as `max(flops / as_narrow, bytes / read) + calls x overhead`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from flopline import __version__, records, timing
from flopline import workload as strategies
from flopline.chapter.ceilings import Ceilings, ceilings
from flopline.machine import describe, pinned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.workload import Workload

Report = Callable[[str, float], None]
"""Told what is at work, and the share of the work that is done."""


def silent(_name: str, _share: float) -> None:
    """A report that nobody reads."""


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
        report=lambda turn: report(
            f"timing, round {turn + 1} of {ROUNDS}", (1 + turn / ROUNDS) / 2
        ),
    )
    best = {key: min(times) for key, times in found.items()}
    return [
        (best[i, False], best[i, True] / _least(workload).calls)
        for i, workload in enumerate(workloads)
    ]


def _least(workload: Workload) -> Workload:
    return workload.tiny or workload


@dataclass(frozen=True, kw_only=True)
class Machine(records.SavedRecord):
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
    rows = tuple(
        explain(workload, *both, found) for workload, both in zip(workloads, times, strict=True)
    )
    return Machine(
        machine=describe(),
        threads=threads,
        started=started,
        seconds=time.perf_counter() - begin,
        flopline=__version__,
        ceilings=found,
        cases=rows,
    )
