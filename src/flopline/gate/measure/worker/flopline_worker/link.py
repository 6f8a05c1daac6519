"""The pipes of a worker: to the coordinator, and to the worker of the other side.

Turns are handed over through a pipe between the two workers and not through the coordinator. A
batch then starts within microseconds of the previous one's end, so that batches can be short and
nothing else runs in between.
"""

from __future__ import annotations

import contextlib
import os
from os import _exit, getpid  # a test may replace what the module has under these names
from typing import TYPE_CHECKING

from .protocol import from_line

if TYPE_CHECKING:
    from .protocol import Message

COORDINATOR_GONE = 3
"""The exit status of a worker whose coordinator has ended."""
NOT_THE_WORKER = 0
"""The exit status of a process that a test forked and that then went on as if it were the worker.

It has done nothing wrong for the test that waits for it.
"""
TOKEN_BYTES = 9
"""A token is the series of turns in eight digits, and a letter for whether more turns follow."""
MORE, NO_MORE = b".", b"!"


class Link:
    """A worker's ends of all pipes.

    Attributes:
        epoch: The number of benchmarks entered so far. It is part of every message, so that none
            is taken for one of another benchmark.
        series: The number of the turns that are being taken. It is part of every token, so that
            none is taken for one of other turns.
        process: The process that may speak and listen.
    """

    def __init__(self, reading: int, writing: int, peer_reading: int, peer_writing: int) -> None:
        # A program that a test starts would otherwise inherit the pipes and hold them open.
        for descriptor in (reading, writing, peer_reading, peer_writing):
            os.set_inheritable(descriptor, False)  # noqa: FBT003  # it has no keyword
        self.reading = os.fdopen(reading, "rb")
        self.writing = writing
        self.peer_reading = peer_reading
        self.peer_writing = peer_writing
        self.epoch = 0
        self.series = 0
        self.process = getpid()

    def keep_to_the_worker(self) -> None:
        """Ends this process, without a trace, if a test forked it.

        Otherwise it would speak for its parent, and run the rest of the session a second time.
        """
        if getpid() != self.process:
            _exit(NOT_THE_WORKER)

    def send(self, message: Message) -> None:
        """Sends a message to the coordinator."""
        self.keep_to_the_worker()
        remaining = message.to_line(self.epoch)
        while remaining:
            written = os.write(self.writing, remaining)
            remaining = remaining[written:]

    def receive(self) -> Message:
        """Waits for the next command of this epoch; ends the process if the coordinator is gone."""
        self.keep_to_the_worker()
        while True:
            line = self.reading.readline()
            if not line:
                os._exit(COORDINATOR_GONE)
            epoch, command = from_line(line)
            if epoch == self.epoch:
                return command

    def hand_over(self, *, more: bool = True) -> None:
        """Gives the other worker its turn, or lets it know that no more turns follow."""
        self.keep_to_the_worker()
        letter = MORE if more else NO_MORE
        # Whether the other worker is gone is for the coordinator to find out.
        with contextlib.suppress(BrokenPipeError):
            os.write(self.peer_writing, b"%08d%s" % (self.series, letter))

    def wait(self) -> bool:
        """Waits for its turn. Returns False if there is none because the other worker failed."""
        while True:
            token = os.read(self.peer_reading, TOKEN_BYTES)
            if not token:
                return False
            if int(token[:-1]) == self.series:
                return token[-1:] == MORE
