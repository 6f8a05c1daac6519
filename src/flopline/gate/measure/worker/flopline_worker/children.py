"""The CPU time of the processes that a test has started."""

from __future__ import annotations

import contextlib
import os
import resource
from typing import TYPE_CHECKING

from .originals import Original
from .processes import family

if TYPE_CHECKING:
    from collections.abc import Callable

PROCESS_CLOCK = 2
"""CPUCLOCK_SCHED of <linux/posix-timers.h>: the time that the scheduler counts for a process."""
LOOK_ONLY = os.WEXITED | os.WNOHANG | os.WNOWAIT
"""Options of waitid(2) with which it waits for nobody and leaves every child to the test."""
OF_CHILDREN = resource.RUSAGE_CHILDREN


def process_clock(process: int) -> int:
    """Returns the number of a process's CPU clock, as clock_getcpuclockid(3) does on Linux."""
    return (~process << 3) | PROCESS_CLOCK


def reaped(getrusage: Callable[[int], resource.struct_rusage] = Original.getrusage) -> int:
    """Returns the CPU time in ns of all children that have ended and were waited for.

    It contains that of their own descendants, if they have waited for these.
    """
    usage = getrusage(OF_CHILDREN)
    return round((usage.ru_utime + usage.ru_stime) * 1e9)


def are_there_any() -> bool:
    """Returns whether this process has children, living or not yet waited for."""
    try:
        Original.waitid(os.P_ALL, 0, LOOK_ONLY)
    except ChildProcessError:
        return False
    except OSError:  # something forbids to ask
        return True
    return True


class Children:
    """The clock of all child processes together.

    A child that ends takes its time from its own clock to that of the reaped children, so that the
    sum over both grows steadily. Not in it are the descendants that a living child has waited for,
    for example those of multiprocessing's fork server, and those that have lost their parent.

    Reading it takes one call to the system, and another one for each living descendant. These are
    listed before every series of batches, which takes about 20 us for each, and again when one has
    ended. Where no child lives, and none has ended since the last series, nothing is read.

    Attributes:
        watching: Whether there are children whose clock must be read.
        clocks: The clocks of the living descendants when they were last listed.
    """

    def __init__(self) -> None:
        self.watching = False
        self.clocks: list[int] = []
        self._reaped = 0

    def used(self) -> int:
        """Returns the CPU time in ns that children have used; 0 while it is not watched."""
        return self._total() if self.watching else 0

    def look(self) -> None:
        """Finds out whether there are children; to be called before a series of batches."""
        before = self._reaped
        self._list()
        self.watching = bool(self.clocks) or self._reaped != before

    def catch_up(self) -> int:
        """Lists the living descendants anew if there may be others.

        Returns:
            The CPU time in ns that those have used which were not listed or watched before.
        """
        if self.clocks and reaped() == self._reaped:
            return 0
        before = self._total() if self.watching else self._reaped
        self._list()
        found = max(0, self._total() - before)
        self.watching = self.watching or found > 0
        return found

    def _total(self) -> int:
        total = reaped()
        for clock in self.clocks:
            with contextlib.suppress(OSError):  # it was waited for
                total += Original.clock_gettime_ns(clock)
        return total

    def _list(self) -> None:
        self.clocks = []
        if are_there_any():
            process = Original.getpid()
            self.clocks = [process_clock(member) for member in family(process) if member != process]
        self._reaped = reaped()


CHILDREN = Children()
"""Those of this process."""
