"""Blocks in which the fixtures of only one side live at a time.

Two sessions of one suite run side by side, so whatever has a fixed name is there twice: a port, a
file, a database. Some suites cannot share it. Their benchmarks are measured one side after the
other: both workers are started and collect, then the first one runs its whole session, then the
second one. A coin decides which side is first, anew in every block, so that a block is as valid as
any other and no side has an advantage. It is noisier: the batches of a quad are seconds or minutes
apart instead of a millisecond, so whatever the machine does in between is in the block's value.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flopline.gate.measure.block import (
    BATCH_SECONDS,
    COUNTED_SECONDS,
    FEW_ROUNDS,
    MOST_ATTEMPTS,
    SHORTEST_BATCH,
    loss_of,
    lost_with_worker,
    quads_to_take,
    run_block,
    sized_off_thread,
    slowed,
    works_off_thread,
)
from flopline.gate.measure.exchange import BenchmarkEndedError, Exchange
from flopline.gate.measure.handle import WorkerGoneError
from flopline.gate.measure.orphans import end_strays
from flopline.gate.measure.pair import TAKEN
from flopline.gate.measure.patience import SILENCE, Patience
from flopline.gate.measure.worker.flopline_worker.processes import children
from flopline.gate.measure.worker.flopline_worker.protocol import (
    Abort,
    BatchSize,
    CallSum,
    CollectGarbage,
    GarbageCollected,
    SizeBatch,
    Stop,
    SumCalls,
)
from flopline.gate.record import MIN_QUADS, MIN_QUADS_SECONDS, Loss, Quad

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from flopline.gate.measure.block import BlockMeasurement
    from flopline.gate.measure.handle import WorkerHandle
    from flopline.gate.measure.lanes import Lane
    from flopline.gate.measure.parents import Parents
    from flopline.gate.measure.worker.flopline_worker.protocol import LoadedFile
    from flopline.gate.record import Batch, Block, BlockRequest, Settings, SideName
    from flopline.gate.sides.environment import Side

ENDING_SECONDS = 5.0
"""How long a session that is over may take to leave, before it is ended."""
IN_SETUP = re.compile(r"\Ain the setup of ")
"""How the text begins of a worker that hung before its test called the benchmark fixture."""


@dataclass(frozen=True)
class Division:
    """How a benchmark is divided into batches, which the side that comes first decides.

    Attributes:
        rounds: Rounds in a batch.
        quads: How many quads there are; 0 if only a single batch of each side is allowed.
        wide: Whether it is timed on all CPUs.
    """

    rounds: int
    quads: int
    wide: bool


@dataclass
class SessionAlone:
    """The session of one side, while the other one waits.

    Attributes:
        handle: The worker.
        measurement: The block that it belongs to.
        divisions: How each benchmark is divided; the second side finds what the first decided.
        batches: The batches of each benchmark that was measured.
        calls: How many calls the benchmarks make that were counted.
        lost: Why each other benchmark was not.
        spent: Seconds that each benchmark has cost, from its setup to its teardown.
    """

    handle: WorkerHandle
    measurement: BlockMeasurement
    divisions: dict[str, Division]
    batches: dict[str, list[Batch]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    lost: dict[str, Loss] = field(default_factory=dict)
    spent: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Makes the conversation with this worker alone."""
        self.exchange = Exchange([self.handle])

    def measure(self, benchmarks: Sequence[str], report: Callable[[str], None]) -> None:
        """Runs the whole session, and ends whatever it leaves behind."""
        before = set(children(os.getpid()))
        try:
            self.exchange.spread(self.measurement.cpus, [self.handle.side])
            self.handle.send(self.measurement.order(self.handle, benchmarks))
            for name in benchmarks:
                report(name)
                begin = time.monotonic()
                self._measure_benchmark(name)
                self.spent[name] = time.monotonic() - begin
            self.handle.finish()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.handle.process.wait(ENDING_SECONDS)
        except WorkerGoneError as error:
            undone = [name for name in benchmarks if name not in self.batches | self.lost]
            self.lost |= lost_with_worker(undone, error)
        self.handle.end()
        end_strays(before)

    def _measure_benchmark(self, name: str) -> None:
        """Measures one benchmark, or keeps why it is lost.

        Where a plugin runs the test again, the last attempt counts.

        Raises:
            WorkerGoneError: The worker ended, fell silent or went astray.
        """
        exchange = self.exchange
        exchange.enter(name)
        batches: list[Batch] = []
        attempts = 0
        while exchange.ready:
            batches = []
            released = set(exchange.ready)
            if attempts < MOST_ATTEMPTS:
                attempts += 1
                batches = self._time_attempt(name)
                released = set(exchange.playing)
            exchange.spread(self.measurement.cpus, released)
            exchange.release(released, Stop() if batches else Abort())
            exchange.wait()
        if exchange.problems or exchange.implausible or not exchange.called or not batches:
            self.lost[name] = loss_of(exchange, [])
        else:
            self.batches[name] = batches

    def _time_attempt(self, name: str) -> list[Batch]:
        """Times the test, which waits; returns nothing if it fails on the way.

        Raises:
            WorkerGoneError: The worker ended, fell silent or went astray.
        """
        ready = self.exchange.ready[self.handle.side]
        self.exchange.play()
        try:
            return self._time(name, ready.allowed_rounds)
        except BenchmarkEndedError:
            return []

    def _time(self, name: str, allowed_rounds: int | None) -> list[Batch]:
        """Takes the batches of one benchmark, as `BlockMeasurement` takes those of both sides.

        Raises:
            BenchmarkEndedError: The test failed on the way.
        """
        allowed = float("inf") if allowed_rounds is None else float(allowed_rounds)
        rounds, remaining, slow, wide = self._size(allowed)
        division = self.divisions.get(name)
        if division is not None:
            rounds, wide = division.rounds, wide or division.wide
        if allowed > FEW_ROUNDS and not wide:
            self.exchange.pin([self.measurement.cpu])
        self.exchange.ask([CollectGarbage()], GarbageCollected)
        batch_seconds = MIN_QUADS_SECONDS if slow else BATCH_SECONDS
        if remaining > 2 * rounds and not slow:
            (warm_up,) = self.exchange.take_turns([0], [rounds])
            remaining -= rounds
            wide = wide or works_off_thread(warm_up)
            batch_seconds = max(warm_up.wall, SHORTEST_BATCH)
        self.exchange.pin(self.measurement.cpus if wide else [self.measurement.cpu])
        fewest = self.measurement.fewest_quads.get(name, 1)
        seconds = self.measurement.seconds
        quads = quads_to_take(seconds, batch_seconds, remaining / (2 * rounds), fewest)
        if division is not None:
            quads = min(quads, division.quads)
        self.divisions[name] = Division(rounds, quads, wide)
        batches = self.exchange.take_turns([0] * max(1, 2 * quads), [rounds])
        is_short = any(batch.wall / batch.calls <= COUNTED_SECONDS for batch in batches)
        if self.measurement.counts_calls and allowed_rounds is None and is_short:
            answer = self.exchange.ask([SumCalls()], CallSum)
            self.calls[name] = answer[self.handle.side].calls
        return batches

    def _size(self, allowed: float) -> tuple[int, float, bool, bool]:
        """Sizes a batch, on all CPUs because what a first call starts may count them.

        Returns:
            The rounds of a batch, the rounds that remain, whether a round is slow, and whether the
            side spends time outside of its thread.
        """
        if allowed <= FEW_ROUNDS:
            return 1, allowed, False, False
        at_most = None if allowed == float("inf") else int(allowed // 4)
        sizes = self.exchange.ask([SizeBatch(BATCH_SECONDS, at_most)], BatchSize)
        size = sizes[self.handle.side]
        remaining = allowed - size.used
        rounds = max(1, min(size.rounds, remaining / (4 * MIN_QUADS)))
        return int(rounds), remaining, size.slow, sized_off_thread(size)


def measure_alternately(
    measurement: BlockMeasurement, benchmarks: Sequence[str], report: Callable[[str], None]
) -> None:
    """Measures the benchmarks of a block one side after the other, in the order of the slots."""
    divisions: dict[str, Division] = {}
    sessions = []
    for handle in measurement.exchange.handles:
        session = SessionAlone(handle, measurement, divisions)
        session.measure(benchmarks, report)
        sessions.append(session)
    by_side = {session.handle.side: session for session in sessions}
    baseline, candidate = by_side["baseline"], by_side["candidate"]
    for name in benchmarks:
        measurement.spent[name] = sum(session.spent.get(name, 0.0) for session in sessions)
        losses = [session.lost[name] for session in sessions if name in session.lost]
        if losses:
            own = sorted(losses, key=lambda loss: loss.outcome == "stopped")
            alone = len(losses) == 1 or own[-1].outcome == "stopped"
            measurement.lost[name] = own[0] if alone else replace(own[0], side=None)
            continue
        quads = form_quads(baseline.batches[name], candidate.batches[name])
        if name in measurement.slowdown:
            quads = [slowed(quad, 1 + measurement.slowdown[name]) for quad in quads]
        measurement.quads[name] = quads
        if name in baseline.calls and name in candidate.calls:
            measurement.calls[name] = (baseline.calls[name], candidate.calls[name])
        if divisions[name].wide:
            measurement.wide.append(name)


def form_quads(baseline: Sequence[Batch], candidate: Sequence[Batch]) -> list[Quad]:
    """Returns quads of two batches a side in time order, or of one if there is only one."""
    both = min(len(baseline), len(candidate))
    size = min(2, both)
    quads = []
    for start in range(0, both - size + 1, size):
        end = start + size
        quads.append(Quad(tuple(baseline[start:end]), tuple(candidate[start:end])))
    return quads


@dataclass
class Blocks:
    """Measures blocks, and benchmarks whose sides disturb each other one side after the other.

    What fails on one side only may fail because the other side, which runs at the same time, has
    what it needs. So it is tried once more, one side after the other. If that measures it, the
    sides stay apart for this benchmark. If not, it is lost as every other one.

    Attributes:
        baseline: The version that is compared with.
        candidate: The version that is judged.
        settings: What is asked of the run.
        cpus: The CPUs that may be used.
        slowdown: Per benchmark, the fraction by which the candidate's readings are lengthened.
        patience: How long workers may be silent.
        warnings: Receives what a reader must know about benchmarks whose sides stay apart.
        loaded: As for `run_block`.
        parents: As for `run_block`.
        apart: These benchmarks.
        tried: The benchmarks that were tried apart.
    """

    baseline: Side
    candidate: Side
    settings: Settings
    cpus: Sequence[int]
    slowdown: Mapping[str, float]
    patience: Patience
    warnings: list[str]
    loaded: Callable[[SideName, list[LoadedFile]], None] | None = None
    parents: Parents | None = None
    apart: set[str] = field(default_factory=set)
    tried: set[str] = field(default_factory=set)

    def measure(
        self, request: BlockRequest, report: Callable[[str], None], lane: Lane | None = None
    ) -> Block:
        """Measures a block.

        Beside other blocks, benchmarks that may need something of which there is one are not
        measured, and are named as those that need all CPUs are.

        Args:
            request: What is measured.
            report: As for `run_block`.
            lane: Where it is measured beside other blocks; None if it is alone.

        Raises:
            WorkerError: A side could not be started or does not collect.
            SuiteError: The arguments switch benchmarks off.
        """
        if lane is not None:
            return self._measure_beside(request, report, lane)
        apart = self.apart.union(request.benchmarks if self.settings.alternate else ())
        alone = tuple(name for name in request.benchmarks if name in apart)
        together = tuple(name for name in request.benchmarks if name not in apart)
        if alone and not together:
            return self._run(request, alone, self.patience, report, alternate=True)
        block = self._run(request, together, self.patience, report)
        request = replace(request, controls=False)  # once is enough
        if alone:
            block = merged(block, self._run(request, alone, self.patience, report, alternate=True))
        clashing = {
            name: loss
            for name, loss in block.lost.items()
            if name in together and name not in self.tried and may_clash(loss)
        }
        if clashing:
            self.tried |= clashing.keys()
            hasty = replace(self.patience, quiet=SILENCE)
            again = self._run(request, tuple(clashing), hasty, report, alternate=True)
            for name in again.quads:
                self.warnings.append(apart_warning(name, clashing[name]))
            self.apart |= again.quads.keys()
            block = merged(block, again)
        return block

    def _measure_beside(
        self, request: BlockRequest, report: Callable[[str], None], lane: Lane
    ) -> Block:
        apart = self.apart.union(request.benchmarks if self.settings.alternate else ())
        together = tuple(name for name in request.benchmarks if name not in apart)
        block = self._run(request, together, self.patience, report, lane=lane)
        alone = [name for name in request.benchmarks if name in apart]
        alone += [name for name, loss in block.lost.items() if may_clash(loss)]
        lost = {name: loss for name, loss in block.lost.items() if name not in alone}
        return replace(block, lost=lost, wide=[*block.wide, *alone])

    def _run(
        self,
        request: BlockRequest,
        benchmarks: tuple[str, ...],
        patience: Patience,
        report: Callable[[str], None],
        *,
        alternate: bool = False,
        lane: Lane | None = None,
    ) -> Block:
        block = run_block(
            self.baseline,
            self.candidate,
            replace(request, benchmarks=benchmarks),
            self.settings,
            cpus=self.cpus,
            slowdown=self.slowdown,
            report=report,
            loaded=self.loaded,
            patience=patience,
            measure=measure_alternately if alternate else None,
            lane=lane,
            parents=self.parents,
        )
        return replace(block, alternate=list(block.quads)) if alternate else block


def may_clash(loss: Loss) -> bool:
    """Returns whether a benchmark may be lost only because both sides run at the same time."""
    if loss.outcome == "hung":
        return bool(IN_SETUP.match(loss.text))
    if loss.outcome not in {"failed", "crashed"}:
        return False
    return loss.side is not None or bool(TAKEN.search(loss.text))


def apart_warning(name: str, loss: Loss) -> str:
    """Returns what a reader must know about a benchmark whose sides are measured apart."""
    lines = loss.text.strip().splitlines() or [loss.outcome]
    # pytest begins the lines of an error with an E.
    errors = [line.removeprefix("E ").strip() for line in lines if line.startswith("E ")]
    reason = (errors or lines)[-1].strip()[:200]
    return (
        f"{name} {loss.outcome} while both sides ran at the same time ({reason}), and did not with "
        "one side after the other; so it was measured like that, which is noisier. Let its "
        "fixtures choose a port or file by FLOPLINE_SLOT, a small number, or give "
        "--alternate-setup from the start"
    )


def merged(block: Block, other: Block) -> Block:
    """Returns one block of the benchmarks of two; what the other one measured is not lost."""
    lost = {name: loss for name, loss in block.lost.items() if name not in other.quads}
    return replace(
        block,
        seconds=block.seconds + other.seconds,
        quads=block.quads | other.quads,
        wide=[*block.wide, *other.wide],
        canary=[*block.canary, *other.canary],
        control=[*block.control, *other.control],
        lost=lost | other.lost,
        alternate=[*block.alternate, *other.alternate],
        spent=block.spent | other.spent,
        parallel=block.parallel | other.parallel,
        calls=block.calls | other.calls,
    )
