"""Commands to both workers of a pair, and their answers."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from flopline import FloplineError
from flopline.gate.measure.handle import WorkerGoneError
from flopline.gate.measure.worker.flopline_worker.protocol import (
    Bye,
    Entered,
    Finished,
    Message,
    NotPassed,
    Pin,
    Reading,
    Ready,
    TakeTurns,
    Times,
)
from flopline.gate.record import Batch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from flopline.gate.measure.handle import WorkerHandle
    from flopline.gate.record import SideName

Answer = TypeVar("Answer", bound=Message)

UNTIMED = 0.5
"""The share of its timed CPU seconds that a worker may use between its batches."""
UNTIMED_SECONDS = 1e-4
"""CPU seconds that it may use between two batches in addition; 30 to 60 us are common."""
OFF_THREAD = 0.2
"""The share of CPU time in other threads from which on a worker's readings are not judged."""
FEWEST = 20
"""So many batches are needed to judge by their sum."""


class BenchmarkEndedError(FloplineError, RuntimeError):
    """No side is left whose benchmark is being timed, because the tests failed."""


@dataclass
class Exchange:
    """What the coordinator says to both workers and hears from them.

    Every message is checked to be of the benchmark that is due. A worker that sends another one has
    gone astray, and is taken for gone.

    Both sides are treated alike. If one of them fails or is gone, the other one goes on alone, so
    that it is known whether it fails, too. Who is blamed then does not depend on who came first.

    Attributes:
        handles: The workers in the order of their slots.
        playing: The sides that are being timed. Before the first benchmark they time the worker's
            own function.
        benchmark: The benchmark that is due.
        running: The sides whose test runs.
        ready: The sides whose test waits inside its benchmark fixture, and what they said there.
        called: The sides whose present attempt at the test has called its benchmark fixture.
        problems: What did not pass on each side.
        reruns: What did not pass on each side, so that a plugin ran the test again.
        implausible: Why what the worker of a side says it measured cannot be true.
        gone: The workers that ended, fell silent or went astray.
    """

    handles: Sequence[WorkerHandle]
    playing: set[SideName] = field(default_factory=set)
    benchmark: str = ""
    running: set[SideName] = field(default_factory=set)
    ready: dict[SideName, Ready] = field(default_factory=dict)
    called: set[SideName] = field(default_factory=set)
    problems: dict[SideName, NotPassed] = field(default_factory=dict)
    reruns: dict[SideName, NotPassed] = field(default_factory=dict)
    implausible: dict[SideName, str] = field(default_factory=dict)
    gone: dict[SideName, WorkerGoneError] = field(default_factory=dict)
    _series: int = 0

    def __post_init__(self) -> None:
        """Lets both sides be timed."""
        self.playing = {handle.side for handle in self.handles}

    # From benchmark to benchmark

    def enter(self, benchmark: str) -> None:
        """Waits until every test of a benchmark has called its fixture, or has ended.

        Raises:
            WorkerGoneError: A worker ended, fell silent or went astray.
        """
        self.benchmark = benchmark
        self.playing.clear()
        self.called.clear()
        self.problems.clear()
        self.reruns.clear()
        self.implausible.clear()
        for handle in self.handles:
            with self._watching(handle):
                message = handle.receive()
                if message != Entered(benchmark):
                    raise _astray(handle, message, f"{benchmark} should begin")
                self.running.add(handle.side)
        self.wait()

    def wait(self) -> None:
        """Waits until every test that runs has called its benchmark fixture, or has ended.

        Raises:
            WorkerGoneError: A worker ended, fell silent or went astray.
        """
        for handle in self.handles:
            with self._watching(handle):
                while handle.side in self.running and handle.side not in self.ready:
                    self._note(handle, handle.receive())
        self.raise_if_gone()

    def release(self, sides: Collection[SideName], command: Message) -> None:
        """Lets the tests of these sides, which wait inside their benchmark fixture, go on."""
        for handle in self._of(sides):
            self.ready.pop(handle.side)
            with self._watching(handle):
                handle.send(command)

    def _note(self, handle: WorkerHandle, message: Message) -> None:
        """Keeps what a test that runs says of itself.

        Raises:
            WorkerGoneError: The message is not one that such a test sends.
        """
        side = handle.side
        match message:
            case NotPassed(outcome="rerun"):
                self.reruns[side] = message
                self.called.discard(side)
            case NotPassed():
                self.problems.setdefault(side, message)
            case Ready():
                self.ready[side] = message
                self.called.add(side)
            case Finished() if message.benchmark == self.benchmark:
                self.running.discard(side)
            case _:
                raise _astray(handle, message, f"{self.benchmark} runs")

    # While both sides wait for commands

    def play(self) -> None:
        """Lets the sides whose tests wait be timed."""
        self.playing = set(self.ready)

    def take_turns(self, order: Sequence[int], rounds: Sequence[int]) -> list[Batch]:
        """Lets the workers run batches in turns, and returns the batches in time order.

        A side that goes on alone runs its batches one after the other; nothing is returned then.

        Args:
            order: For each turn, the slot whose turn it is.
            rounds: Rounds in a batch, by slot.

        Raises:
            BenchmarkEndedError: No side is left that could take turns.
            WorkerGoneError: A worker is gone, and the other one has been heard.
        """
        together = len(self.playing) == len(self.handles)
        mine = [[turn == slot for turn in order] for slot in range(len(self.handles))]
        if not together:
            mine = [[True] * sum(turns) for turns in mine]
        answers = self._play_series(mine, rounds)
        taken = {side: len(answer.batches) for side, answer in answers.items()}
        if together and len(self.playing) < len(self.handles):
            # The other side's end has cut this one's turns short.
            rest = [
                [True] * (sum(turns) - taken.get(handle.side, 0))
                for handle, turns in zip(self.handles, mine, strict=True)
            ]
            self._play_series(rest, rounds)
            return []
        for handle, turns in zip(self.handles, mine, strict=True):
            if handle.side in taken and taken[handle.side] != sum(turns):
                raise handle.astray(f"it took {taken[handle.side]} of {sum(turns)} turns")
        if not together:
            return []
        readings = [iter(answers[handle.side].batches) for handle in self.handles]
        return [Batch(*next(readings[slot])) for slot in order]

    def _play_series(
        self, mine: Sequence[list[bool]], rounds: Sequence[int]
    ) -> dict[SideName, Times]:
        self._series += 1
        commands = [
            TakeTurns(count, turns, self._series) for count, turns in zip(rounds, mine, strict=True)
        ]
        before = {handle.side: handle.cpu_seconds() for handle in self.handles}
        answers = self.ask(commands, Times)
        for handle in self.handles:
            begin, end = before[handle.side], handle.cpu_seconds()
            if handle.side in answers and begin is not None and end is not None:
                self._weigh(handle.side, answers[handle.side].batches, end - begin)
        return answers

    def _weigh(self, side: SideName, batches: Sequence[Reading], used: float) -> None:
        """Compares what a worker says it measured with the CPU seconds that its process used.

        Between its batches a worker does little, unless the test prepares every round. Tests that
        wait or use threads are not judged, because those threads run between batches, too.
        """
        ready = self.ready.get(side)
        if ready is None or ready.prepares or len(batches) < FEWEST:
            return
        process = sum(batch.process for batch in batches)
        off_thread = process - sum(batch.cpu for batch in batches)
        waits = sum(batch.voluntary for batch in batches) > 0
        too_short = process < UNTIMED_SECONDS * len(batches)
        if waits or too_short or off_thread > OFF_THREAD * process:
            return
        if used > (1 + UNTIMED) * process + UNTIMED_SECONDS * len(batches):
            self.implausible[side] = (
                f"{len(batches)} batches are said to have taken {process:.2g} s of CPU time, and "
                f"the process used {used:.2g} s: something changes its clocks or readings"
            )

    def ask(self, commands: Sequence[Message], answer: type[Answer]) -> dict[SideName, Answer]:
        """Sends each side that is being timed its command, and returns the answers.

        A side whose test ends instead of answering is no longer timed.

        Args:
            commands: A command for each slot.
            answer: The kind of message that answers it.

        Raises:
            BenchmarkEndedError: No side is left.
            WorkerGoneError: No side is left, and a worker is gone.
        """
        asked = []
        for handle, command in zip(self.handles, commands, strict=True):
            if handle.side in self.playing:
                asked.append(handle)
                with self._watching(handle):
                    handle.send(command)
        answers: dict[SideName, Answer] = {}
        for handle in asked:
            with self._watching(handle):
                message = self._answer(handle, answer)
                if message is not None:
                    answers[handle.side] = message
        if not self.playing:
            self.raise_if_gone()
            raise BenchmarkEndedError("the tests of both sides ended while they were being timed")
        return answers

    def _answer(self, handle: WorkerHandle, answer: type[Answer]) -> Answer | None:
        """Returns a side's answer; None if its attempt at the test ends instead."""
        if handle.side in self.gone:
            return None
        message = handle.receive()
        if isinstance(message, answer):
            return message
        if handle.side not in self.running:  # the worker's own function does not fail
            raise _astray(handle, message, f"{answer.__name__} was due")
        self.playing.discard(handle.side)
        self.ready.pop(handle.side, None)
        self._note(handle, message)
        while handle.side in self.running and handle.side not in self.ready:
            self._note(handle, handle.receive())
        return None

    def pin(self, cpus: Sequence[int]) -> None:
        """Moves the sides that are being timed to the same CPUs."""
        for handle in self._of(self.playing):
            with self._watching(handle):
                handle.send(Pin(list(cpus)))

    def spread(self, cpus: Sequence[int], sides: Collection[SideName]) -> None:
        """Moves these sides to all CPUs.

        Their fixtures then run at the same time, and a fixture that starts a process or thread for
        every CPU that it may use starts as many as it does without the gate.
        """
        for handle in self.handles:
            if handle.side in sides:
                with self._watching(handle):
                    handle.send(Pin(list(cpus)))

    # Workers that are gone

    def _of(self, sides: Collection[SideName]) -> list[WorkerHandle]:
        return [handle for handle in self.handles if handle.side in sides]

    @contextlib.contextmanager
    def _watching(self, handle: WorkerHandle) -> Iterator[None]:
        """Keeps that a worker is gone, so that the other one is heard before it is told."""
        try:
            yield
        except WorkerGoneError as error:
            self.gone.setdefault(handle.side, error)
            for sides in (self.playing, self.running):
                sides.discard(handle.side)
            self.ready.pop(handle.side, None)

    def raise_if_gone(self) -> None:
        """Raises what is known of the workers that are gone, if any is.

        Raises:
            WorkerGoneError: A worker ended, fell silent or went astray.
        """
        if not self.gone:
            return
        if len(self.gone) == 1:
            raise next(iter(self.gone.values()))
        error = self.gone["candidate"]
        raise WorkerGoneError(None, error.outcome, error.text)


def _astray(handle: WorkerHandle, message: Message, due: str) -> WorkerGoneError:
    """Returns the error for a worker that sent another message than the one that was due."""
    if isinstance(message, Bye):
        return handle.astray(f"pytest ended its session with exit status {message.status}")
    said = type(message).__name__
    if isinstance(message, Entered | Finished):
        said = f"{said} of {message.benchmark}"
    return handle.astray(f"it sent {said} where {due}")
