"""The ends of a worker's pipes that are not the worker's."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from flopline.gate.measure.worker.flopline_worker.link import Link
from flopline.gate.measure.worker.flopline_worker.protocol import from_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flopline.gate.measure.worker.flopline_worker.protocol import Message


class Desk:
    """A worker's link, and the coordinator's ends of its pipes."""

    def __init__(self, to_peer: tuple[int, int], from_peer: tuple[int, int]) -> None:
        commands, self.commands = os.pipe()
        self.messages, messages = os.pipe()
        self.link = Link(commands, messages, from_peer[0], to_peer[1])

    def send(self, *commands: Message, epoch: int = 0) -> None:
        for command in commands:
            os.write(self.commands, command.to_line(epoch))

    def sent(self) -> list[Message]:
        """Returns what the worker has sent since the last call."""
        return [message for _, message in self.sent_with_epochs()]

    def sent_with_epochs(self) -> list[tuple[int, Message]]:
        os.set_blocking(self.messages, False)
        with contextlib.suppress(BlockingIOError):
            return [from_line(line) for line in os.read(self.messages, 1 << 20).splitlines()]
        return []

    def close(self) -> None:
        self.link.reading.close()
        for descriptor in (self.commands, self.messages, self.link.writing):
            os.close(descriptor)


@contextlib.contextmanager
def two_desks() -> Iterator[tuple[Desk, Desk]]:
    """Two links that are each other's peers."""
    forth, back = os.pipe(), os.pipe()
    both = Desk(forth, back), Desk(back, forth)
    yield both
    for desk in both:
        desk.close()
    for descriptor in (*forth, *back):
        os.close(descriptor)
