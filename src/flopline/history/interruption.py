"""Lets every signal that asks a program to end do what Ctrl-C does."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, what `kill` and CI systems send, and the end of a terminal."""


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does.

    What the user has had ignored, for example with nohup, stays ignored. In a thread other than the
    main one nothing is changed, because Python handles signals only in the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with contextlib.ExitStack() as handlers:
        for number in ENDING:
            before = signal.getsignal(number)
            if before == signal.SIG_DFL:
                handlers.callback(signal.signal, number, before)
                signal.signal(number, signal.default_int_handler)
        yield


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Lets signals that raise KeyboardInterrupt do so when the block is done.

    Inside an import of torch an exception ends the process, because C++ does not know it.
    """
    caught: list[int] = []
    with contextlib.ExitStack() as handlers:
        for number in ENDING:
            before = signal.getsignal(number)
            if callable(before):
                handlers.callback(signal.signal, number, before)
                signal.signal(number, lambda caught_number, _: caught.append(caught_number))
        yield
    if caught:
        signal.raise_signal(caught[0])
