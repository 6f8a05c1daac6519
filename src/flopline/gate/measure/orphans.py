"""The processes that a suite has started and left behind: they end with the block.

Ending a process group does not reach a daemon, which has left its group and its session and has
lost its parent. But Linux gives every orphan to the nearest ancestor that asks for orphans.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from typing import TYPE_CHECKING

from flopline.gate.measure.worker.flopline_worker.processes import children, family, standing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37  # <sys/prctl.h>
ENDING_SECONDS = 5.0
"""How long a process that was killed is waited for; one that hangs in a driver does not end."""


@contextlib.contextmanager
def adopted() -> Iterator[None]:
    """Makes this process the parent of orphans, and ends those that came when the block is done.

    Where the kernel refuses it, orphans live on, as they do under every other program.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    before = ctypes.c_int(0)
    prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    known = set(children(os.getpid()))
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        end_strays(known)
        prctl(PR_SET_CHILD_SUBREAPER, before.value, 0, 0, 0)


def end_strays(known: Collection[int]) -> None:
    """Kills the children that this process did not start, and all that descend from them.

    What this process starts itself is in its own session, unless it asks for another one. Workers
    do, so a worker and its descendants are never in this session: a session can be left but not
    entered.

    Args:
        known: Children in other sessions that are left alone.
    """
    deadline = time.monotonic() + ENDING_SECONDS
    own_session = os.getsid(0)
    while time.monotonic() < deadline:
        strays = []
        for child in children(os.getpid()):
            place = standing(child)
            if child not in known and place is not None and place.session != own_session:
                strays.append(child)
        if not strays:
            return
        for stray in strays:
            kill(stray)
        time.sleep(0.001)


def kill(process: int) -> None:
    """Kills a child of this process and its descendants, and forgets it if it has ended."""
    for member in family(process):
        # One that has changed its user may not be killed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(member, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)
