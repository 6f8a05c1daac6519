"""The vocabulary of the gate: what is measured, what is known of it, and the record of a run.

Times are seconds, changes are fractions (0.03 is 3 % slower), log-ratios are natural logarithms of
candidate over baseline. Everything is frozen; `storage` turns a record into JSON and back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import ClassVar, Literal

from flopline.progress import Progress  # noqa: TC001  # cattrs reads the types of fields
from flopline.records import SavedRecord

SideName = Literal["baseline", "candidate"]
Stage = Literal["screen", "confirm"]
Clock = Literal["cpu", "wall", "timer"]
Phase = Literal["collect", "setup", "call", "teardown", "process"]
Outcome = Literal["failed", "skipped", "crashed", "hung", "unused", "stopped", "missing", "changed"]
Verdict = Literal["regressed", "improved", "unchanged", "inconclusive", "not comparable"]

BLIND = 0.05
"""The share of the work that CPU time may overlook.

CPU time does not describe a benchmark that does more than this outside of the calling thread.
"""
HANDOVER = 5e-6
"""Seconds per call that handing work to another thread costs at least.

Reading the clocks around a batch costs 1 to 2 us per round, which is no work in other threads.
"""


@dataclass(frozen=True)
class Batch:
    """One timed batch of one side.

    Attributes:
        calls: Calls of the benchmarked function in it.
        wall: Seconds on the monotonic clock.
        cpu: CPU seconds of the calling thread.
        process: CPU seconds of the whole process.
        voluntary: Voluntary context switches: waits for sleep, locks, input or other threads.
        involuntary: Involuntary context switches: somebody else took the processor.
        timer: Seconds by the suite's own timer; None where it set none.
    """

    calls: int
    wall: float
    cpu: float
    process: float
    voluntary: int
    involuntary: int
    timer: float | None = None


@dataclass(frozen=True)
class Quad:
    """Batches of both sides in turn: ABBA or BAAB; AB or BA where a benchmark may not be called more often.

    Attributes:
        baseline: The baseline's batches in time order.
        candidate: The candidate's.
    """

    baseline: tuple[Batch, ...]
    candidate: tuple[Batch, ...]


@dataclass(frozen=True)
class Loss:
    """Why a benchmark has no numbers in a block.

    Attributes:
        side: The side at fault; None where both are.
        phase: Where it happened; `process` when the worker itself ended.
        outcome: What happened. `unused`: the test never called its fixture. `stopped`: the other
            side is at fault. `missing`: one side does not collect it. `changed`: its source differs
            between the sides, which matters only with `--suite-from each`.
        text: The last lines of what it said.
    """

    side: SideName | None
    phase: Phase
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Block:
    """One fresh pair of processes; the unit of evidence.

    Attributes:
        stage: `screen` or `confirm`.
        hash_seed: PYTHONHASHSEED of both sides.
        padding: Bytes by which both environments were padded.
        cpu: The CPU both sides were pinned to while they were timed.
        candidate_first: Whether the coin put the candidate into the first slot.
        randomised: Whether address-space randomisation was on.
        seconds: Wall time of the block.
        steal: Share of CPU time that the hypervisor took meanwhile.
        load: One-minute load average at its end.
        quads: Per benchmark.
        wide: Benchmarks timed on all given CPUs, because they wait or use threads.
        canary: Quads in which the candidate's slot did exactly `detect` more work.
        control: Quads with equal work.
        lost: Benchmarks without numbers, and why.
    """

    stage: Stage
    hash_seed: int
    padding: int
    cpu: int
    candidate_first: bool
    randomised: bool
    seconds: float
    steal: float
    load: float
    quads: dict[str, list[Quad]]
    wide: list[str]
    canary: list[Quad]
    control: list[Quad]
    lost: dict[str, Loss]


@dataclass(frozen=True)
class Comparison:
    """What is known about one benchmark.

    Attributes:
        id: pytest's node id.
        verdict: See docs/gate.md.
        change: Estimated relative change of the time per call; None where nothing was measured.
        low: Lower end of the 95 % interval of the change.
        high: Upper end.
        detectable: The smallest slowdown, a fraction, that the last stage would have found.
        detectable_probability: With which probability: 0.95 that the screen suspects it, or 0.9 that
            the confirming blocks reject it.
        seconds: Seconds per call of the baseline, median.
        sigma: Standard deviation of the block values, in log-ratios.
        clock: What decided.
        stage: The last stage it went through.
        blocks: Blocks behind the numbers.
        beyond: Of those, blocks beyond the margin in the direction of the change.
        p: Exact p-value of the confirming test; None where it was not confirmed.
        limit: Holm's limit for that p-value.
        note: What else a reader must know, in words; may be empty.
        planned: Confirming blocks for which a suspicion of slowness called; there are fewer where the budget ended.
    """

    id: str
    verdict: Verdict
    change: float | None = None
    low: float | None = None
    high: float | None = None
    detectable: float | None = None
    seconds: float | None = None
    sigma: float | None = None
    clock: Clock | None = None
    stage: Stage | None = None
    blocks: int = 0
    beyond: int = 0
    p: float | None = None
    limit: float | None = None
    note: str = ""
    planned: int = 0
    detectable_probability: float | None = None


@dataclass(frozen=True)
class Difference:
    """A call site that one side runs more often, per call of the benchmarked function.

    Attributes:
        function: The function called, as a reader would name it.
        where: `file:line` of the calling line, relative to the project.
        baseline: Calls there on the baseline.
        candidate: Calls there on the candidate.
        seconds: Time in the additional calls on the profiled run; rough, for sorting.
    """

    function: str
    where: str
    baseline: int
    candidate: int
    seconds: float


@dataclass(frozen=True)
class SideFacts:
    """One of the two versions.

    Attributes:
        name: `baseline` or `candidate`.
        version: What was asked for, and what it resolved to, in words.
        commit: Full hash, empty where there is none.
        python: Interpreter version.
        packages: Installed distributions, name to version.
    """

    name: SideName
    version: str
    commit: str = ""
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """What was asked of the gate.

    Attributes:
        detect: The relative slowdown that must be found.
        alpha: Probability of any false alarm in the run.
        budget: Seconds the run may take.
        arguments: Arguments for pytest.
        suite_from: Whose benchmark files both sides ran: `candidate`, `baseline` or `each`.
    """

    detect: float = 0.03
    alpha: float = 0.01
    budget: float = 300.0
    arguments: tuple[str, ...] = ()
    suite_from: Literal["candidate", "baseline", "each"] = "candidate"


class ExitCode(IntEnum):
    """What a gate run ends with, and what it means."""

    NO_REGRESSION = 0
    REGRESSION = 1
    COULD_NOT_WORK = 2
    UNDECIDED = 3


@dataclass(frozen=True)
class BlockRequest:
    """One block that should be measured next.

    Attributes:
        stage: The stage that it belongs to.
        benchmarks: Node ids of the benchmarks, in the order in which they run.
        seconds: Timed seconds per benchmark, both sides together.
        progress: Where the run is, for people who wait.
    """

    stage: Stage
    benchmarks: tuple[str, ...]
    seconds: float
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class GateRecord(SavedRecord):
    """Everything that a gate run found.

    Attributes:
        settings: What was asked.
        baseline: The version that was compared with.
        candidate: The version that was judged.
        blocks: Every block in the order in which it was measured.
        comparisons: What is known about each benchmark.
        added: Node ids that only the candidate has.
        removed: Node ids that only the baseline has.
        canary: The known slowdown of `settings.detect` as it was measured, a fraction; None where
            it was not measured.
        control: The known slowdown of zero as it was measured.
        noise: The smallest change that a single quad can show here, a fraction.
        explanations: Per regressed benchmark, the call sites that the candidate runs more often.
        warnings: What a reader must know, in words.
        result: The run's answer in words.
        exit_code: The run's answer as the exit code of `flopline gate`.
    """

    kind: ClassVar[str] = "gate"
    schema_version: ClassVar[int] = 3
    settings: Settings
    baseline: SideFacts
    candidate: SideFacts
    blocks: list[Block]
    comparisons: list[Comparison]
    added: list[str]
    removed: list[str]
    canary: float | None
    control: float | None
    noise: float | None
    explanations: dict[str, list[Difference]]
    warnings: list[str]
    result: str
    exit_code: ExitCode
