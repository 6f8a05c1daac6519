"""How far a long command has come: one record for whatever takes long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a long command is; commands in `cli` show it.

    Attributes:
        stage: What is being done, in words.
        done: Finished steps of this stage.
        of: Steps that the stage will take; 0 where their number is not known.
        detail: What is at work right now, for example a benchmark's name; may be empty.
        seconds_left: Estimated seconds to the end of the stage; None where unknown.
    """

    stage: str
    done: int = 0
    of: int = 0
    detail: str = ""
    seconds_left: float | None = None


Report = Callable[[Progress], None]
"""A function that shows progress, or ignores it."""


def silent(_progress: Progress) -> None:
    """Shows nothing."""
