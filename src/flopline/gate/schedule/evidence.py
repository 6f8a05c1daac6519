"""What a run has measured so far, and what is known from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flopline.gate.judge import controls, verdict
from flopline.gate.judge.verdict import MOST_BLOCKS
from flopline.gate.schedule.budget import Costs

if TYPE_CHECKING:
    from flopline.gate.judge.controls import Controls
    from flopline.gate.judge.verdict import Confirmed, Direction, Screened
    from flopline.gate.record import Block, Loss, Quad, Settings, Stage

ENOUGH_AGAIN = 3
"""What has so many of these blocks is judged by them alone."""


@dataclass(frozen=True)
class Suspect:
    """A benchmark that the screen found suspicious.

    Attributes:
        screened: What the screen measured.
        direction: Whether it looked slower or faster.
        settings: What is asked of it. A second opinion by another clock asks for less.
        expected: How many fresh blocks confirm it on average.
        at_most: How many it gets at most.
        obvious: Whether the fewest blocks suffice, however short they are.
        by_second: Whether it is suspected by its second clock only.
    """

    screened: Screened
    direction: Direction
    settings: Settings
    expected: float = math.inf
    at_most: int = MOST_BLOCKS
    obvious: bool = False
    by_second: bool = False


@dataclass
class Evidence:
    """What a run has measured so far, and what is known from it.

    Attributes:
        settings: What was asked of the run.
        benchmarks: Node ids of the benchmarks that both sides have, in the order in which they run.
        blocks: Every block in the order in which it was measured.
        losses: The benchmarks that cannot be compared, and why. They are not measured again.
        wide: The benchmarks that need all CPUs for themselves, because they wait or use threads.
        unaffordable: The benchmarks that the screen had no time for, each with the seconds that its
            remaining blocks take.
        suspects: The benchmarks that are confirmed, fixed before the first confirming block.
        quads_again: How many quads those benchmarks have in a block that were screened again.
        tested: What the confirming blocks have shown so far, the slower ones first.
        warnings: What a reader must know, in words.
        costs: What blocks take.
    """

    settings: Settings
    benchmarks: tuple[str, ...]
    blocks: list[Block] = field(default_factory=list)
    losses: dict[str, Loss] = field(default_factory=dict)
    wide: set[str] = field(default_factory=set)
    unaffordable: dict[str, float] = field(default_factory=dict)
    suspects: dict[str, Suspect] = field(default_factory=dict)
    quads_again: dict[str, int] = field(default_factory=dict)
    tested: dict[str, Confirmed] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    costs: Costs = field(default_factory=Costs)

    def add(self, block: Block) -> None:
        """Keeps a block, what was lost in it, and what must be measured alone from now on.

        A benchmark is not lost if it was only stopped because another one ended its process.
        """
        self.blocks.append(block)
        self.costs = self.costs.after(block)
        self.wide.update(block.wide)
        self.wide.difference_update(block.quads.keys() - set(block.wide))
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

    def quads(self, stage: Stage, *, parallel: bool = False) -> dict[str, list[list[Quad]]]:
        """Returns the quads of each block of a stage, per benchmark that was measured and not lost.

        Blocks without quads of a benchmark are left out.

        Args:
            stage: The stage.
            parallel: Whether they are those on all CPUs, for the second clock.
        """
        measured: dict[str, list[list[Quad]]] = {}
        for block in self.blocks:
            for name, quads in (block.parallel if parallel else block.quads).items():
                if name in self.losses:
                    continue
                blocks = measured.setdefault(name, [])
                if block.stage == stage and quads:
                    blocks.append(quads)
        return measured

    def screening(self, *, parallel: bool = False) -> dict[str, list[list[Quad]]]:
        """Returns the blocks by which the screen judges each benchmark.

        What was screened again is judged by its further blocks alone: they are longer, and the
        first ones chose it because they looked noisy.

        Args:
            parallel: Whether the quads are those on all CPUs, for the second clock.
        """
        blocks = self.quads("screen", parallel=parallel)
        for name, again in self.quads("again", parallel=parallel).items():
            blocks[name] = again if len(again) >= ENOUGH_AGAIN else blocks[name] + again
        return blocks

    def screened(self) -> dict[str, Screened | None]:
        """Returns what the screen knows about every benchmark that is not lost."""
        return verdict.summarise_screen(self.screening(), self.settings)

    def controls(self) -> Controls:
        """Returns what the built-in checks measured so far."""
        canary = [block.canary for block in self.blocks if block.canary]
        control = [block.control for block in self.blocks if block.control]
        return controls.check(canary, control, self.settings)
