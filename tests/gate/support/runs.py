"""What the real runs in tests have in common."""

from __future__ import annotations

from flopline.gate.schedule import Schedule

QUICK = Schedule(blocks=2, screen_seconds=0.08, confirm_seconds=0.06)
LIGHT = ("-p", "no:flopline", "-p", "no:hypothesispytest", "-p", "no:platformdirs")
"""Arguments that switch off plugins which the tiny suites do without, so that they start faster."""
DETECT = 0.1
"""A slowdown far above the noise that remains in so short a run."""
SUITE = """\
import pytest
import subject


def test_spin(benchmark):
    benchmark(subject.spin, 800)


def test_work(benchmark):
    benchmark(subject.work)
"""
