"""What /proc says about processes: whose children they are, and whether anything in them moves.

The worker asks it in the middle of tests, and the coordinator from outside.
"""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BORN = 19
"""Where in /proc/PID/stat, behind the program's name, the start of the process stands."""
READ_ONLY = os.O_RDONLY | os.O_CLOEXEC
INIT = 1
"""The process that inherits orphans where no other one asks for them."""


class Kernel(NamedTuple):
    """What is asked of the operating system, as it is before a test can replace it.

    A fake file system, for example, replaces these functions in every module that has them.
    """

    names: Callable[[str], list[str]] = os.listdir
    open: Callable[[str, int], int] = os.open
    read: Callable[[int, int], bytes] = os.read
    close: Callable[[int], None] = os.close
    move: Callable[[int, Sequence[int]], None] = os.sched_setaffinity
    usage: Callable[[int], resource.struct_rusage] = resource.getrusage
    itself: Callable[[], int] = os.getpid
    parent: Callable[[], int] = os.getppid


KERNEL = Kernel()


class Standing(NamedTuple):
    """Where a process stands among the others.

    Attributes:
        state: One letter; `T` is stopped by a signal, `Z` has ended and was not waited for.
        parent: Its parent.
        session: Its session.
        born: When it was started, in ticks since boot.
    """

    state: str
    parent: int
    session: int
    born: int


def numbers(folder: str) -> list[int]:
    """Returns the names in a folder of /proc that are numbers; none if it no longer exists."""
    try:
        return [int(name) for name in KERNEL.names(folder) if name.isdigit()]
    except OSError:
        return []


def content(path: str) -> bytes:
    """Returns a file of /proc; empty if it no longer exists or may not be read."""
    chunks = []
    try:
        descriptor = KERNEL.open(path, READ_ONLY)
    except OSError:
        return b""
    try:
        while chunk := KERNEL.read(descriptor, 1 << 16):
            chunks.append(chunk)
    except OSError:  # the process has ended meanwhile
        chunks.clear()
    finally:
        KERNEL.close(descriptor)
    return b"".join(chunks)


def standing(process: int) -> Standing | None:
    """Returns where a process stands; None if it no longer exists."""
    # The program's name stands before it in parentheses, and may itself contain some.
    fields = content(f"/proc/{process}/stat").rpartition(b")")[2].split()
    if len(fields) <= BORN:
        return None
    return Standing(fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[BORN]))


def children(process: int) -> list[int]:
    """Returns the children of all threads of a process.

    Linux lists them if it was built with CONFIG_PROC_CHILDREN, as that of every distribution is.
    """
    listed: list[bytes] = []
    for thread in numbers(f"/proc/{process}/task"):
        listed += content(f"/proc/{process}/task/{thread}/children").split()
    return [int(number) for number in listed]


def family(process: int) -> Iterator[int]:
    """Yields a process, then its children, then theirs.

    The children are listed after their parent was yielded. So what a parent starts while one deals
    with it is not overlooked.
    """
    line = [process]
    for member in line:
        yield member
        line += children(member)


def activity(process: int) -> dict[int, bytes]:
    """Returns what changes whenever anything in a process or its descendants moves.

    That is, per thread, how long and how often it was on a processor. A thread that sleeps, or
    waits for a lock or for input, changes nothing.
    """
    seen = {}
    for member in family(process):
        for thread in numbers(f"/proc/{member}/task"):
            folder = f"/proc/{member}/task/{thread}"
            seen[thread] = content(f"{folder}/schedstat") or content(f"{folder}/stat")
    return seen
