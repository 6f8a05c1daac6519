"""Judges claims, and the record of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from flopline import __version__, machine, records
from flopline.chapter.claims import descent, hardware, noise, products, speed  # noqa: F401  # they fill CLAIMS
from flopline.chapter.claims.evidence import Quantity, Verdict  # noqa: TC001  # cattrs reads the fields' types
from flopline.chapter.claims.measurements import Lab, Noise
from flopline.chapter.claims.register import CLAIMS
from flopline.chapter.prediction import silent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.chapter.prediction import Report
    from flopline.data import Table


@dataclass(frozen=True)
class Judged:
    """A claim and what was found about it; the fields are those of `Claim` and `Finding`."""

    id: str
    claim: str
    rule: str
    verdict: Verdict
    measured: tuple[Quantity, ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class Claims(records.SavedRecord):
    """What `flopline claims` found.

    Attributes:
        source: Name of the training data.
        judged: The claims in the chapter's order.
        noise: Deviations of minibatch gradients; empty if no claim asked for them.
    """

    kind: ClassVar[str] = "claims"
    schema_version: ClassVar[int] = 1
    source: str
    judged: tuple[Judged, ...]
    noise: tuple[Noise, ...]


class UnknownClaimError(ValueError):
    """There is no claim of that name."""


def select(only: str) -> list[str]:
    """The ids in a comma-separated list, in the chapter's order; all for an empty one.

    Raises:
        UnknownClaimError: One of them is no claim.
    """
    asked = [name.strip().upper() for name in only.split(",") if name.strip()]
    if unknown := [name for name in asked if name not in CLAIMS]:
        raise UnknownClaimError(
            f"no claim {', '.join(unknown)}; there are C1 to C{len(CLAIMS)}, for example C9,C21"
        )
    return sorted(asked or CLAIMS, key=lambda name: int(name[1:]))


def judge(ids: Sequence[str], table: Table, *, report: Report = silent) -> Claims:
    """Measures claims on this machine, on one thread but for the ceilings.

    Args:
        ids: Which, as `select` gives them.
        table: The training set.
        report: Told what is at work.

    Raises:
        WrongAnswerError: A strategy that was to be timed is wrong.
    """
    begin, started, done = time.perf_counter(), records.now(), 0
    lab = Lab(table, lambda what: report(f"{ids[done]}: {what}", done / len(ids)))
    judged = []
    with machine.pinned(1):
        for done, name in enumerate(ids):  # the report reads it
            report(name, done / len(ids))
            found = CLAIMS[name].judge(lab)
            claim = CLAIMS[name]
            judged.append(
                Judged(name, claim.text, claim.rule, found.verdict, found.measured, found.note)
            )
        noise = lab.noise if "C11" in ids else ()
    return Claims(
        machine=machine.describe(),
        threads=1,
        started=started,
        seconds=time.perf_counter() - begin,
        flopline=__version__,
        source=table.source.name,
        judged=tuple(judged),
        noise=noise,
    )
