"""Counting which lines call what, in pairs of workers in which nothing is timed.

Nothing else is measured meanwhile, so the workers run at the same time, each on any CPU. A
benchmark is called once without being counted, because the first call is often another one: it
imports, compiles or fills a cache. The next calls are counted. Which call that is, counted from the
start of the process, is the same on both sides, and so is what depends on it.
"""

from __future__ import annotations

import contextlib
import math
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flopline.gate.measure.exchange import BenchmarkEndedError, Exchange
from flopline.gate.measure.handle import WorkerGoneError
from flopline.gate.measure.pair import pair
from flopline.gate.measure.parents import draw_layout
from flopline.gate.measure.worker.flopline_worker.protocol import (
    Abort,
    Calls,
    CallSite,
    CallSum,
    CountCalls,
    Message,
    Order,
    TakeTurns,
    Times,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from flopline.gate.measure.handle import WorkerHandle
    from flopline.gate.measure.parents import Parents
    from flopline.gate.measure.patience import Patience
    from flopline.gate.record import SideName
    from flopline.gate.sides.environment import Side


@dataclass
class Counted:
    """What was counted of some benchmarks, by node id and side, each time that it was counted.

    Attributes:
        sums: The number of calls that one call of the benchmarked function makes.
        sites: The calling lines of these calls.
    """

    sums: dict[str, dict[SideName, list[int]]] = field(default_factory=dict)
    sites: dict[str, dict[SideName, list[list[CallSite]]]] = field(default_factory=dict)

    def add(self, name: str, side: SideName, answer: Message) -> None:
        """Keeps what a side has counted."""
        if isinstance(answer, CallSum):
            self.sums.setdefault(name, {}).setdefault(side, []).append(answer.calls)
        elif isinstance(answer, Calls):
            self.sites.setdefault(name, {}).setdefault(side, []).append(answer.sites)

    def pairs(self, name: str) -> list[tuple[int, int]]:
        """Returns the sums of a benchmark, the baseline's and the candidate's."""
        by_side = self.sums.get(name, {})
        return list(zip(by_side.get("baseline", ()), by_side.get("candidate", ()), strict=False))


@dataclass(frozen=True)
class CountingPair:
    """A pair of workers that counts.

    Attributes:
        baseline: The version that is compared with.
        candidate: The version that is judged.
        arguments: Arguments for pytest.
        patience: How long the workers may be silent; by default that of a run without a budget.
        parents: From which they are forked, where that is possible.
        alternate: Whether the fixtures of only one side may live at a time.
    """

    baseline: Side
    candidate: Side
    arguments: Sequence[str]
    patience: Patience | None = None
    parents: Parents | None = None
    alternate: bool = False

    def count(self, benchmarks: Mapping[str, Sequence[Message]], into: Counted) -> None:
        """Counts what benchmarks call, as far as they can be run.

        Args:
            benchmarks: For each benchmark's node id, in the order in which they run, the commands
                to obey: as many of them as its author allows calls, but at least one.
            into: Receives what is counted.

        Raises:
            WorkerError: A side could not be started or does not collect.
            SuiteError: The arguments switch benchmarks off.
        """
        parent = None if self.parents is None else self.parents.current()
        seed, padding = draw_layout() if parent is None else (parent.hash_seed, parent.padding)
        workers = pair(
            [self.baseline, self.candidate],
            self.arguments,
            hash_seed=seed,
            padding=padding,
            heap_seed=secrets.randbelow(2**32),
            patience=self.patience,
            parent=parent,
        )
        with workers as (handles, collected):
            names = [name for name in benchmarks if all(name in its.items for its in collected)]
            sessions = [[handle] for handle in handles] if self.alternate else [handles]
            for session in sessions:
                with contextlib.suppress(WorkerGoneError):
                    for name, exchange in _started(session, names):
                        _count(exchange, benchmarks[name], into)
                if self.alternate:
                    session[0].end()
        if self.parents is not None and parent is not None and parent.failure is not None:
            self.parents.failed(parent.failure, parent)

    def renew(self) -> None:
        """Lets the next pair have another parent, and so another hash seed and layout."""
        if self.parents is not None:
            self.parents.renew()


def _started(
    handles: Sequence[WorkerHandle], names: Sequence[str]
) -> Iterator[tuple[str, Exchange]]:
    """Runs a session, and yields each benchmark when its tests wait inside their fixture.

    A test that a plugin runs again waits again, and is let go.

    Raises:
        WorkerGoneError: A worker ended, fell silent or went astray.
    """
    exchange = Exchange(handles)
    for handle in handles:
        handle.send(Order(list(names)))
    for name in names:
        exchange.enter(name)
        if len(exchange.ready) == len(handles):
            exchange.play()
            yield name, exchange
        while exchange.ready:
            exchange.release(set(exchange.ready), Abort())
            exchange.wait()
    for handle in handles:
        handle.finish()


def _count(exchange: Exchange, commands: Sequence[Message], into: Counted) -> None:
    """Lets the tests that wait obey as many commands as their author allows calls.

    Raises:
        WorkerGoneError: No side is left, and a worker is gone.
    """
    allowances = [message.allowed_rounds for message in exchange.ready.values()]
    allowed = min((rounds for rounds in allowances if rounds is not None), default=math.inf)
    answers: list[tuple[SideName, Message]] = []
    with contextlib.suppress(BenchmarkEndedError):
        if allowed > 1:
            _ask(exchange, TakeTurns(rounds=1, mine=[True]), Times)
        for command in commands[: int(min(len(commands), max(1, allowed - 1)))]:
            kind: Any = Calls if isinstance(command, CountCalls) else CallSum
            answers += _ask(exchange, command, kind)
    for side, answer in answers:
        into.add(exchange.benchmark, side, answer)


def _ask(exchange: Exchange, command: Message, answer: type[Any]) -> list[tuple[SideName, Message]]:
    """Returns what both sides answer to a command, or nothing if one of them ends instead."""
    answers = exchange.ask([command] * len(exchange.handles), answer)
    return list(answers.items()) if len(answers) == len(exchange.handles) else []
