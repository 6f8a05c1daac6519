"""How long a worker may be silent.

A worker sends nothing while a fixture prepares data or a container starts, and nothing either when
it hangs. Seconds alone cannot tell the two apart, so these are the rules:

- A worker in which something moves, or in a process that it has started, may be silent until the
  budget of the run ends. Then it could not be measured anyway.
- A worker in which nothing moves sleeps, waits for somebody else, or hangs for ever. It may do so
  for half of the budget, so that the other half is left for the other benchmarks.
- `SILENCE` is always granted, because a budget can be a few seconds.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flopline.gate.measure.worker.flopline_worker.processes import activity, standing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SILENCE = 120.0
"""Seconds for which every worker may be silent."""
WORTH_TELLING = 10.0
"""After this many seconds of silence the user is told about it."""


def tell_nobody(_text: str) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Patience:
    """How long the workers of a run may be silent.

    Attributes:
        quiet: Seconds for which nothing may move in a silent worker.
        busy_until: The moment, in seconds of the monotonic clock, until which a worker in which
            something moves may be silent.
        least: Seconds for which it may be silent even after that moment.
        tell: Receives, in words, who is silent for how long.
        stopped: Is set when nobody waits for the workers any more.
    """

    quiet: float = SILENCE
    busy_until: float = 0.0
    least: float = SILENCE
    tell: Callable[[str], None] = tell_nobody
    stopped: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, budget: float) -> Patience:
        """Returns the patience of a run that begins now and has this budget, in seconds."""
        return cls(quiet=max(SILENCE, budget / 2), busy_until=time.monotonic() + budget)


@dataclass
class Silence:
    """The time since a worker sent its last message.

    Attributes:
        processes: The worker, and the one with which it takes turns, because it may wait for that.
        patience: How long it may be silent.
        begin: When it began, in seconds of the monotonic clock.
        moved: When something in one of them was last seen to have moved.
    """

    processes: Sequence[int]
    patience: Patience
    begin: float = field(default_factory=time.monotonic)
    moved: float = 0.0
    _activity: dict[int, bytes] = field(default_factory=dict)

    def interval(self) -> float:
        """Returns after how many seconds one should look at the worker again."""
        return min(1.0, self.patience.quiet / 4, max(0.05, self.patience.least / 4))

    def look(self, who: str) -> str:
        """Looks at the worker; returns why it was silent for too long, or an empty text.

        Args:
            who: The worker and what it does, in words.
        """
        now = time.monotonic()
        seen: dict[int, bytes] = {}
        for process in self.processes:
            seen |= activity(process)
        if seen != self._activity:
            self._activity, self.moved = seen, now
        silent, still = now - self.begin, now - self.moved
        doing = f"nothing in it has moved for {still:.0f} s" if still > 1 else "it is at work"
        if silent >= WORTH_TELLING:
            self.patience.tell(f"{who}: silent for {silent:.0f} s, {doing}")
        if still >= self.patience.quiet:
            return (
                f"nothing received for {silent:.0f} s, and {doing}: {self._waiting()}. A run waits "
                "for half of its budget; if this only needs time, give a larger --budget"
            )
        if silent >= self.patience.least and now >= self.patience.busy_until:
            return (
                f"nothing received for {silent:.0f} s; it was at work, but the run's budget has "
                "ended; give a larger --budget"
            )
        return ""

    def _waiting(self) -> str:
        """Returns what a worker in which nothing moves seems to do."""
        place = standing(self.processes[0])
        if place is not None and place.state == "T":
            return "a signal has stopped it"
        return "it sleeps, or waits for a lock, a port or another process"
