"""How much is measured, and what a plan is."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopline.gate.record import Block, BlockRequest

if TYPE_CHECKING:
    from flopline.gate.record import Settings

FINE = 0.025
"""A `detect` smaller than this takes more and longer blocks."""

Round = tuple[BlockRequest, ...]
"""Blocks that are measured side by side."""
Plan = Generator[Round, tuple[Block, ...], None]
"""It yields rounds, and receives the blocks that were measured for them."""


@dataclass(frozen=True)
class Schedule:
    """How much is measured.

    Attributes:
        blocks: Blocks of the screen.
        screen_seconds: Timed seconds per benchmark in a block of the screen, at least.
        confirm_seconds: Timed seconds per benchmark in a confirming block, at least.
        lanes: Blocks that are measured side by side, each on a CPU of its own.
    """

    blocks: int
    screen_seconds: float
    confirm_seconds: float
    lanes: int = 1

    @classmethod
    def of(cls, settings: Settings, lanes: int = 1) -> Schedule:
        """Returns the schedule for a sensitivity.

        A finer one takes more blocks, and more batches in each.
        """
        if settings.detect >= FINE:
            return cls(blocks=4, screen_seconds=0.08, confirm_seconds=0.2, lanes=lanes)
        return cls(blocks=6, screen_seconds=0.16, confirm_seconds=0.4, lanes=lanes)
