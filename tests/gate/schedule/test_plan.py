"""How much a schedule measures."""

from __future__ import annotations

from flopline.gate.record import Settings
from flopline.gate.schedule.plan import Schedule


def test_a_fine_slowdown_takes_more_and_longer_blocks() -> None:
    fine = Schedule.of(Settings(detect=0.02))
    coarse = Schedule.of(Settings(detect=0.03))
    assert fine.blocks > coarse.blocks
    assert fine.screen_seconds > coarse.screen_seconds
    assert fine.confirm_seconds > coarse.confirm_seconds
