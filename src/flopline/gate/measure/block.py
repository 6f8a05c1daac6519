"""Drives two workers through one block: the same benchmarks, on one CPU, batch by batch in turn.

Whatever a side does (fail, skip, crash, hang) costs that benchmark its numbers, never the run its answer. Nothing here
looks at how long anything took, except to choose how many calls make a batch.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import secrets
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopline.gate.measure.handle import WorkerError, WorkerGoneError, pair
from flopline.gate.record import Batch, Block, Loss, Quad

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from flopline.gate.measure.handle import Message, Side, Worker
    from flopline.gate.record import BlockRequest, Settings, SideName, Stage

    Ask = Callable[[str, Sequence[Message]], list[Message]]

BATCH_SECONDS = 2.5e-4
"""How long a batch should last.

Long against the clock and the 20 us of a handed-over turn. Not longer: a shared machine changes its speed every few
milliseconds, so a quad's noise hardly depends on its length, and four times as many quads halve that of their median.
"""
FEWEST_QUADS = 12
"""Of a benchmark in a block, even where they take longer than planned ..."""
SLOW_SECONDS = 0.4
"""... as long as they take no longer than this; one quad there always is, if the author allows it."""
MESSAGES = 2e-3
"""Seconds that telling and hearing both workers takes at most, as a rule."""
FEW_ROUNDS = 200
"""Where the author allows no more rounds than this, none are spent on finding the size of a batch."""


@dataclass(frozen=True)
class Plan:
    """What a block is to do.

    Attributes:
        stage: `screen` or `confirm`.
        ids: Benchmarks in the order in which they run.
        seconds: Timed per benchmark, both sides together.
        detect: How much more the canary does.
        slowdown: By which fraction the candidate's readings are stretched, per benchmark; to test the gate.
    """

    stage: Stage
    ids: Sequence[str]
    seconds: float
    detect: float
    slowdown: Mapping[str, float] = field(default_factory=dict)


def run_block(
    baseline: Side,
    candidate: Side,
    request: BlockRequest,
    settings: Settings,
    *,
    cpus: Sequence[int],
    slowdown: Mapping[str, float] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Block:
    """Runs one block: a fresh pair of processes.

    Args:
        baseline: One side.
        candidate: The other.
        request: What to measure.
        settings: What was asked of the run.
        cpus: The CPUs that may be used.
        slowdown: By which fraction the candidate's readings are stretched, per benchmark.
        report: Called with each benchmark's id before it is timed.

    Raises:
        WorkerError: A side could not be started or does not collect.
        SuiteError: The arguments cannot be compared under.
    """
    arguments, progress = settings.arguments, report
    plan = Plan(request.stage, request.benchmarks, request.seconds, settings.detect, slowdown or {})
    # The coins must be independent of everything else: they are what makes the test exact.
    coins = random.SystemRandom()
    hash_seed, padding = 1 + secrets.randbelow(2**32 - 2), secrets.randbelow(4096)
    candidate_first = coins.random() < 0.5  # noqa: PLR2004  # a coin
    cpu = coins.choice(list(cpus))
    begin, ticks = time.monotonic(), _ticks()
    slots = [candidate, baseline] if candidate_first else [baseline, candidate]
    with pair(slots, arguments, hash_seed=hash_seed, padding=padding) as (workers, collected):
        block = _Block(workers, coins, cpu, list(cpus), plan)
        try:
            block.controls()
        except WorkerGoneError as error:
            raise WorkerError(
                f"{error.side}: the worker {error.outcome} before any benchmark: {error.text}"
            ) from error
        block.items(
            [name for name in plan.ids if all(name in side.items for side in collected)], progress
        )
        if not block.gone:  # or the survivor would wait for a command, and we for it
            for worker in workers:
                worker.finish()
    stolen = [after - before for before, after in zip(ticks, _ticks(), strict=True)]
    return Block(
        stage=plan.stage,
        hash_seed=hash_seed,
        padding=padding,
        cpu=cpu,
        candidate_first=candidate_first,
        randomised=any(side.randomised for side in collected),
        seconds=time.monotonic() - begin,
        steal=stolen[7] / max(1, sum(stolen)),
        load=os.getloadavg()[0],
        quads=block.quads,
        wide=block.wide,
        canary=block.canary,
        control=block.control,
        lost=block.lost,
    )


def profiles(
    baseline: Side, candidate: Side, arguments: Sequence[str], ids: Sequence[str]
) -> dict[str, dict[SideName, list[list[Any]]]]:
    """The calls that one call of each benchmark makes, by side: rows of function, file, line, calls, seconds."""
    found: dict[str, dict[SideName, list[list[Any]]]] = {}
    with pair([baseline, candidate], arguments, hash_seed=1, padding=0) as (workers, _):
        for worker in workers:
            with contextlib.suppress(WorkerGoneError):
                worker.tell("order", ids=list(ids))
                for name in ids:
                    while (message := worker.hear())["say"] != "finished":
                        if message["say"] == "ready":
                            worker.tell("profile")
                        elif message["say"] == "profile":
                            found.setdefault(name, {})[worker.side] = message["sites"]
                            worker.tell("stop")
                worker.finish()
    return found


def _ticks() -> list[int]:
    """Ticks of all CPUs since boot: user, nice, system, idle, iowait, irq, softirq, steal."""
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0]
    return [int(word) for word in first.split()[1:9]]


class _Block:
    """The state of a running block. `workers` are in slot order; batches are sorted by side at the very end."""

    def __init__(
        self, workers: list[Worker], coins: random.Random, cpu: int, cpus: list[int], plan: Plan
    ) -> None:
        self.workers, self.coins, self.cpu, self.cpus, self.plan = workers, coins, cpu, cpus, plan
        self.quads: dict[str, list[Quad]] = {}
        self.lost: dict[str, Loss] = {}
        self.wide: list[str] = []
        self.gone = False
        self.canary: list[Quad] = []
        self.control: list[Quad] = []

    def turns(self, order: Sequence[int], rounds: Sequence[int], ask: Ask) -> list[Batch]:
        """Lets the workers run their batches in this order, and gives the batches in it.

        Args:
            order: Whose turn it is, by slot.
            rounds: In a batch, by slot.
            ask: Tells all workers something and gives their answers.
        """
        answers = ask(
            "turns",
            [
                {"rounds": n, "mine": [who == slot for who in order]}
                for slot, n in enumerate(rounds)
            ],
        )
        batches = [iter(answer["batches"]) for answer in answers]
        return [_batch(next(batches[slot])) for slot in order]

    def order(self, quads: int) -> list[int]:
        """ABBA or BAAB by coin, so many times; slots, not sides."""
        first = [self.coins.randrange(2) for _ in range(quads)]
        return [slot for one in first for slot in (one, 1 - one, 1 - one, one)]

    def sorted_quads(
        self, order: Sequence[int], batches: Sequence[Batch], size: int = 4
    ) -> list[Quad]:
        """Batches in time order as quads."""
        quads = []
        for start in range(0, len(order), size):
            both: dict[SideName, list[Batch]] = {"baseline": [], "candidate": []}
            for slot, batch in zip(
                order[start : start + size], batches[start : start + size], strict=True
            ):
                both[self.workers[slot].side].append(batch)
            quads.append(Quad(tuple(both["baseline"]), tuple(both["candidate"])))
        return quads

    def controls(self) -> None:
        """Times the worker's own function: with equal work, and with `detect` more on the candidate's slot."""
        self._pin([self.cpu])
        probe = 50
        tried = self.turns([0, 1, 0, 1], [probe, probe], self._tell_all)
        calls = max(100, round(BATCH_SECONDS / min(batch.wall for batch in tried) * probe))
        more = math.ceil((1 + self.plan.detect) * calls)
        for really, kept in ((more, self.canary), (calls, self.control)):
            order = self.order(round(self.plan.seconds / (4 * BATCH_SECONDS)))
            rounds = [really if worker.side == "candidate" else calls for worker in self.workers]
            # It says that it did `calls`: an exact slowdown, up to rounding.
            batches = [
                replace(batch, calls=calls) for batch in self.turns(order, rounds, self._tell_all)
            ]
            kept.extend(self.sorted_quads(order, batches))

    def _tell_all(self, do: str, facts: Sequence[Message]) -> list[Message]:
        for worker, own in zip(self.workers, facts, strict=True):
            worker.tell(do, **own)
        return [worker.hear() for worker in self.workers]

    def items(self, ids: Sequence[str], progress: Callable[[str], None]) -> None:
        """Runs the benchmarks in order; what a vanished worker leaves undone is lost for this block."""
        self._unpin()
        try:
            for worker in self.workers:
                worker.tell("order", ids=list(ids))
            for name in ids:
                progress(name)
                self._item(name)
        except WorkerGoneError as error:
            self.gone = True
            undone = [name for name in ids if name not in self.quads and name not in self.lost]
            for name in undone[:1]:
                self.lost[name] = Loss(error.side, "process", error.outcome, error.text)
            for name in undone[1:]:
                self.lost[name] = Loss(
                    None, "process", "stopped", f"after {undone[0]} {error.outcome}"
                )

    def _item(self, name: str) -> None:
        troubles: dict[SideName, Message] = {}
        ready: dict[SideName, Message] = {}
        for worker in self.workers:
            message = self._until(worker, troubles)
            if message["say"] == "ready":
                ready[worker.side] = message
        if len(ready) == len(self.workers):
            quads, broken = self._time(name, list(ready.values()), troubles)
        else:
            quads, broken = [], {worker.side for worker in self.workers} - set(ready)
        for worker in self.workers:
            if worker.side not in broken:
                worker.tell("stop" if quads else "abort")
                self._until(worker, troubles)
        if troubles or len(ready) < len(self.workers):
            self.lost[name] = _loss(name, troubles, ready)
        else:
            self.quads[name] = quads

    def _until(self, worker: Worker, troubles: dict[SideName, Message]) -> Message:
        """Listens until the worker waits for a command, or has finished the item; keeps what went wrong."""
        while True:
            message = worker.hear()
            if message["say"] == "report":
                troubles.setdefault(worker.side, message)
            elif message["say"] in (
                "ready",
                "finished",
                "times",
                "calibrated",
                "garbage collected",
            ):
                return message

    def _time(
        self, name: str, ready: list[Message], troubles: dict[SideName, Message]
    ) -> tuple[list[Quad], set[SideName]]:
        """Takes the quads of one benchmark; also gives the sides that failed on the way."""
        broken: set[SideName] = set()

        def ask(do: str, facts: Sequence[Message]) -> list[Message]:
            for worker, own in zip(self.workers, facts, strict=True):
                worker.tell(do, **own)
            answers = [self._until(worker, troubles) for worker in self.workers]
            broken.update(
                w.side
                for w, answer in zip(self.workers, answers, strict=True)
                if answer["say"] == "finished"
            )
            if broken:
                raise _ItemFailedError
            return answers

        quads: list[Quad] = []
        try:
            self._pin([self.cpu])
            allowed = [message["most"] for message in ready if message["most"] is not None]
            rounds, left, dear = self._rounds(ask, min(allowed, default=math.inf))
            ask(
                "collect garbage", [{} for _ in self.workers]
            )  # waited for: or the first turns would seem to last long
            longest = SLOW_SECONDS if dear else BATCH_SECONDS
            if (
                left > 2 * rounds and not dear
            ):  # batches that are thrown away: caches, branch predictors, allocators
                begin = time.monotonic()
                warm = self.turns([0, 1], [rounds, rounds], ask)
                longest = (time.monotonic() - begin) / 2 - MESSAGES  # with setup and teardown
                left -= rounds
                if any(_waits(one) for one in warm):
                    self.wide.append(name)
                    self._pin(self.cpus)
                longest = max(longest, *(one.wall for one in warm))
            wanted = max(self.plan.seconds, min(FEWEST_QUADS * 4 * longest, SLOW_SECONDS))
            count = int(min(max(1, wanted / (4 * longest)), left // (2 * rounds)))
            order = self.order(count) or self.coins.sample([0, 1], 2)
            batches = self._stretched(name, order, self.turns(order, [rounds, rounds], ask))
            quads = self.sorted_quads(order, batches, 4 if count else 2)
        except _ItemFailedError:
            pass
        finally:
            self._unpin(broken)
        return quads, broken

    def _rounds(self, ask: Ask, most: float) -> tuple[int, float, bool]:
        """Rounds in a batch, by a rule in which the sides are equal; rounds still allowed; whether one takes long."""
        if most <= FEW_ROUNDS:
            return 1, most, False
        spare = None if math.isinf(most) else most // 4
        found = []
        for slot in range(2):  # one after the other: they share a CPU
            mosts = [spare if own == slot else 0 for own in range(2)]
            found.append(
                ask("calibrate", [{"seconds": BATCH_SECONDS, "most": n} for n in mosts])[slot]
            )
        left = most - max(message["used"] for message in found)
        rounds = min(message["rounds"] for message in found)
        dear = any(message["dear"] for message in found)
        return int(max(1, min(rounds, left // (4 * FEWEST_QUADS)))), left, dear

    def _stretched(self, name: str, order: Sequence[int], batches: Sequence[Batch]) -> list[Batch]:
        factor = 1 + self.plan.slowdown.get(name, 0.0)
        slow = [self.workers[slot].side == "candidate" for slot in order]
        return [
            _times(batch, factor) if late else batch
            for batch, late in zip(batches, slow, strict=True)
        ]

    def _pin(self, cpus: Sequence[int]) -> None:
        for worker in self.workers:
            worker.tell("pin", cpus=list(cpus))

    def _unpin(self, broken: Collection[SideName] = ()) -> None:
        """Between timed batches each side has a CPU of its own, so that fixtures run side by side."""
        for slot, worker in enumerate(self.workers):
            if worker.side not in broken:
                worker.tell("pin", cpus=[self.cpus[slot % len(self.cpus)]])


class _ItemFailedError(Exception):
    """One side failed while it was being timed."""


def _batch(message: Message) -> Batch:
    return Batch(**{key: message[key] for key in Batch.__dataclass_fields__})


def _times(batch: Batch, factor: float) -> Batch:
    def stretched(seconds: float) -> float:
        return (
            round(seconds * factor * 1e9) / 1e9
        )  # as a slower process's clocks would read: whole nanoseconds

    return replace(
        batch,
        wall=stretched(batch.wall),
        cpu=stretched(batch.cpu),
        process=stretched(batch.process),
        timer=None if batch.timer is None else batch.timer * factor,
    )


def _waits(batch: Batch) -> bool:
    """Whether a batch spends time outside of its own thread: in other threads, asleep, or waiting."""
    elsewhere = batch.process - batch.cpu
    return elsewhere > max(0.05 * batch.cpu, 5e-6 * batch.calls + 2e-5) or (
        batch.voluntary > 0 and batch.wall > 1.05 * batch.cpu
    )


def _loss(name: str, troubles: dict[SideName, Message], ready: dict[SideName, Message]) -> Loss:
    if not troubles:
        silent: list[SideName] = [side for side in ("baseline", "candidate") if side not in ready]
        side = silent[0] if len(silent) == 1 else None
        return Loss(
            side, "call", "unused", f"{name} finished without calling its benchmark fixture"
        )
    side = next(iter(troubles)) if len(troubles) == 1 else None
    first = next(iter(troubles.values()))
    return Loss(side, first["when"], first["outcome"], first["text"])
