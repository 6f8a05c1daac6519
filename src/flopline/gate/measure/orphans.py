"""The processes that a suite has started and left behind: they end with the block.

Ending a process group does not reach a daemon, which has left its group and its session and has
lost its parent. But Linux gives every orphan to the nearest ancestor that asks for orphans.

Several pairs may live at the same time, and beside them the parents from which workers are forked.
What ends with a pair is what belongs to it; only where no other pair lives, it is everything that
this program did not start itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flopline.gate.measure.worker.flopline_worker.processes import (
    children,
    content,
    family,
    standing,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37  # <sys/prctl.h>
ENDING_SECONDS = 5.0
"""How long a process that was killed is waited for; one that hangs in a driver does not end."""


@dataclass
class Household:
    """The sessions and the pairs that live in this program at the moment.

    Attributes:
        lock: Is held while a process is started and noted, and while strays are ended.
        sessions: The sessions of the workers, and of the parents from which they are forked.
        folders: The temporary folders of the pairs.
        depth: How many blocks of `adopted` are entered.
        before: Whether orphans came to this process before the first of them.
    """

    lock: threading.RLock = field(default_factory=threading.RLock)
    sessions: set[int] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    depth: int = 0
    before: bool = False

    def forget(self, session: int) -> None:
        """Notes that the leader of a session has ended; what is left in the session is a stray."""
        with self.lock:
            self.sessions.discard(session)

    def end_sessions(self) -> None:
        """Kills every worker and every parent, so that whoever waits for one goes on at once."""
        with self.lock:
            for session in self.sessions:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(session, signal.SIGKILL)


HOUSEHOLD = Household()
"""There is one, because the kernel gives orphans to a process and not to a thread."""


@contextlib.contextmanager
def adopted(folder: Path | None = None) -> Iterator[None]:
    """Makes this process the parent of orphans, and ends those that came when the block is done.

    Blocks may be entered inside of each other, and side by side in several threads. Where the
    kernel refuses it, orphans live on, as they do under every other program.

    Args:
        folder: The folder in which the temporary folders of a pair lie. Everything that has
            inherited one of them ends with the block.
    """
    house, name = HOUSEHOLD, "" if folder is None else str(folder)
    with house.lock:
        if house.depth == 0:
            house.before = adopts()
            _let_orphans_come(wanted=True)
        known = frozenset(children(os.getpid()))
        house.depth += 1
        if name:
            house.folders.add(name)
    try:
        yield
    finally:
        try:
            end_strays(known, folder=name)
        finally:
            with house.lock:
                house.folders.discard(name)
                house.depth -= 1
                if house.depth == 0:
                    _let_orphans_come(wanted=house.before)


def adopts() -> bool:
    """Returns whether orphans come to this process."""
    asks = ctypes.c_int(0)
    try:
        ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(asks), 0, 0, 0)
    except AttributeError:  # not Linux
        return False
    return bool(asks.value)


def _let_orphans_come(*, wanted: bool) -> None:
    with contextlib.suppress(AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


def end_strays(known: Collection[int], *, folder: str = "") -> None:
    """Kills the children that this process did not start, and all that descend from them.

    What this process starts itself is in its own session, unless it asks for another one. Workers
    and parents do, so a worker and its descendants are never in this session: a session can be left
    but not entered. The sessions of living workers and parents are noted, and left alone.

    Args:
        known: Children in other sessions that are left alone.
        folder: The folder of a pair, as for `adopted`. While another pair lives, only children
            that have inherited this folder are ended.
    """
    deadline = time.monotonic() + ENDING_SECONDS
    doomed: set[int] = set()  # a process that has ended shows no environment any more
    while time.monotonic() < deadline:
        with HOUSEHOLD.lock:
            doomed.update(_strays(known, folder))
            for stray in list(doomed):
                kill(stray)
                if stray not in children(os.getpid()):
                    doomed.discard(stray)
            if not doomed and not _strays(known, folder):
                return
        time.sleep(0.001)


def _strays(known: Collection[int], folder: str) -> list[int]:
    house = HOUSEHOLD
    others = house.folders - {folder}
    is_alone = len(others) == 0 if folder else len(others) <= 1
    inherited = b"TMPDIR=" + os.fsencode(folder) + b"/"
    strays = []
    own_sessions = {os.getsid(0), *house.sessions}
    for child in children(os.getpid()):
        place = standing(child)
        if child in known or place is None or place.session in own_sessions:
            continue
        if is_alone or (folder and inherited in content(f"/proc/{child}/environ")):
            strays.append(child)
    return strays


def kill(process: int) -> None:
    """Kills a child of this process and its descendants, and forgets it if it has ended."""
    for member in family(process):
        # One that has changed its user may not be killed.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(member, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)
