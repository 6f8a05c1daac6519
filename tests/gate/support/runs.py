"""What runs of the procedure in tests have in common."""

from __future__ import annotations

from flopline.gate import run as procedure

QUICK = procedure.Schedule(blocks=2, screen_seconds=0.08, confirm_seconds=0.06)
LIGHT = ("-p", "no:flopline", "-p", "no:hypothesispytest", "-p", "no:platformdirs")
"""Plugins that the tiny suites do without, so that workers start faster."""
DETECT = 0.1
"""Far above what is left of this machine's noise in so short a run."""
SUITE = """\
import pytest
import subject


def test_spin(benchmark):
    benchmark(subject.spin, 800)


def test_work(benchmark):
    benchmark(subject.work)
"""
