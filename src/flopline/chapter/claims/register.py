"""The claims by their ids: what the chapter says, the rule, and who judges it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from flopline.chapter.claims.evidence import Finding
    from flopline.chapter.claims.measurements import Lab


@dataclass(frozen=True)
class Claim:
    """A claim of the chapter.

    Attributes:
        id: C1 to C28.
        text: What the chapter says, in short.
        rule: When it is confirmed, and when refuted.
        judge: Measures it.
    """

    id: str
    text: str
    rule: str
    judge: Callable[[Lab], Finding]


CLAIMS: dict[str, Claim] = {}
"""The claims by id; filled by the rooms that judge them."""


def claim(
    number: int, text: str, rule: str
) -> Callable[[Callable[[Lab], Finding]], Callable[[Lab], Finding]]:
    """Registers a function as the judge of a claim; its rule stands beside it."""

    def register(judge: Callable[[Lab], Finding]) -> Callable[[Lab], Finding]:
        CLAIMS[f"C{number}"] = Claim(f"C{number}", text, rule, judge)
        return judge

    return register
