"""The claims by their ids: what the chapter says, the rule for an answer, and who applies it.

A new claim is one function in the module of its topic (`products`, `noise`, `descent`, `speed` or
`hardware`):

    @claim(29, "What the chapter says, in short", "The claim is confirmed if the ratio is above 2.")
    def _short_name(measurements: Measurements) -> Finding:
        element = measurements.product_seconds("element_assign")
        whole = measurements.product_seconds("full")
        gain = evidence.ratio("element over full", element, whole)
        return Finding(evidence.all_hold(gain.above(2)), (gain,))

The function takes its numbers from `measurements`, which measures each thing once for all claims,
and turns them into quantities and an answer by the functions of `evidence`. The command, the report
and the messages count the registered claims. Three things may have to be added:

- a product or an epoch that no claim has used yet joins `measure_products` or `measure_epochs` in
  `measurements/turns.py`;
- a new topic joins `assess.TOPICS`, and the layers in pyproject.toml;
- an answer that does not depend on the machine joins the expected ones in
  tests/chapter/claims/test_assess.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flopline import FloplineError
from flopline.chapter.claims.evidence import Finding
from flopline.chapter.claims.measurements import Measurements

Assess = Callable[[Measurements], Finding]
"""A function that finds the answer to one claim on this machine."""


@dataclass(frozen=True)
class Claim:
    """A claim of the chapter.

    Attributes:
        id: The letter C and the number of the claim in the order of the chapter, for example C9.
        text: What the chapter says, in short.
        rule: When the claim is confirmed, and when it is refuted.
        assess: The function that applies the rule.
    """

    id: str
    text: str
    rule: str
    assess: Assess


CLAIMS: dict[str, Claim] = {}
"""The claims by id. The modules of the topics fill it when they are imported."""


class DuplicateClaimError(FloplineError, ValueError):
    """Two functions assess a claim of the same number."""


def claim(number: int, text: str, rule: str) -> Callable[[Assess], Assess]:
    """Registers a function as the one that assesses a claim.

    Args:
        number: The number of the claim in the order of the chapter.
        text: What the chapter says, in short.
        rule: When the claim is confirmed, and when it is refuted.

    Raises:
        DuplicateClaimError: There is a claim of this number already.
    """

    def register(assess: Assess) -> Assess:
        name = f"C{number}"
        if name in CLAIMS:
            raise DuplicateClaimError(f"there is a claim {name} already; choose another number")
        CLAIMS[name] = Claim(name, text, rule, assess)
        return assess

    return register


def ordered() -> list[str]:
    """Returns the ids of all claims in the order of the chapter."""
    return sorted(CLAIMS, key=lambda name: int(name[1:]))
