"""Where changes, their intervals and their blocks lie in a picture, on one axis for all of them.

The axis is linear near zero, where the tolerated margin is, and logarithmic beyond: its place of a
log-ratio x is asinh(x / margin). So a change of 1 % and one of 300 % are both seen, and being twice
as fast is as far from zero as taking twice as long. What lies beyond `FARTHEST` is drawn at the
edge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flopline.gate.record import BlockValue, Comparison, Settings, Stage

WIDTH = 400.0
"""The width of a picture, in the units of its coordinates; one is a pixel on a wide screen."""
HEIGHT = 26
"""The height of a picture."""
EDGE = 22.0
"""What is left free at both ends, so that the outermost label of the axis fits."""
LANES: dict[Stage, float] = {"screen": 4.5, "confirm": 21.5}
"""The height at which the blocks of a stage are drawn; the interval lies between them."""
FARTHEST = math.log(11.0)
"""The log-ratio at which the axis ends at the latest: a slowdown of 1000 %."""
SMALLEST = 1e-6
"""No margin is drawn smaller than this log-ratio."""
LABEL = 42.0
"""The distance that the labels of an axis keep from each other."""
SLOWER = (1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""The slowdowns at which an axis may have a label."""
FASTER = (-1e-3, -3e-3, -0.01, -0.03, -0.1, -0.3, -0.5, -0.75, -0.9)
"""The same on the other side."""


@dataclass(frozen=True)
class Tick:
    """A label of the axis."""

    x: str
    label: str


@dataclass(frozen=True)
class Frame:
    """What is the same in all pictures, as coordinates for SVG.

    Attributes:
        ticks: The labels of the axis.
        zero: Where the change is zero.
        margin_left: Where the tolerated changes begin.
        margin_width: How wide they are.
        detect: Where the slowdown lies that must be found.
    """

    ticks: tuple[Tick, ...]
    zero: str
    margin_left: str
    margin_width: str
    detect: str


@dataclass(frozen=True)
class Axis:
    """The axis that all pictures share.

    Attributes:
        margin: The log-ratio that is tolerated.
        detect: The log-ratio of the slowdown that must be found.
        low: The smallest log-ratio that is shown.
        high: The largest.
    """

    margin: float
    detect: float
    low: float
    high: float

    @classmethod
    def of(
        cls,
        settings: Settings,
        rows: Iterable[Comparison],
        blocks: Iterable[Sequence[BlockValue]],
    ) -> Axis:
        """Returns the axis on which all changes, their intervals and their blocks have a place."""
        detect = max(math.log1p(settings.detect), SMALLEST)
        shown = [-2 * detect, 2 * detect]
        for row in rows:
            shown += [log_ratio(end) for end in (row.change, row.low, row.high) if end is not None]
        for values in blocks:
            shown += [block.value for block in values]
        low, high = max(-FARTHEST, min(shown)), min(FARTHEST, max(shown))
        return cls(max(settings.margin, SMALLEST), detect, low, high)

    def is_inside(self, ratio: float) -> bool:
        """Returns whether a log-ratio has a place on the axis."""
        return self.low <= ratio <= self.high

    def place(self, ratio: float) -> float:
        """Returns where a log-ratio lies, from the left; one that is not inside lies at the end."""
        low, high = self._bent(self.low), self._bent(self.high)
        bent = min(max(self._bent(ratio), low), high)
        return EDGE + (WIDTH - 2 * EDGE) * (bent - low) / (high - low)

    def _bent(self, ratio: float) -> float:
        return math.asinh(ratio / self.margin)

    def ticks(self) -> list[Tick]:
        """Returns the labels of the axis, from zero outwards as far as there is room."""
        ticks = [Tick(number(self.place(0.0)), "0")]
        for changes in (SLOWER, FASTER):
            last = self.place(0.0)
            for change in changes:
                ratio = log_ratio(change)
                place = self.place(ratio)
                if self.is_inside(ratio) and abs(place - last) >= LABEL:
                    ticks.append(Tick(number(place), f"{100 * change:+g} %"))
                    last = place
        return ticks

    def frame(self) -> Frame:
        """Returns what is the same in all pictures."""
        left, right = self.place(-self.margin), self.place(self.margin)
        return Frame(
            ticks=tuple(self.ticks()),
            zero=number(self.place(0.0)),
            margin_left=number(left),
            margin_width=number(right - left),
            detect=number(self.place(self.detect)),
        )


@dataclass(frozen=True)
class Picture:
    """The change of one benchmark, as coordinates for SVG; texts are empty if there is nothing.

    Attributes:
        left: Where the 95 % interval begins.
        width: How wide it is.
        estimate: Where the change lies.
        beyond: An arrow at the end of the axis, if the change lies beyond it.
        screen: A path with a point for each block of the screen.
        confirm: A path with a point for each confirming block.
    """

    left: str = ""
    width: str = ""
    estimate: str = ""
    beyond: str = ""
    screen: str = ""
    confirm: str = ""


def draw(row: Comparison, blocks: Sequence[BlockValue], axis: Axis) -> Picture | None:
    """Returns the picture of a benchmark; None if nothing was measured."""
    if row.change is None:
        return None
    ratio = log_ratio(row.change)
    left = width = ""
    if row.low is not None and row.high is not None:
        low, high = axis.place(log_ratio(row.low)), axis.place(log_ratio(row.high))
        left, width = number(low), number(max(high - low, 1.0))
    return Picture(
        left=left,
        width=width,
        estimate=number(axis.place(ratio)),
        beyond=_arrow(ratio, axis),
        screen=_points("screen", blocks, axis),
        confirm=_points("confirm", blocks, axis),
    )


def _arrow(ratio: float, axis: Axis) -> str:
    if axis.is_inside(ratio):
        return ""
    outwards = 1 if ratio > axis.high else -1
    tip = axis.place(ratio) + outwards * 9
    return f"M{number(tip)} {HEIGHT // 2}l{-7 * outwards} -5v10z"


def _points(stage: Stage, blocks: Sequence[BlockValue], axis: Axis) -> str:
    """Returns lines of no length, whose round ends are points: the shortest way to draw many."""
    lane = number(LANES[stage])
    places = [number(axis.place(block.value)) for block in blocks if block.stage == stage]
    return "".join(f"M{place} {lane}h0" for place in places)


def log_ratio(change: float) -> float:
    """Returns the log-ratio of a change."""
    return math.log1p(change) if change > -1 else -math.inf


def number(coordinate: float) -> str:
    """Returns a coordinate with a tenth of a pixel, as short as possible."""
    return f"{coordinate:.1f}".removesuffix(".0")
