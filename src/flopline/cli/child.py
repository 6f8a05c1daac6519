"""Runs a command's work in a process of its own, so that foreign code in it ends only that process.

Strategies of other distributions may end the process that runs them, in ways that no exception
handler sees: `os._exit(0)`, or a fault in C. The process that waits sees whether the work has ended
in order, and what was running otherwise.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that are handed on to the child, if it did not get them itself."""

FROM_THE_KERNEL = 0x80
"""The `si_code` of a signal that a terminal sends to all processes at once (SI_KERNEL)."""

GRACE_SECONDS = 10.0
"""How long the child may take to end once its work is done."""

DONE = b"\0done "
"""Begins the child's last message, which ends with its exit code."""


@dataclass(frozen=True)
class Ending:
    """How a child has ended.

    Attributes:
        code: Its exit code if it ended in order; None otherwise.
        running: What it had said last that it would run; empty if it had said nothing.
        how: How its process ended, in words, for example `signal 11`.
        signal: The signal that asked this process to end meanwhile; None if there was none.
    """

    code: int | None
    running: str
    how: str
    signal: signal.Signals | None


def run(work: Callable[[Callable[[str], None]], int]) -> Ending:
    """Runs work in a forked process and waits for its end; this process must have no threads yet.

    In the child this function does not return: it raises `typer.Exit` with the work's exit code.

    Args:
        work: Takes a function that says what runs from now on, a line of text; returns the exit
            code.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    awaited = {signal.SIGCHLD, *FORWARDED}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(reading)
        _end_with(parent)
        _work(work, writing)
    os.close(writing)
    try:
        return _await(child, reading, awaited)
    finally:
        os.close(reading)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _end_with(parent: int) -> None:
    """Asks the kernel to end this process when its parent is killed (PR_SET_PDEATHSIG)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(2)


def _work(work: Callable[[Callable[[str], None]], int], writing: int) -> None:
    """Does the work in the child, and says at its end that it has ended in order."""
    process = os.getpid()

    def say(message: bytes) -> None:
        if os.getpid() == process:  # not in a process that a strategy has forked
            with contextlib.suppress(OSError):
                os.write(writing, message)

    code = 2
    try:
        code = work(lambda line: say(line.encode(errors="replace") + b"\n"))
    except typer.Exit as ended:
        code = ended.exit_code
    finally:
        # What else was raised is shown where every command's errors are.
        say(DONE + str(code).encode() + b"\n")
    raise typer.Exit(code)


def _await(child: int, reading: int, awaited: set[signal.Signals]) -> Ending:
    """Waits for a child, hands signals on to it, and returns how it ended."""
    os.set_blocking(reading, False)
    said = b""
    asked: signal.Signals | None = None
    limit = float("inf")
    status = None
    while status is None:
        arrived = signal.sigtimedwait(awaited, 0.5)
        said += _read(reading)
        if arrived is not None and arrived.si_signo != signal.SIGCHLD:
            asked = signal.Signals(arrived.si_signo)
            if arrived.si_code != FROM_THE_KERNEL:
                os.kill(child, asked)
        if DONE in said and limit == float("inf"):
            limit = time.monotonic() + GRACE_SECONDS
        if time.monotonic() > limit:
            os.kill(child, signal.SIGKILL)
        finished, ended = os.waitpid(child, os.WNOHANG)
        status = ended if finished else None
    said += _read(reading)
    lines = said.partition(DONE)
    running = lines[0].decode(errors="replace").strip().rpartition("\n")[2]
    code = int(lines[2]) if lines[2].strip().isdigit() else None
    exit_code = os.waitstatus_to_exitcode(status)
    how = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
    return Ending(code, running, how, asked)


def _read(descriptor: int) -> bytes:
    """Returns what can be read without waiting."""
    content = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(descriptor, 1 << 16):
            content += part
    return content
