"""Holds signals back while a process is started or ended."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

HELD_BACK = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask a program to end: Ctrl-C, and what `kill` and CI systems send."""


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Holds Ctrl-C and SIGTERM back until the block is done, and raises them then.

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
