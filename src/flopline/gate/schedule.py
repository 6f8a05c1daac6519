"""Which block is measured next: plans that request blocks and receive them.

A plan is a generator. It yields a `BlockRequest`, and receives the `Block` that was measured for
it, which its driver has already added to the evidence. A plan starts no process and reads no clock
but the budget's, so it can be tested with made-up blocks and a made-up clock.

Which number decides is fixed before it is measured. The screen only chooses what is confirmed, and
the number of confirming blocks depends only on the screen and on how long a block takes. What a
confirming block measured can do no more than ask for a second look, and both looks share the error
rate.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flopline.gate.judge import controls, verdict
from flopline.gate.judge.statistics import MOST_BLOCKS, blocks_needed, fewest_to_reject
from flopline.gate.record import Block, BlockRequest
from flopline.progress import Progress
from flopline.units import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from flopline.gate.judge.controls import Controls
    from flopline.gate.judge.verdict import Confirmed, Direction, Screened
    from flopline.gate.record import Loss, Quad, Settings, Stage

FINE = 0.025
"""A `detect` smaller than this takes more and longer blocks."""
SPARE_BLOCKS = 2
"""At most this number of blocks is replaced in a series because a worker vanished at their end."""
SHORTEST = 0.2
"""Blocks are cut to no less than this share of their timed seconds if the budget is short.

A shorter block is noisier, but as valid.
"""
FILLED = 0.95
"""The confirming blocks are made to fill this share of the remaining budget."""
FEW_SUSPECTS = 10
"""Fewer suspects than this get more seconds in each block, up to `LONGER` times as many.

Starting a block takes seconds, however little is measured in it.
"""
LONGER = 3.0

CHECKS = 2
"""If the built-in checks fail in the screen, they get this many times its blocks again."""

DIRECTIONS: tuple[Direction, ...] = ("slower", "faster")
"""The suspects of each direction are tested together, by themselves."""

Plan = Generator[BlockRequest, Block, None]


@dataclass(frozen=True)
class Schedule:
    """How much is measured.

    Attributes:
        blocks: Blocks of the screen.
        screen_seconds: Timed seconds per benchmark in a block of the screen, at least.
        confirm_seconds: Timed seconds per benchmark in a confirming block, at least.
    """

    blocks: int
    screen_seconds: float
    confirm_seconds: float

    @classmethod
    def of(cls, settings: Settings) -> Schedule:
        """Returns the schedule for a sensitivity.

        A finer one takes more blocks, and more batches in each.
        """
        if settings.detect >= FINE:
            return cls(blocks=4, screen_seconds=0.15, confirm_seconds=0.25)
        return cls(blocks=6, screen_seconds=0.25, confirm_seconds=0.4)


def timed_seconds(block: Block) -> float:
    """Returns the seconds of a block in which benchmarks were timed; its start takes the rest."""
    seconds = 0.0
    for quads in block.quads.values():
        for quad in quads:
            for batch in (*quad.baseline, *quad.candidate):
                seconds += batch.wall
    return seconds


def expected_seconds(blocks: int, last: Block, share: float = 1.0) -> float:
    """Returns the seconds of more blocks like the last one, with a share of its timed seconds."""
    saved = (1 - share) * timed_seconds(last)
    return blocks * (last.seconds - saved)


class Budget:
    """The time that a run may take; it begins when the budget is made."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        """Starts the budget.

        Args:
            seconds: How long the run may take.
            clock: Returns the time in seconds since some moment.
        """
        self.seconds = seconds
        self._clock = clock
        self._begin = clock()

    def spent(self) -> float:
        """Returns the seconds since the budget began."""
        return self._clock() - self._begin

    def remaining(self) -> float:
        """Returns the seconds until the budget ends; they are negative after that."""
        return self.seconds - self.spent()

    def affords(self, blocks: int, last: Block, share: float = 1.0) -> bool:
        """Returns whether there is time for more blocks like the last one.

        Args:
            blocks: How many.
            last: The last block that was measured.
            share: The share of its timed seconds that the further blocks have.
        """
        expected = expected_seconds(blocks, last, share)
        return expected <= self.remaining()

    def fitting(self, blocks: int, last: Block) -> float:
        """Returns the factor by which timed seconds must be scaled so that all blocks fit.

        They fit if they fill 95 % of the remaining time. The factor is negative if the fixed cost
        of the blocks alone does not fit, and 1 if nothing was timed in the last one.

        Args:
            blocks: How many further blocks there are.
            last: The last block that was measured.
        """
        timed = timed_seconds(last)
        if timed == 0:
            return 1.0
        fixed = last.seconds - timed
        block = FILLED * self.remaining() / blocks
        return (block - fixed) / timed


@dataclass(frozen=True)
class Suspect:
    """A benchmark that the screen found suspicious.

    Attributes:
        screened: What the screen measured.
        direction: Whether it looked slower or faster.
        planned: The number of fresh blocks that confirm it.
    """

    screened: Screened
    direction: Direction
    planned: int


@dataclass
class Evidence:
    """What a run has measured so far, and what is known from it.

    Attributes:
        settings: What was asked of the run.
        benchmarks: Node ids of the benchmarks that both sides have, in the order in which they run.
        blocks: Every block in the order in which it was measured.
        losses: The benchmarks that cannot be compared, and why. They are not measured again.
        suspects: The benchmarks that are confirmed, fixed before the first confirming block.
        tested: What the looks at the confirming blocks found, the slower ones first.
        warnings: What a reader must know, in words.
    """

    settings: Settings
    benchmarks: tuple[str, ...]
    blocks: list[Block] = field(default_factory=list)
    losses: dict[str, Loss] = field(default_factory=dict)
    suspects: dict[str, Suspect] = field(default_factory=dict)
    tested: dict[str, Confirmed] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def add(self, block: Block) -> None:
        """Keeps a block, and what was lost in it.

        A benchmark is not lost if it was only stopped because another one ended its process.
        """
        self.blocks.append(block)
        for name, loss in block.lost.items():
            if loss.outcome != "stopped":
                self.losses[name] = loss

    def all_losses(self) -> dict[str, Loss]:
        """Returns why benchmarks have no numbers: those that are lost, and those never measured.

        The latter were stopped in every block, because others ended their process before.
        """
        measured: set[str] = set()
        stopped: dict[str, Loss] = {}
        for block in self.blocks:
            measured.update(block.quads)
            stopped |= block.lost
        losses = dict(self.losses)
        for name, loss in stopped.items():
            if name not in measured:
                losses.setdefault(name, loss)
        return losses

    @property
    def last(self) -> Block:
        """The last block in which benchmarks were measured; there must be one.

        It predicts how long the next one takes. Blocks of the built-in checks alone do not.
        """
        blocks = [block for block in self.blocks if block.stage != "check"]
        return blocks[-1]

    def quads(self, stage: Stage) -> dict[str, list[list[Quad]]]:
        """Returns the quads of each block of a stage, per benchmark that was measured and not lost.

        Blocks without quads of a benchmark are left out.
        """
        measured: dict[str, list[list[Quad]]] = {}
        for block in self.blocks:
            for name, quads in block.quads.items():
                if name in self.losses:
                    continue
                blocks = measured.setdefault(name, [])
                if block.stage == stage and quads:
                    blocks.append(quads)
        return measured

    def screened(self) -> dict[str, Screened | None]:
        """Returns what the screen knows about every benchmark that is not lost."""
        screened = {}
        for name, blocks in self.quads("screen").items():
            screened[name] = verdict.summarise_screen(name, blocks, self.settings)
        return screened

    def controls(self) -> Controls:
        """Returns what the built-in checks measured so far."""
        canary = [block.canary for block in self.blocks]
        control = [block.control for block in self.blocks]
        return controls.check(canary, control, self.settings)


def screen(evidence: Evidence, budget: Budget, schedule: Schedule) -> Plan:
    """Measures every benchmark, and then those again whose result is unclear.

    Unclear are suspicions that more blocks may drop, and benchmarks whose noise would hide the
    slowdown that must be found. They get up to as many blocks again, of twice the length.
    """
    progress = Progress("screen", 0, schedule.blocks)
    seconds = schedule.screen_seconds
    request = BlockRequest("screen", evidence.benchmarks, seconds, progress)
    yield from _repeat(request, schedule.blocks, evidence, budget)
    yield from _check_again(evidence, budget, schedule)

    for number in range(1, schedule.blocks + 1):
        unclear = _unclear(evidence)
        if not unclear or not budget.affords(1, evidence.last):
            return
        benchmarks = counted(len(unclear), "unclear benchmark")
        progress = Progress(f"screen {benchmarks}, {number}", 0, 1)
        request = BlockRequest("screen", unclear, 2 * seconds, progress)
        yield from _repeat(request, 1, evidence, budget)


def _check_again(evidence: Evidence, budget: Budget, schedule: Schedule) -> Plan:
    """Measures the built-in checks alone in more blocks if they failed in the screen.

    Where its memory lies makes one process of a pair a tenth slower than the other in some blocks,
    and a few blocks may have more of them on one side. What is wrong with the machine is wrong in
    all blocks. There are `CHECKS` times as many as the screen has, and no verdict depends on what
    benchmarks measured. Their number is fixed, so that the check is not repeated until it passes.
    """
    if not evidence.blocks or not evidence.controls().problems:
        return
    blocks = CHECKS * schedule.blocks
    for done in range(blocks):
        progress = Progress("built-in check", done, blocks)
        if budget.remaining() < evidence.last.seconds:
            return
        yield BlockRequest("check", (), schedule.screen_seconds, progress)


def _unclear(evidence: Evidence) -> tuple[str, ...]:
    names = []
    for name, screened in evidence.screened().items():
        if screened is not None and verdict.is_unclear(screened, evidence.settings):
            names.append(name)
    return tuple(names)


def confirm(evidence: Evidence, budget: Budget, schedule: Schedule) -> Plan:
    """Measures what looked suspicious on fresh blocks, and tests it for the first time.

    The first block shows how long one takes. If the planned number does not fit into the budget,
    there are fewer, down to the fewest that can reject anything. If these do not fit, they are
    shortened, to no less than a fifth. If that does not fit either, nothing is tested. If the
    built-in checks failed, nothing is measured.
    """
    if evidence.controls().problems:
        return
    suspects = find_suspects(evidence)
    evidence.suspects = suspects
    if not suspects:
        return
    names = tuple(suspects)
    planned = max(suspect.planned for suspect in suspects.values())
    longest = _confirming_seconds(len(suspects), schedule)

    progress = Progress("confirm", 0, planned)
    request = BlockRequest("confirm", names, longest, progress)
    yield from _repeat(request, 1, evidence, budget)

    blocks = planned
    fewest = _fewest(suspects, evidence.settings)
    while blocks > fewest and not budget.affords(blocks - 1, evidence.last):
        blocks -= 1
    if budget.fitting(blocks - 1, evidence.last) < SHORTEST:
        evidence.warnings.append(_not_confirmed(planned, evidence, budget))
        return

    # A benchmark that has had its planned number of blocks is left out of the remaining ones. The
    # plan was fixed before the first of them, so leaving early does not depend on the results.
    seconds = longest
    for done in range(1, blocks):
        # The block gets as long as the budget allows, between a fifth of `longest` and `longest`.
        # `share` is its length relative to the previous block.
        share = budget.fitting(blocks - done, evidence.last)
        share = min(share, longest / seconds)
        share = max(share, SHORTEST * longest / seconds)
        seconds *= share
        staying = tuple(name for name in names if suspects[name].planned > done)
        progress = Progress("confirm", done, blocks)
        request = BlockRequest("confirm", staying, seconds, progress)
        affordable = yield from _repeat(request, 1, evidence, budget, share=share)
        if not affordable:
            break
    evidence.tested = look(evidence, names)


def second_look(evidence: Evidence, budget: Budget, schedule: Schedule) -> Plan:
    """Measures near misses on more blocks, and tests them for the second time.

    They get as many blocks as a benchmark may have, or as the budget has time for.
    """
    results = evidence.tested.items()
    near = tuple(name for name, result in results if verdict.is_near_miss(result))
    if not near:
        return
    measured = evidence.quads("confirm")
    fewest = min(len(measured[name]) for name in near)
    for name in near:
        suspect = evidence.suspects[name]
        evidence.suspects[name] = replace(suspect, planned=MOST_BLOCKS)

    blocks = MOST_BLOCKS - fewest
    while blocks > 0 and not budget.affords(blocks, evidence.last):
        blocks -= 1
    benchmarks = counted(len(near), "near miss", "near misses")
    progress = Progress(f"second look at {benchmarks}", 0, blocks)
    seconds = _confirming_seconds(len(near), schedule)
    request = BlockRequest("confirm", near, seconds, progress)
    yield from _repeat(request, blocks, evidence, budget)
    evidence.tested |= look(evidence, near)


def _repeat(
    request: BlockRequest,
    blocks: int,
    evidence: Evidence,
    budget: Budget,
    *,
    share: float = 1.0,
) -> Generator[BlockRequest, Block, bool]:
    """Requests a block several times, and replaces a block in which a worker vanished.

    Benchmarks that are lost on the way are left out. So a block that stopped others is replaced
    however often that happens, because each time there is one benchmark less that could end a
    worker. A block in which everything else was measured is replaced at most twice.

    Args:
        request: The first of the blocks.
        blocks: How many.
        evidence: What the run has measured so far.
        budget: The time that the run may take.
        share: Ratio of the request's timed seconds to those of the previous block; used to predict
            how long this one will take.

    Returns:
        Whether the budget had time for all of them.
    """
    spare = SPARE_BLOCKS
    done = 0
    while done < blocks:
        names = tuple(name for name in request.benchmarks if name not in evidence.losses)
        if not names:
            return True
        first = request.progress
        progress = replace(first, done=first.done + done)
        if evidence.blocks:
            if not budget.affords(1, evidence.last, share):
                evidence.warnings.append(
                    f"the budget of {budget.seconds:.0f} s ended in the stage {request.stage!r} "
                    f"after {progress.done} of {progress.of} blocks"
                )
                return False
            seconds_left = expected_seconds(progress.of - progress.done, evidence.last)
            progress = replace(progress, seconds_left=seconds_left)
        block = yield replace(request, benchmarks=names, progress=progress)
        outcomes = {loss.outcome for loss in block.lost.values() if loss.phase == "process"}
        if "stopped" in outcomes:
            continue
        if spare and outcomes:  # a worker ended in the last benchmark of the block
            spare -= 1
        else:
            done += 1
    return True


def find_suspects(evidence: Evidence) -> dict[str, Suspect]:
    """Returns what the screen found suspicious, with the number of blocks that confirm each."""
    settings = evidence.settings
    suspects: dict[str, Suspect] = {}
    for name, screened in evidence.screened().items():
        if screened is None:
            continue
        direction = verdict.suspicious(screened, settings)
        if direction is not None:
            suspects[name] = Suspect(screened, direction, planned=0)

    for direction in DIRECTIONS:
        together = _tested_together(suspects, direction)
        for name in together:
            screened = suspects[name].screened
            certain = verdict.certain_change(screened)
            blocks = blocks_needed(screened.sigma, len(together), settings, at_least=certain)
            suspects[name] = replace(suspects[name], planned=blocks)
    return suspects


def _tested_together(suspects: dict[str, Suspect], direction: Direction) -> list[str]:
    """Returns the suspects that are tested together for one direction."""
    names = []
    for name, suspect in suspects.items():
        if suspect.direction == direction:
            names.append(name)
    return names


def _fewest(suspects: dict[str, Suspect], settings: Settings) -> int:
    """Returns the number of blocks with which one of the suspects can be rejected at all."""
    fewest = 0
    for direction in DIRECTIONS:
        together = _tested_together(suspects, direction)
        if together:
            fewest = max(fewest, fewest_to_reject(len(together), settings))
    return fewest


def _confirming_seconds(suspects: int, schedule: Schedule) -> float:
    """Returns the timed seconds per benchmark in a confirming block."""
    factor = max(1.0, FEW_SUSPECTS / suspects)
    return schedule.confirm_seconds * min(LONGER, factor)


def _not_confirmed(planned: int, evidence: Evidence, budget: Budget) -> str:
    """Returns a warning that the budget does not suffice, with one that does."""
    suspicious = counted(len(evidence.suspects), "suspicious benchmark")
    needed = budget.spent() + expected_seconds(planned - 1, evidence.last)
    advised = math.ceil(needed / 10) * 10
    return (
        f"{suspicious} could not be confirmed: that takes {planned} blocks, {needed:.0f} s in all, "
        f"and the budget is {budget.seconds:.0f} s; give --budget {advised}s"
    )


def look(evidence: Evidence, names: Collection[str]) -> dict[str, Confirmed]:
    """Tests the named suspects on all their confirming blocks.

    The other suspects count in Holm's correction as if they had no evidence, so that the error
    rate of a look covers all suspects. A suspect's clock is the one that its screen chose.

    Args:
        evidence: What the run has measured so far.
        names: The suspects that are tested.
    """
    measured = evidence.quads("confirm")
    results: dict[str, Confirmed] = {}
    for direction in DIRECTIONS:
        values: dict[str, list[float]] = {}
        for name in _tested_together(evidence.suspects, direction):
            values[name] = []
            if name in names and name in measured:
                clock = evidence.suspects[name].screened.clock
                values[name] = verdict.block_values(measured[name], clock)
            if direction == "faster":
                values[name] = [-value for value in values[name]]
        results |= verdict.confirm_changes(values, evidence.settings)
    return {name: result for name, result in results.items() if name in names}
