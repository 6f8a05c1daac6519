"""The vocabulary of the gate: what it measures, what it concludes, and the record of a run.

Times are seconds. Changes are fractions, so that 0.03 is 3 % slower. Log-ratios are natural
logarithms of the candidate's time over the baseline's. All records are frozen; `storage` turns a
whole record into JSON and back.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import KW_ONLY, dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from flopline.gate.rules import Rule, matches
from flopline.records import SavedRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from flopline.progress import Progress

SideName = Literal["baseline", "candidate"]
Stage = Literal["screen", "again", "check", "confirm"]
"""What a block is measured for.

- `screen`: All benchmarks, in a few short blocks.
- `again`: What is unclear after these, in longer blocks.
- `check`: The built-in checks alone, if they failed in the screen.
- `confirm`: What looked slower or faster.
"""
Clock = Literal["cpu", "process", "wall", "timer"]
"""What a benchmark is judged by: `judge.clock.choose_clock` says which, and why.

- `cpu`: CPU time of the calling thread.
- `process`: CPU time of the process and of its children.
- `wall`: The time that passed.
- `timer`: The suite's own timer.

Each name is a field of `Batch`, and of the worker's `Reading`. A new clock is read in the worker's
`Meter`, and is one of the `BATCH_TIMES`.
"""
Phase = Literal["collect", "setup", "call", "teardown", "process"]
Outcome = Literal[
    "failed",
    "skipped",
    "rerun",
    "implausible",
    "crashed",
    "hung",
    "unused",
    "stopped",
    "missing",
    "changed",
]
Verdict = Literal["regressed", "improved", "unchanged", "inconclusive", "not comparable"]

VERDICT_ORDER: tuple[Verdict, ...] = (
    "regressed",
    "inconclusive",
    "not comparable",
    "improved",
    "unchanged",
)
"""The verdicts in the order of a report: what needs attention comes first."""

BLIND = 0.05
"""The share of the work that CPU time may overlook.

CPU time does not describe a benchmark that does more than this outside of the calling thread.
"""
HANDOVER = 5e-6
"""Seconds per call that handing work to another thread costs at least."""
METER = 2e-5
"""CPU seconds of a process beside its thread's that reading the clocks of a batch can pretend.

The worker takes off what an empty round costs, which is 1 to 2 us. Where the caches are cold, for
example after a call of 20 ms, the clocks take a few times as long.
"""


MIN_QUADS = 12
"""Quads that are taken per benchmark and block even if that exceeds the planned time."""
MIN_QUADS_SECONDS = 0.4
"""Seconds that are never exceeded to reach MIN_QUADS; one quad is taken however long it lasts."""


@dataclass(frozen=True)
class Batch:
    """One timed batch of calls on one side.

    Attributes:
        calls: The number of calls of the benchmarked function in the batch.
        wall: Seconds that passed on the monotonic clock.
        cpu: CPU seconds that the calling thread used.
        process: CPU seconds that the whole process used.
        voluntary: Voluntary context switches: the thread waited for sleep, locks, input or other
            threads.
        involuntary: Involuntary context switches: the kernel gave the processor to somebody else.
        timer: Seconds by the suite's own timer; None if the suite set none.
        children: CPU seconds that child processes used.
    """

    calls: int
    wall: float
    cpu: float
    process: float
    voluntary: int
    involuntary: int
    timer: float | None = None
    children: float = 0.0

    @property
    def elsewhere(self) -> float:
        """CPU seconds of other threads and of child processes, less what is tolerated.

        It is positive if more than 5 % of the batch, 5 us per call and 20 us are done there.
        """
        tolerated = max(BLIND * self.cpu, HANDOVER * self.calls + METER)
        return self.process - self.cpu + self.children - tolerated


BATCH_TIMES = ("wall", "cpu", "process", "timer", "children")
"""The fields of a batch that are seconds.

They are saved as nanoseconds, and stretched where the gate is tested with a known slowdown.
"""


@dataclass(frozen=True)
class Quad:
    """Batches of both sides in turn.

    The order of the turns is ABBA or BAAB. It is AB or BA if the benchmark's author does not allow
    so many calls.

    Attributes:
        baseline: The baseline's batches in time order.
        candidate: The candidate's batches in time order.
    """

    baseline: tuple[Batch, ...]
    candidate: tuple[Batch, ...]


@dataclass(frozen=True)
class Loss:
    """Why a benchmark has no numbers in a block.

    Attributes:
        side: The side at fault; None if both are.
        phase: The phase of the test in which it happened; `process` if the worker itself ended.
        outcome: What happened. `rerun` means that a plugin ran the test again, not so that its last
            attempt could be timed on both sides, `implausible` that a side's readings cannot be
            true, `unused` that the test never called its fixture,
            `stopped` that the other side is at fault, `missing` that one side does not collect the
            benchmark, and `changed` that its source differs between the sides. The last one
            matters only with `--suite-from each`.
        text: The last lines of the output.
    """

    side: SideName | None
    phase: Phase
    outcome: Outcome
    text: str


@dataclass(frozen=True)
class Block:
    """One fresh pair of processes, which is the unit of evidence.

    Attributes:
        stage: The stage for which the block was measured.
        hash_seed: The PYTHONHASHSEED of both sides.
        padding: The number of bytes by which both environments were padded.
        cpu: The CPU to which both sides were pinned while they were timed.
        candidate_first: True if the coin put the candidate into the first slot.
        randomised: True if address-space randomisation was on.
        seconds: Wall time of the block.
        steal: The share of CPU time that the hypervisor took during the block; None where the
            kernel does not tell.
        load: The one-minute load average at the end of the block; None where the kernel does not
            tell.
        quads: The quads of each benchmark, by node id.
        wide: Benchmarks that were timed on all given CPUs, because they wait, or work in threads
            or child processes.
        canary: Quads in which the candidate's slot did exactly `detect` more work; none if the
            request was for no controls.
        control: Quads in which both slots did equal work; none likewise.
        lost: Why the other benchmarks have no numbers, by node id.
        alternate: Benchmarks that were measured one side after the other, because both sides need
            something of which there is one.
        spent: What each benchmark has cost, by node id: seconds from its setup to its teardown on
            both sides, with all that is not timed.
        forked: Whether both sides were forked from one process, with all that they share; the
            hash seed and the padding are then those of that process.
        parallel: Further quads of benchmarks that work in threads or child processes, by node id.
            These were timed on all given CPUs, and those in `quads` on one. They are for the second
            clock.
        calls: How many calls of functions in Python and C one call of a benchmarked function made,
            on the baseline's side and on the candidate's, by node id. It is counted in blocks of
            the screen, once each, where a call is short and the test's author allows another one.
    """

    stage: Stage
    hash_seed: int
    padding: int
    cpu: int
    candidate_first: bool
    randomised: bool
    seconds: float
    steal: float | None
    load: float | None
    quads: dict[str, list[Quad]]
    wide: list[str]
    canary: list[Quad]
    control: list[Quad]
    lost: dict[str, Loss]
    alternate: list[str] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)
    forked: bool = False
    parallel: dict[str, list[Quad]] = field(default_factory=dict)
    calls: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """What a run concludes about one benchmark.

    Attributes:
        id: pytest's node id.
        verdict: The verdict; docs/gate.md defines each.
        change: The estimated relative change of the time per call; None if nothing was measured.
        low: The lower end of the 95 % interval of the change.
        high: The upper end of that interval.
        detectable: The smallest slowdown, as a fraction, that the run would have called regressed.
        detectable_probability: The probability with which it would have done so.
        seconds: The median of the baseline's seconds per call.
        sigma: The standard deviation of the block values, in log-ratios.
        clock: The clock on which the verdict rests.
        stage: The last stage in which the benchmark was measured.
        blocks: The number of blocks behind the numbers.
        beyond: How many of them lie beyond the margin, in the direction of the change.
        p: The exact p-value of the confirming test; None if there was no such test.
        limit: Holm's limit for that p-value.
        note: What else a reader must know, in words; may be empty.
        planned: The number of confirming blocks that a benchmark that looked slower still needed
            when the budget ended, together with those it had; otherwise those that it had.
        accepted: The short hash of the candidate's commit that accepts a slowdown of the benchmark;
            empty if there is none.
        report_only: Whether the benchmark never changes the exit code.
        calls_baseline: How many calls of functions in Python and C one call of the benchmarked
            function makes on the baseline's side; None if that was not counted.
        calls_candidate: The same on the candidate's side.
        calls_vary: Whether two counts of one side differed. The numbers are then the smallest.
    """

    id: str
    verdict: Verdict
    _: KW_ONLY
    change: float | None = None
    low: float | None = None
    high: float | None = None
    detectable: float | None = None
    detectable_probability: float | None = None
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
    accepted: str = ""
    report_only: bool = False
    calls_baseline: int | None = None
    calls_candidate: int | None = None
    calls_vary: bool = False

    @property
    def is_binding(self) -> bool:
        """Whether a slowdown of the benchmark is one of the run."""
        return not self.accepted and not self.report_only

    @property
    def has_calls(self) -> bool:
        """Whether its calls were counted."""
        return self.calls_baseline is not None and self.calls_candidate is not None

    @property
    def more_calls(self) -> int:
        """How many calls more the candidate makes; 0 if that varies or was not counted."""
        if self.calls_baseline is None or self.calls_candidate is None or self.calls_vary:
            return 0
        return self.calls_candidate - self.calls_baseline


@dataclass(frozen=True)
class BlockValue:
    """What one block says about one benchmark.

    Attributes:
        stage: What the block was measured for; `screen` also if that was to screen again.
        value: The median of its log-ratios.
    """

    stage: Stage
    value: float


@dataclass(frozen=True)
class Difference:
    """A call site that one side runs more often than the other.

    Attributes:
        function: The function that is called, as a reader would name it.
        where: The calling line as `file:line`, relative to the project.
        baseline: How often the baseline calls it there, per call of the benchmarked function.
        candidate: How often the candidate does.
        seconds: Time that the additional calls took in the profiled run. It is rough, and only
            good for sorting.
    """

    function: str
    where: str
    baseline: int
    candidate: int
    seconds: float


@dataclass(frozen=True)
class SideFacts:
    """One of the two versions that were compared.

    Attributes:
        name: Which of the two it is.
        version: What was requested and what that resolved to, in words.
        commit: The full hash of the commit; empty if there is none.
        python: The version of the interpreter.
        packages: The installed distributions, from name to version.
    """

    name: SideName
    version: str
    commit: str = ""
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)


MOST_PARTS = 1000
"""A suite has at most this many parts; a matrix of GitHub's has 256 jobs at most."""


@dataclass(frozen=True)
class Part:
    """Which of several equal shares of a suite a run measures, for example `2/4`.

    Attributes:
        number: The number of the part; the first is 1.
        of: How many parts there are. One is the whole suite.

    Raises:
        ValueError: There is no such part.
    """

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of <= MOST_PARTS:
            raise ValueError(f"there is no part {self.number} of {self.of}")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def share(self, names: Collection[str]) -> frozenset[str]:
        """Returns the benchmarks of this part; every machine gets the same answer.

        Neighbours in the order of their names are often one test with other parameters, and cost
        alike. So of every `of` neighbours each part gets one. A digest decides who gets which:
        were it their order, one part would get the largest size of every test.

        Args:
            names: The node ids of all benchmarks, in any order.
        """
        ordered = sorted(names)
        chosen: set[str] = set()
        for first in range(0, len(ordered), self.of):
            neighbours = sorted(ordered[first : first + self.of], key=_digest)
            chosen.update(neighbours[self.number - 1 : self.number])
        return frozenset(chosen)


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode(errors="surrogatepass")).digest()


@dataclass(frozen=True)
class Settings:
    """What was requested of the gate.

    Attributes:
        detect: The relative slowdown that must be found.
        alpha: The accepted probability of any false alarm in the run.
        budget: The number of seconds that the run may take.
        arguments: The arguments for pytest; for an asv suite, regular expressions that the names of
            benchmarks match.
        suite_from: The side whose benchmark files both sides ran; `each` if each ran its own.
        alternate: Whether the fixtures of only one side may live at a time.
        part: The part of the suite that is measured.
        rules: What is asked of some benchmarks in particular. Where several name the same one, the
            later ones outrank the earlier.
        report_only: Whether the exit code is 0 whatever the verdicts are.
        inconclusive: What an undecided run is: `fail` has an exit code of its own, `pass` has 0.
        asv: The folder of the asv suite, relative to the project; empty if the suite is pytest's.
        calls: Whether a benchmark that makes more calls fails the run, whatever time it takes.
    """

    detect: float = 0.03
    alpha: float = 0.01
    budget: float = 300.0
    arguments: tuple[str, ...] = ()
    suite_from: Literal["candidate", "baseline", "each"] = "candidate"
    alternate: bool = False
    part: Part = Part()
    asv: str = ""
    rules: tuple[Rule, ...] = ()
    report_only: bool = False
    inconclusive: Literal["fail", "pass"] = "fail"
    calls: bool = False

    def rule(self, benchmark: str) -> Rule:
        """Returns what is asked of a benchmark in particular."""
        together = Rule(benchmark)
        for rule in self.rules:
            if matches(rule.pattern, benchmark):
                together = rule.over(together)
        return together

    def for_benchmark(self, benchmark: str) -> Settings:
        """Returns these settings with the `detect` of a benchmark."""
        detect = self.rule(benchmark).detect
        return self if detect is None else replace(self, detect=detect)

    def without_exceptions(self) -> Settings:
        """Returns settings that ask the same of every benchmark, except of those left out."""
        kept = [Rule(rule.pattern, ignore=rule.ignore) for rule in self.rules]
        return replace(self, rules=tuple(kept), report_only=False, inconclusive="fail")

    def exit_code(self, judged: ExitCode) -> ExitCode:
        """Returns what a run ends with that was judged so, where less than that may be asked."""
        passes = {ExitCode.UNDECIDED} if self.inconclusive == "pass" else set()
        if self.report_only:
            passes = {ExitCode.REGRESSION, ExitCode.UNDECIDED}
        return ExitCode.NO_REGRESSION if judged in passes else judged

    def for_part(self, part: Part) -> Settings:
        """Returns the settings of one part of this run.

        Each part may raise a false alarm with an equal share of this run's probability. Whatever
        the parts have to do with each other, all of them together then have at most the whole of
        it (Bonferroni).
        """
        return replace(self, alpha=self.alpha / part.of, part=part)

    def for_whole(self) -> Settings:
        """Returns the settings of the whole run of which this is a part."""
        return replace(self, alpha=self.alpha * self.part.of, part=Part())

    @property
    def margin(self) -> float:
        """The log-ratio that is tolerated: that of a slowdown by a third of `detect`.

        It covers what belongs to a version but not to its speed, for example how its code is laid
        out in memory, which no repetition removes.
        """
        return math.log1p(self.detect / 3)

    @property
    def suspicion(self) -> float:
        """The log-ratio above which a screened benchmark is suspected: half of `detect`'s."""
        return math.log1p(self.detect) / 2


class ExitCode(IntEnum):
    """What a gate run ends with.

    Attributes:
        word: One word for it, with which a report can begin.
        meaning: What the code means, for reports and help texts.
    """

    word: str
    meaning: str

    NO_REGRESSION = 0, "passed", "no regression"
    REGRESSION = 1, "regressed", "a regression was confirmed"
    COULD_NOT_WORK = 2, "failed", "the gate could not do its work"
    UNDECIDED = 3, "inconclusive", "too noisy, or too little time, for an answer"

    def __new__(cls, code: int, word: str = "", meaning: str = "") -> Self:
        """Makes a member whose value is the code alone, so that `ExitCode(1)` finds it."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.word = word
        member.meaning = meaning
        return member


@dataclass(frozen=True)
class BlockRequest:
    """One block that should be measured next.

    Attributes:
        stage: The stage that it belongs to.
        benchmarks: Node ids of the benchmarks, in the order in which they run.
        seconds: Timed seconds per benchmark, both sides together.
        progress: How far the run has come, for people who wait.
        controls: Whether the built-in checks are measured, too.
        alone: Whether no other block is measured at the same time. Otherwise the block has one CPU,
            and benchmarks that need all of them are only named.
        quads: The fewest quads of those benchmarks that get more than the timed seconds give.
    """

    stage: Stage
    benchmarks: tuple[str, ...]
    seconds: float
    progress: Progress
    controls: bool = True
    alone: bool = True
    quads: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class PartFacts:
    """One of the parts of which a run was joined.

    Attributes:
        part: Which part it is.
        machine: The facts of its machine.
        started: When it began, in ISO 8601, UTC.
        seconds: How long it took.
        result: Its own answer in words.
        exit_code: Its own answer as an exit code.
    """

    part: Part
    machine: dict[str, Any]
    started: str
    seconds: float
    result: str
    exit_code: ExitCode


@dataclass(frozen=True, kw_only=True)
class GateRecord(SavedRecord):
    """Everything that a gate run measured and concluded.

    Attributes:
        settings: What was requested.
        baseline: The version with which the candidate was compared.
        candidate: The version that was judged.
        blocks: Every block in the order in which it was measured.
        comparisons: What is known about each benchmark.
        added: Node ids that only the candidate has.
        removed: Node ids that only the baseline has.
        canary: The known slowdown of `settings.detect` as it was measured, as a fraction; None if
            it was not measured.
        control: The known slowdown of zero as it was measured; None if it was not measured.
        noise: How far equal code is from itself within a quad, as a fraction; the median over all
            quads.
        explanations: The call sites that the candidate runs more or less often, by the node id of
            the regressed benchmark.
        warnings: What a reader must know, in words.
        result: The run's answer in words.
        exit_code: The run's answer as the exit code of `flopline gate`.
        suite: If a part of the suite was measured, the node ids of the whole, in its order.
        parts: If the record was joined, the parts of which it was. The machine is then that of the
            first, and `seconds` is what the longest took.
        values: If the record was joined, the values of the blocks by node id; `gate.values` finds
            them in other records.
        ignored: Node ids of benchmarks that were not measured, because the settings say so.
        judged: The answer as an exit code where `settings.report_only` and `settings.inconclusive`
            are not regarded; None in records of versions that had neither.
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
    suite: list[str] = field(default_factory=list)
    parts: list[PartFacts] = field(default_factory=list)
    values: dict[str, list[BlockValue]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    judged: ExitCode | None = None

    @property
    def found(self) -> ExitCode:
        """What the run found, as an exit code, whatever the program ended with."""
        return self.exit_code if self.judged is None else self.judged
