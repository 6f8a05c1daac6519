"""A made-up machine that measures blocks at once, on a made-up clock."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flopline.gate.record import Batch, Block, Loss, Quad
from flopline.gate.run import drive
from flopline.gate.schedule.budget import Budget
from flopline.gate.schedule.evidence import Evidence
from flopline.gate.schedule.plan import Schedule
from flopline.gate.schedule.screen import screen

if TYPE_CHECKING:
    from flopline.gate.record import BlockRequest, Settings, Stage
    from flopline.gate.schedule.plan import Round

SCHEDULE = Schedule(blocks=4, screen_seconds=0.1, confirm_seconds=0.2)
QUADS = 12
"""Quads of a benchmark in a block, unless it is slow."""
SCREENED = 0.1
"""Seconds that these quads take."""
UNLIMITED = 1e6
"""Seconds of a budget that never ends."""
CRASHED = Loss("candidate", "process", "crashed", "exit code 7; last words")
STOPPED = Loss(None, "process", "stopped", "after the one before crashed")
FAILED = Loss("candidate", "call", "failed", "E   ValueError: no")


@dataclass
class Machine:
    """Measures made-up blocks.

    Attributes:
        changes: The log-ratio of every benchmark.
        sigma: Standard deviation of the block values.
        scatter: Standard deviation of the quads within a block, which comes on top of that.
        values: Block values of a benchmark in a stage, instead of random ones; the last repeats.
        start: Seconds that a block takes beside what is timed in it.
        slow: Seconds of a quad of a benchmark that is slow.
        wide: Benchmarks that need all CPUs.
        parallel: Benchmarks with two threads, each with the log-ratio of its wall time.
        canary: The log-ratio that the canary shows; by default the right one.
        canaries: What it shows instead, by the number of the block.
        absent: Benchmarks that the baseline does not collect.
        losses: What is lost in a block, by the number of the block.
        pauses: Seconds that a block takes longer, by the number of the block.
        stops: What is raised instead of a block, by the number of the block.
        now: What the clock shows.
        requests: The blocks that were requested.
    """

    changes: dict[str, float]
    sigma: float = 0.002
    scatter: float = 0.0
    values: dict[tuple[Stage, str], list[float]] = field(default_factory=dict)
    start: float = 2.0
    slow: dict[str, float] = field(default_factory=dict)
    wide: frozenset[str] = frozenset()
    parallel: dict[str, float] = field(default_factory=dict)
    canary: float = math.log1p(0.03)
    canaries: dict[int, float] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    losses: dict[int, dict[str, Loss]] = field(default_factory=dict)
    pauses: dict[int, float] = field(default_factory=dict)
    stops: dict[int, BaseException] = field(default_factory=dict)
    now: float = 0.0
    requests: list[BlockRequest] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def measure(self, requests: Round) -> tuple[Block, ...]:
        """Measures blocks side by side; together they take as long as the longest one."""
        begin, ends = self.now, []
        blocks = []
        for request in requests:
            self.now = begin
            blocks.append(self._measure(request))
            ends.append(self.now)
        self.now = max(ends)
        return tuple(blocks)

    def _measure(self, request: BlockRequest) -> Block:
        number = len(self.requests)
        self.requests.append(request)
        if number in self.stops:
            raise self.stops[number]
        lost = dict(self.losses.get(number, {}))
        for name in self.absent.intersection(request.benchmarks):
            lost[name] = Loss("baseline", "collect", "missing", "it is not collected there")
        wide = [name for name in request.benchmarks if name in self.wide]
        quads = {}
        parallel = {}
        spent = {}
        for name in request.benchmarks:
            if name not in lost and (request.alone or name not in wide):
                count = 1 if name in self.slow else QUADS
                quad_seconds = max(SCREENED / QUADS, self.slow.get(name, 0.0))
                count = max(count, request.quads.get(name, 1))
                seconds = max(request.seconds, count * quad_seconds)
                value = self._value(name, request.stage)
                taken = self._quads(name, value, seconds / count, count)
                if name in self.parallel:
                    taken = [in_threads(quad, 0.0) for quad in taken]
                    parallel[name] = [in_threads(quad, self.parallel[name]) for quad in taken]
                quads[name] = taken
                spent[name] = seconds
        seconds = self.start + sum(spent.values()) + self.pauses.get(number, 0.0)
        self.now += seconds
        controls = request.controls
        return Block(
            stage=request.stage,
            hash_seed=number,
            padding=0,
            cpu=0,
            candidate_first=False,
            randomised=False,
            seconds=seconds,
            steal=0.0,
            load=0.0,
            quads=quads,
            wide=wide,
            canary=[quad_of(self.canaries.get(number, self.canary), 0.1)] if controls else [],
            control=[quad_of(0.0, 0.1)] if controls else [],
            lost=lost,
            spent=spent,
            parallel=parallel,
        )

    def _quads(self, name: str, value: float, seconds: float, count: int) -> list[Quad]:
        """Returns quads of a block, which scatter around its value."""
        noise = random.Random(f"{name} {len(self.requests)}")  # noqa: S311  # it must repeat
        return [quad_of(value + noise.gauss(0, self.scatter), seconds) for _ in range(count)]

    def _value(self, name: str, stage: Stage) -> float:
        """Returns the value of a benchmark in the block that was requested last."""
        # What is screened again goes on with the values of the screen.
        stage = "screen" if stage == "again" else stage
        stages = ("screen", "again") if stage == "screen" else (stage,)
        requests = [request for request in self.requests if request.stage in stages]
        number = sum(name in request.benchmarks for request in requests)
        if (stage, name) in self.values:
            values = self.values[stage, name]
            return values[min(number, len(values)) - 1]
        noise = random.Random(f"{stage} {name} {number}")  # noqa: S311  # it must repeat
        return self.changes[name] + noise.gauss(0, self.sigma)

    def confirming(self) -> list[BlockRequest]:
        """Returns the requests of the confirm stage."""
        return [request for request in self.requests if request.stage == "confirm"]


def quad_of(ratio: float, seconds: float) -> Quad:
    """Returns a quad with a log-ratio that takes so many seconds, all of it work on the CPU."""
    shorter = seconds / (2 + 2 * math.exp(ratio))
    longer = shorter * math.exp(ratio)
    baseline = Batch(100, shorter, shorter, shorter, 0, 0)
    candidate = Batch(100, longer, longer, longer, 0, 0)
    return Quad((baseline, baseline), (candidate, candidate))


def in_threads(quad: Quad, ratio: float) -> Quad:
    """Returns a quad whose work is done in other threads, and whose wall time has a log-ratio."""
    baseline = [replace(batch, cpu=batch.process / 2) for batch in quad.baseline]
    longer = math.exp(ratio)
    candidate = [
        replace(batch, cpu=batch.process / 2, wall=longer * batch.wall) for batch in quad.candidate
    ]
    return Quad(tuple(baseline), tuple(candidate))


def screened(
    machine: Machine,
    settings: Settings,
    *,
    seconds: float = UNLIMITED,
    schedule: Schedule = SCHEDULE,
) -> tuple[Evidence, Budget]:
    """Returns the evidence after the screen, and the budget of which the screen took its part."""
    evidence = Evidence(settings, tuple(machine.changes))
    budget = Budget(seconds, machine.clock)
    drive(screen(evidence, budget, schedule), machine.measure, evidence)
    return evidence, budget
