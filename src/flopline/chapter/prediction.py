"""How long each product should take on this machine, and how long it takes.

A time is predicted as `max(flops / as_narrow, bytes / read) + calls x overhead`: the arithmetic or
the memory, whichever takes longer, and what the framework calls cost beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from flopline import machine, timing
from flopline.chapter.ceilings import Ceilings, measure_ceilings
from flopline.progress import Progress, silent
from flopline.records import Beginning, SavedRecord
from flopline.workload import verify, verify_again

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flopline.progress import Report
    from flopline.workload import Workload


@dataclass(frozen=True)
class Prediction:
    """The time of a product as it was measured, and as the ceilings predict it.

    Attributes:
        case: The name of the case.
        seconds: Measured seconds per run, in the fastest batch.
        flops: Floating-point operations of a run.
        bytes: Bytes that a run asks of memory.
        calls: Framework calls of a run.
        overhead: Seconds per call of the same loop on the smallest operands.
        level: The level of memory that holds what one call asks for.
        as_narrow: `Ceilings.as_narrow` of the product that one call makes, in floating-point
            operations per second.
        predicted: `max(flops / as_narrow, bytes / read) + calls x overhead`, in seconds.
        explained: Predicted over measured time. It is near 1 when it is known why the case takes
            as long as it does.
        of_peak: The share of the fastest product's rate that the case reaches.
        of_roof: The share of the roofline, `max(flops / peak, bytes / read)`, that it reaches.
        overhead_share: The share of the time that calls cost.
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


@dataclass(frozen=True, kw_only=True)
class MachineRecord(SavedRecord):
    """The record of `flopline machine`.

    Attributes:
        ceilings: What the machine can do at best.
        cases: The predicted and measured times of products.
    """

    kind: ClassVar[str] = "machine"
    schema_version: ClassVar[int] = 2
    ceilings: Ceilings
    cases: tuple[Prediction, ...]


@dataclass(frozen=True)
class Timing:
    """The measured times of a workload.

    Attributes:
        seconds: Seconds per run.
        overhead: Seconds per call of the same loop on the smallest operands.
    """

    seconds: float
    overhead: float


def predict(workload: Workload, timed: Timing, ceilings: Ceilings) -> Prediction:
    """Predicts a workload's time from the ceilings, and compares it with the measured one."""
    level = ceilings.level(workload.bytes / workload.calls)
    as_narrow = ceilings.flops
    if workload.product is not None:
        as_narrow = ceilings.as_narrow(*workload.product)
    reading = workload.bytes / level.read
    at_peak = workload.flops / ceilings.flops
    calling = workload.calls * timed.overhead
    predicted = max(workload.flops / as_narrow, reading) + calling
    return Prediction(
        case=workload.case.name,
        seconds=timed.seconds,
        flops=workload.flops,
        bytes=workload.bytes,
        calls=workload.calls,
        overhead=timed.overhead,
        level=level.name,
        as_narrow=as_narrow,
        predicted=predicted,
        explained=predicted / timed.seconds,
        of_peak=at_peak / timed.seconds,
        of_roof=max(at_peak, reading) / timed.seconds,
        overhead_share=min(1.0, calling / timed.seconds),
    )


ROUNDS = 5
"""Batches of each workload."""


def measure_times(workloads: Sequence[Workload], *, report: Report = silent) -> list[Timing]:
    """Measures verified workloads in turns, each as the fastest of its batches.

    Args:
        workloads: What to measure. The overhead of one without a smallest form is that of its own
            run.
        report: Shows progress.

    Raises:
        WrongAnswerError: The answer of a workload is wrong, before or after it was timed.
    """
    runs: dict[tuple[int, str], Callable[[], object]] = {}
    for number, workload in enumerate(workloads):
        report(Progress("verifying", number, len(workloads), detail=workload.case.name))
        verify(workload)
        runs[number, "whole"] = workload.run
        runs[number, "tiny"] = _tiny(workload).run

    def report_round(finished: int) -> None:
        report(Progress("timing", finished, ROUNDS))

    samples = timing.turns(runs, timing.host_clock(), rounds=ROUNDS, report=report_round)
    times = []
    for number, workload in enumerate(workloads):
        verify_again(workload)
        seconds = min(samples[number, "whole"])
        overhead = min(samples[number, "tiny"]) / _tiny(workload).calls
        times.append(Timing(seconds, overhead))
    return times


def _tiny(workload: Workload) -> Workload:
    return workload.tiny or workload


def record_machine(workloads: Sequence[Workload], *, report: Report = silent) -> MachineRecord:
    """Measures the ceilings and the workloads on one thread, and predicts the times of the latter.

    Args:
        workloads: Products.
        report: Shows progress.

    Raises:
        WrongAnswerError: The answer of a workload is wrong.
    """
    beginning = Beginning()
    report(Progress("measuring the ceilings"))
    ceilings = measure_ceilings(threads=1)
    with machine.pinned(1):
        times = measure_times(workloads, report=report)
    pairs = zip(workloads, times, strict=True)
    return MachineRecord(
        **beginning.head(machine=machine.describe(), threads=1),
        ceilings=ceilings,
        cases=tuple(predict(workload, timed, ceilings) for workload, timed in pairs),
    )
