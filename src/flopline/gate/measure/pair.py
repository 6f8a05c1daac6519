"""Two live workers that share one environment, and what a side's suite holds."""

from __future__ import annotations

from flopline.gate.measure.handle import Collected, SuiteError, pair
from flopline.gate.measure.handle import collect as list_benchmarks

__all__ = ["Collected", "SuiteError", "list_benchmarks", "pair"]
