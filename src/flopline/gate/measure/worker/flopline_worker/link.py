"""The pipes of a worker: to the coordinator, and to the worker of the other side.

Turns are handed over through a pipe between the two workers and not through the coordinator. A
batch then starts within microseconds of the previous one's end, so that batches can be short and
nothing else runs in between.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
from typing import TYPE_CHECKING, NoReturn

from .originals import Original
from .protocol import from_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .protocol import Message

COORDINATOR_GONE = 3
"""The exit status of a worker whose coordinator has ended."""
NOT_THE_WORKER = 0
"""The exit status of a process that a test forked and that then went on as if it were the worker.

It has done nothing wrong for the test that waits for it.
"""
PIPES_CLOSED = 119
"""The exit status of a worker whose pipes the test has closed; no program ends so by itself."""
HIGH, ROOM = 900, 16
"""Pipes are moved to descriptors from HIGH on, or to the last ROOM ones where there are fewer."""
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
        self.process = Original.getpid()

    def keep_to_the_worker(self) -> None:
        """Ends this process, without a trace, if a test forked it.

        Otherwise it would speak for its parent, and run the rest of the session a second time.
        """
        if Original.getpid() != self.process:
            Original.exit(NOT_THE_WORKER)

    def send(self, message: Message) -> None:
        """Sends a message to the coordinator."""
        self.keep_to_the_worker()
        remaining = message.to_line(self.epoch)
        while remaining:
            try:
                written = Original.write(self.writing, remaining)
            except OSError as error:
                end(error)
            remaining = remaining[written:]

    def receive(self) -> Message:
        """Waits for the next command of this epoch; ends the process if the coordinator is gone."""
        self.keep_to_the_worker()
        while True:
            try:
                line = self.reading.readline()
            except OSError as error:
                end(error)
            if not line:
                Original.exit(COORDINATOR_GONE)
            epoch, command = from_line(line)
            if epoch == self.epoch:
                return command

    def hand_over(self, *, more: bool = True) -> None:
        """Gives the other worker its turn, or lets it know that no more turns follow."""
        self.keep_to_the_worker()
        letter = MORE if more else NO_MORE
        # Whether the other worker is gone is for the coordinator to find out.
        with contextlib.suppress(BrokenPipeError):
            Original.write(self.peer_writing, b"%08d%s" % (self.series, letter))

    def wait(self) -> bool:
        """Waits for its turn. Returns False if there is none because the other worker failed."""
        while True:
            token = Original.read(self.peer_reading, TOKEN_BYTES)
            if not token:
                return False
            if int(token[:-1]) == self.series:
                return token[-1:] == MORE


def move_up(descriptors: Sequence[int]) -> list[int]:
    """Moves pipes to high descriptors, and returns these.

    A test that closes all descriptors that it may have opened (`os.closerange(3, 100)`) does not
    hit them there, and what it opens afterwards does not get their numbers.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = HIGH if limit == resource.RLIM_INFINITY else min(HIGH, limit - ROOM)
    moved = [fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, lowest) for pipe in descriptors]
    for pipe in set(descriptors):
        os.close(pipe)
    return moved


def end(error: OSError) -> NoReturn:
    """Ends the process, with which nobody can exchange messages any more."""
    closed = error.errno == errno.EBADF
    Original.exit(PIPES_CLOSED if closed else COORDINATOR_GONE)
    raise AssertionError("unreachable")
