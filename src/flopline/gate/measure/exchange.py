"""Commands to both workers of a pair, and their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from flopline import FloplineError
from flopline.gate.measure.worker.flopline_worker.protocol import (
    BatchSize,
    Finished,
    GarbageCollected,
    Message,
    NotPassed,
    Pin,
    Ready,
    TakeTurns,
    Times,
)
from flopline.gate.record import Batch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from flopline.gate.measure.handle import WorkerHandle
    from flopline.gate.record import SideName

Answer = TypeVar("Answer", bound=Message)

WAITING = (Ready, BatchSize, GarbageCollected, Times, Finished)
"""After one of these messages a worker waits for a command, or has left the benchmark."""


class BenchmarkEndedError(FloplineError, RuntimeError):
    """A side's test ended, because it failed, while its benchmark was being timed.

    Attributes:
        sides: The sides whose test ended.
    """

    def __init__(self, sides: set[SideName]) -> None:
        super().__init__(f"the test ended on {' and '.join(sorted(sides))}")
        self.sides = sides


@dataclass
class Exchange:
    """What the coordinator says to both workers and hears from them.

    Attributes:
        handles: The workers in the order of their slots.
        problems: What did not pass on each side in the benchmark that is being measured; whoever
            begins with another benchmark empties it.
    """

    handles: Sequence[WorkerHandle]
    problems: dict[SideName, NotPassed] = field(default_factory=dict)

    def take_turns(self, order: Sequence[int], rounds: Sequence[int]) -> list[Batch]:
        """Lets the workers run batches in turns, and returns the batches in time order.

        Args:
            order: For each turn, the slot whose turn it is.
            rounds: Rounds in a batch, by slot.
        """
        commands = []
        for slot, count in enumerate(rounds):
            mine = [turn == slot for turn in order]
            commands.append(TakeTurns(count, mine))
        answers = self.ask(commands, Times)
        readings = [iter(answer.batches) for answer in answers]
        return [Batch(**next(readings[slot])._asdict()) for slot in order]

    def ask(self, commands: Sequence[Message], answer: type[Answer]) -> list[Answer]:
        """Sends each worker its command, and returns their answers in the order of their slots.

        Raises:
            BenchmarkEndedError: A side's test ended instead of answering.
            WorkerGoneError: A worker ended or fell silent.
        """
        for handle, command in zip(self.handles, commands, strict=True):
            handle.send(command)
        answers: list[Answer] = []
        ended: set[SideName] = set()
        for handle in self.handles:
            message = self.receive(handle)
            if isinstance(message, answer):
                answers.append(message)
            else:
                ended.add(handle.side)
        if ended:
            raise BenchmarkEndedError(ended)
        return answers

    def receive(self, handle: WorkerHandle) -> Message:
        """Returns the next message after which a worker waits for a command, or has moved on.

        Those are the messages in `WAITING`. A `NotPassed` before it is kept in `problems`; what
        else arrives before it needs no answer and is dropped.

        Raises:
            WorkerGoneError: The worker ended or fell silent.
        """
        while True:
            message = handle.receive()
            if isinstance(message, NotPassed):
                self.problems.setdefault(handle.side, message)
            elif isinstance(message, WAITING):
                return message

    def pin(self, cpus: Sequence[int]) -> None:
        """Moves both workers to the same CPUs."""
        for handle in self.handles:
            handle.send(Pin(list(cpus)))

    def spread(self, cpus: Sequence[int], sides: Collection[SideName]) -> None:
        """Moves these sides to all CPUs.

        Their fixtures then run at the same time, and a fixture that starts a process or thread for
        every CPU that it may use starts as many as it does without the gate.
        """
        for handle in self.handles:
            if handle.side in sides:
                handle.send(Pin(list(cpus)))
