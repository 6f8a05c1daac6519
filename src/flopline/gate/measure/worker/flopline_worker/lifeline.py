"""What ties the life of a worker to that of its coordinator."""

from __future__ import annotations

import ctypes
import os
import signal
import time

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
ADOPTION_SECONDS = 5.0
"""How long a process waits for its adoption by the coordinator, which takes microseconds."""


def end_with_coordinator() -> None:
    """Lets the kernel end this process when the coordinator ends, however that happens.

    A worker notices at its next message that the coordinator is gone. But one that computes, or
    waits for something, may not come to its next message for hours. The setting survives the
    start of another program in this process. Where the kernel refuses it, only the next message
    is left.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def become_child_of(coordinator: int) -> bool:
    """Waits until this process, whose parent ends at once, is a child of the coordinator.

    From then on its life is tied to that of the coordinator, and not to that of the one thread that
    asked for it: an orphan is given to the program's main thread.

    Returns:
        Whether it is one. It is not where the coordinator is gone, or orphans do not come to it.
    """
    deadline = time.monotonic() + ADOPTION_SECONDS
    while os.getppid() != coordinator:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0005)
    end_with_coordinator()
    return os.getppid() == coordinator  # it may have ended before the kernel knew
