"""Signals that ask a program to end: it ends in order, or holds them back for a moment."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask a program to end: Ctrl-C, what `kill` and CI systems send, a closed terminal."""
HURRY_SECONDS = 10.0
"""After a second signal a program has this long to write what it knows and to clean up."""
INTERRUPTED = 2
"""The exit code of a program that was asked to end; 1 would mean a regression."""


@dataclass
class Interruption:
    """What happens when a program is asked to end.

    The first signal raises KeyboardInterrupt, wherever the program is. Everything after that is
    its shutdown, in which another exception would lose records, processes and folders. So the
    second one only limits the time of the shutdown, and further ones do nothing.

    Attributes:
        arrived: The signals that have arrived so far.
    """

    arrived: list[int] = field(default_factory=list)

    def handle(self, number: int, _: FrameType | None) -> None:
        """Handles a signal, as a handler of `signal.signal`."""
        self.arrived.append(number)
        if len(self.arrived) == 1:
            raise KeyboardInterrupt
        if len(self.arrived) == 2:  # noqa: PLR2004  # the second one
            limit = threading.Timer(HURRY_SECONDS, os._exit, [INTERRUPTED])
            limit.daemon = True
            limit.start()


def end_in_order() -> Interruption:
    """Makes this program end in order when a signal asks for it, until its end.

    A signal that is ignored stays ignored: `nohup` does that, and shells for jobs in the
    background. When Python itself shuts down, all are ignored, so that a late one cannot change
    the exit code. In a thread other than the main one nothing is done, because Python handles
    signals only in the main thread.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        return interruption
    for number in HELD_BACK:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interruption.handle)
            atexit.register(signal.signal, number, signal.SIG_IGN)
    return interruption


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Holds the signals back until the block is done, and raises them then.

    Without this, a signal could interrupt the program between the start of a process and the
    statement that remembers it, so that nobody would end the process. Signals that were held back
    are raised even if the block fails. In a thread other than the main one nothing is done, because
    Python handles signals only in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []

    def remember(number: int, _: FrameType | None) -> None:
        caught.append(number)

    try:
        with contextlib.ExitStack() as handlers:
            for number in HELD_BACK:
                # A handler may raise an exception before, between and after these statements.
                # So restoring it is arranged before it is replaced. The handlers are restored in
                # reverse order: Ctrl-C, which raises KeyboardInterrupt, is held back the longest.
                handlers.callback(signal.signal, number, signal.getsignal(number))
                signal.signal(number, remember)
            yield
    finally:
        for caught_number in caught:
            signal.raise_signal(caught_number)
