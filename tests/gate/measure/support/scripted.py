"""Workers that only pretend: they answer at once, and note what they were told."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING

from flopline.gate.measure.handle import WorkerGoneError, WorkerHandle
from flopline.gate.measure.pair import Collected, CollectedSource
from flopline.gate.measure.worker.flopline_worker.protocol import (
    Abort,
    BatchSize,
    Bye,
    CallSum,
    CollectGarbage,
    Entered,
    Finished,
    GarbageCollected,
    Message,
    NotPassed,
    Order,
    Reading,
    Ready,
    SizeBatch,
    Stop,
    SumCalls,
    TakeTurns,
    Times,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from flopline.gate.record import SideName
    from flopline.gate.sides.environment import Side

CALL_SECONDS = 1e-6


CALLS = 7
"""Calls that one call of any benchmark makes."""


class ScriptedWorker(WorkerHandle):
    """A worker whose benchmarks all take CALL_SECONDS a call.

    Attributes:
        commands: Everything that it was told.
        allowed: Rounds that the author of its benchmarks allows.
        failing: Benchmarks that fail when their batches are to be sized.
        unused: Benchmarks that do not use their fixture.
        crashing: Benchmarks in which the worker ends.
        waiting: Whether its batches wait.
        waiting_turns: Whether those wait that it plays in turns.
        threaded: Whether other threads do forty times its work.
        first_slow: Whether its first call is slow, though the others are not.
        is_gone: Whether it ended before any benchmark.
        is_finished: Whether its end was waited for.
    """

    def __init__(self, side: SideName) -> None:
        self.side = side
        self.commands: list[Message] = []
        self.answers: deque[Message] = deque()
        self.remaining: deque[str] = deque()
        self.benchmark = ""
        self.allowed: int | None = None
        self.failing: set[str] = set()
        self.unused: set[str] = set()
        self.crashing: set[str] = set()
        self.waiting = self.waiting_turns = self.threaded = False
        self.first_slow = False
        self.is_gone = False
        self.is_finished = False

    def send(self, command: Message) -> None:
        self.commands.append(command)
        match command:
            case Order():
                self.remaining.extend(command.benchmarks)
                self._enter_next()
            case SizeBatch() if self.benchmark in self.failing:
                self.answers.append(NotPassed("call", "failed", "it failed"))
                self._finish()
            case SizeBatch():
                self.answers.append(self._size(command))
            case CollectGarbage():
                self.answers.append(GarbageCollected())
            case SumCalls():
                self.answers.append(CallSum(CALLS))
            case TakeTurns():
                self.waiting = self.waiting or self.waiting_turns
                own = sum(command.mine)
                self.answers.append(Times([self.batch_of(command.rounds)] * own))
            case Stop() | Abort():
                self._finish()

    def receive(self) -> Message:
        if self.is_gone or not self.answers:
            raise WorkerGoneError(self.side, "crashed", "exit code 7")
        return self.answers.popleft()

    @property
    def forked(self) -> bool:
        return False

    def cpu_seconds(self) -> float | None:
        return None

    def tail(self, _lines: int = 0) -> str:
        return "its last words"

    def finish(self) -> None:
        self.is_finished = True

    def batch_of(self, rounds: int) -> Reading:
        seconds = rounds * CALL_SECONDS
        wall = 2 * seconds if self.waiting else seconds
        process = 41 * seconds if self.threaded else seconds
        return Reading(rounds, wall, seconds, process, int(self.waiting), 0)

    def _size(self, command: SizeBatch) -> BatchSize:
        if command.at_most == 0:
            return BatchSize(rounds=1, used=0, slow=False)
        if self.first_slow:
            self.first_slow = False
            return BatchSize(1, 1, slow=True, last=self.batch_of(1))
        return BatchSize(250, 10, slow=False, last=self.batch_of(10))

    def kinds(self) -> list[str]:
        """The kinds of the commands."""
        return [type(command).__name__ for command in self.commands]

    def _finish(self) -> None:
        self.answers.append(Finished(self.benchmark))
        self._enter_next()

    def _enter_next(self) -> None:
        if not self.remaining:
            self.answers.append(Bye(0, ""))
            return
        self.benchmark = self.remaining.popleft()
        self.answers.append(Entered(self.benchmark))
        if self.benchmark in self.crashing:
            return
        if self.benchmark in self.unused:
            self._finish()
        else:
            self.answers.append(Ready(self.allowed))


def scripted_pair(
    workers: dict[SideName, ScriptedWorker], benchmarks: dict[SideName, list[str]]
) -> Callable[..., object]:
    """Returns a stand-in for `pair` that gives these workers with these benchmarks."""

    @contextlib.contextmanager
    def pair(
        sides: Sequence[Side], _arguments: Sequence[str], **_facts: int
    ) -> Iterator[tuple[list[ScriptedWorker], list[Collected]]]:
        collected = []
        for side in sides:
            items = {name: CollectedSource("test_a.py", "") for name in benchmarks[side.name]}
            collected.append(Collected(items, [], "3.11.7", {}, randomised=False))
        yield [workers[side.name] for side in sides], collected

    return pair
