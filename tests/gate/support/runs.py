"""What the real runs in tests have in common."""

from __future__ import annotations

from flopline.gate.schedule.plan import Schedule
from tests.gate.support.processes import SUITES

QUICK = Schedule(blocks=2, screen_seconds=0.08, confirm_seconds=0.06)
DETECT = 0.1
"""A slowdown far above the noise that remains in so short a run."""
SUITE = (SUITES / "spin_and_work" / "test_subject.py").read_text(encoding="utf-8")
"""A suite of two benchmarks of the subject."""
