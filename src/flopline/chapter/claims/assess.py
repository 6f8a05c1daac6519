"""Assesses claims on this machine, and the record that is saved of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from flopline import FloplineError, machine, records
from flopline.chapter.claims import descent, hardware, noise, products, register, speed
from flopline.chapter.claims.evidence import Answer, Quantity  # noqa: TC001  # cattrs reads them
from flopline.chapter.claims.measurements import GradientNoise, Measurements
from flopline.progress import Progress, silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.chapter.claims.register import Claim
    from flopline.data import Table
    from flopline.progress import Report

TOPICS = (hardware, products, noise, descent, speed)
"""The modules whose import registers the claims."""


@dataclass(frozen=True)
class AssessedClaim:
    """A claim and its finding; the fields are those of `register.Claim` and `evidence.Finding`.

    Attributes:
        id: For example C9.
        claim: What the chapter says, in short.
        rule: When the claim is confirmed, and when it is refuted.
        answer: The answer on this machine.
        measured: The numbers from which the answer follows, the most important one first.
        note: What a reader must know in order to understand the numbers. It may be empty.
    """

    id: str
    claim: str
    rule: str
    answer: Answer
    measured: tuple[Quantity, ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class ClaimsRecord(records.SavedRecord):
    """The result of `flopline claims`.

    Attributes:
        source: The name of the training data.
        assessed: The claims in the order in which they were assessed, which is the chapter's.
        noise: The deviations of minibatch gradients. It is empty if the claim about them, C11, was
            not assessed.
    """

    kind: ClassVar[str] = "claims"
    schema_version: ClassVar[int] = 2
    source: str
    assessed: tuple[AssessedClaim, ...]
    noise: tuple[GradientNoise, ...]


class UnknownClaimError(FloplineError, ValueError):
    """There is no claim of that name."""


def select(only: str) -> list[str]:
    """Returns the ids in a comma-separated list, in the order of the chapter.

    Args:
        only: Ids in upper or lower case, for example `C9,c21`. An empty text selects all claims.

    Raises:
        UnknownClaimError: A name in the list is not that of a claim.
    """
    known = register.ordered()
    requested = [name.strip().upper() for name in only.split(",") if name.strip()]
    unknown = [name for name in requested if name not in known]
    if unknown:
        raise UnknownClaimError(
            f"there is no claim {', '.join(unknown)}; there are {known[0]} to {known[-1]}, "
            "for example C9,C21"
        )
    return [name for name in known if name in requested or not requested]


def assess_claim(claim: Claim, measurements: Measurements) -> AssessedClaim:
    """Applies the rule of one claim to what is measured here."""
    finding = claim.assess(measurements)
    return AssessedClaim(
        id=claim.id,
        claim=claim.text,
        rule=claim.rule,
        answer=finding.answer,
        measured=finding.measured,
        note=finding.note,
    )


def assess(ids: Sequence[str], table: Table, *, report: Report = silent) -> ClaimsRecord:
    """Assesses claims on this machine.

    Everything is measured on one thread, except for the ceilings, which use all usable cores.

    Args:
        ids: The claims, as `select` returns them.
        table: The training set.
        report: Called with each thing that is about to be measured.

    Raises:
        WrongAnswerError: A strategy that was to be timed computes a wrong result.
    """
    beginning = records.Beginning()
    measurements = Measurements(table, report=report)
    assessed = []
    with machine.pinned(1):
        for done, name in enumerate(ids):
            measurements.begin(Progress("claims", done, len(ids), name))
            assessed.append(assess_claim(register.CLAIMS[name], measurements))
        gradient_noise = measurements.noise if "C11" in ids else ()
    return ClaimsRecord(
        **beginning.head(machine=machine.describe(), threads=1),
        source=table.source.name,
        assessed=tuple(assessed),
        noise=gradient_noise,
    )
