"""From verdicts and losses to the run's answer: what it ends with, and what its reader should know."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from flopline.gate.record import Comparison, Loss


def answer(
    rows: Sequence[Comparison],
    problems: Sequence[str],
    lost: Mapping[str, Loss],
    measured: Collection[str],
    detect: float,
) -> tuple[str, int]:
    """The run's answer and exit code: are the controls right, is anything regressed, lost, or undecided.

    Args:
        rows: The verdicts.
        problems: What is wrong with the controls.
        lost: What could not be compared.
        measured: What was, in some block.
        detect: The slowdown that had to be found.
    """
    count = {
        kind: sum(row.verdict == kind for row in rows) for kind in ("regressed", "inconclusive")
    }
    gone = [name for name, loss in lost.items() if _at_fault(loss) or name in measured]
    if problems:
        return "inconclusive: " + "; ".join(problems), 3
    if count["regressed"]:
        return f"{count['regressed']} confirmed regression{'s' * (count['regressed'] > 1)}", 1
    if gone:
        return f"{len(gone)} benchmark{'s' * (len(gone) > 1)} lost: {', '.join(gone[:3])}", 2
    compared = sum(row.verdict != "not comparable" for row in rows)
    if not compared:
        return "nothing was compared", 2
    # What looked slower and was not put to the whole test, for want of budget.
    unconfirmed = any(
        row.verdict == "inconclusive"
        and (row.blocks < row.planned or (row.limit is None and (row.change or 0) > detect / 2))
        for row in rows
    )
    if 2 * count["inconclusive"] > compared or unconfirmed:
        return (
            f"inconclusive: {count['inconclusive']} of {compared} benchmarks could not be decided",
            3,
        )
    return "no regression", 0


def _at_fault(loss: Loss) -> bool:
    """Whether a loss is a defect of this comparison: what the baseline lacks is new, and what both lack is nothing."""
    return loss.outcome in ("crashed", "hung") or (
        loss.side == "candidate" and loss.outcome != "missing"
    )


def why(loss: Loss) -> str:
    """Why a benchmark could not be compared, in a line."""
    lines = [line for line in loss.text.strip().splitlines() if line.strip()]
    where = {"baseline": " on the baseline", "candidate": " on the candidate"}.get(
        loss.side or "", ""
    )
    # A process says first how it ended; of a failed test pytest marks what was raised with an E.
    told = lines[0] if lines and loss.phase == "process" else lines[-1] if lines else ""
    raised = [line for line in lines if line.startswith("E ")]
    words = raised[0].removeprefix("E ").strip() if raised else told.strip()
    return f"{loss.outcome}{where} ({loss.phase}){': ' + words if words else ''}"


def differing(baseline: dict[str, str], candidate: dict[str, str]) -> list[str]:
    """Packages that the two environments do not have in one version."""
    names = sorted({*baseline, *candidate}, key=str.lower)
    rows = [
        f"{name} {baseline.get(name, 'absent')} -> {candidate.get(name, 'absent')}"
        for name in names
        if baseline.get(name) != candidate.get(name)
    ]
    return ["the sides' packages differ: " + ", ".join(rows)] if rows else []
