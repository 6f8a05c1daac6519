"""What ties the life of a worker to that of its coordinator."""

from __future__ import annotations

import ctypes
import signal

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def end_with_coordinator() -> None:
    """Lets the kernel end this process when the coordinator ends, however that happens.

    A worker notices at its next message that the coordinator is gone. But one that computes, or
    waits for something, may not come to its next message for hours. The setting survives the
    start of another program in this process. Where the kernel refuses it, only the next message
    is left.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
