"""Seconds, changes, shares and rates as text: the only module that turns numbers into words.

Everywhere else seconds, bytes, flops and fractions are plain numbers.
"""

from __future__ import annotations

ROUNDS_TO_ZERO = 0.5e-3
"""Fractions smaller than this are shown as zero, because percentages have one decimal."""


def duration(seconds: float) -> str:
    """Returns a time with four digits in the unit that suits it: `4.795 ms`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds / 1e-9:.4g} ns"


def points(change: float) -> str:
    """Returns a relative change in percentage points, without the unit: `+3.2`."""
    return "0.0" if abs(change) < ROUNDS_TO_ZERO else f"{100 * change:+.1f}"


def percent(change: float) -> str:
    """Returns a relative change with its sign: `+3.2 %`. What rounds to zero has no sign."""
    return f"{points(change)} %"


def share(fraction: float) -> str:
    """Returns a proportion without a sign: `3.2 %`."""
    return "< 0.1 %" if 0 < fraction < ROUNDS_TO_ZERO else f"{100 * fraction:.1f} %"


def gflops(flops: float, seconds: float) -> float:
    """Returns billions of floating-point operations per second."""
    return flops / seconds / 1e9


def counted(count: int, noun: str, plural: str = "") -> str:
    """Returns a number with its noun, for example `1 block` or `2 blocks`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {plural or noun + 's'}"
