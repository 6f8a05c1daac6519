"""Compares the stored results of two commits, case by case."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopline.gate.record import VERDICT_ORDER, ExitCode
from flopline.history.assessment import assess, threshold_of
from flopline.sheet import Column, Sheet
from flopline.units import duration, gflops, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.gate.record import Verdict
    from flopline.history.assessment import Thresholds
    from flopline.history.record import (
        AsvCase,
        AsvRun,
        Conditions,
        History,
        Measurement,
        UnreadableFile,
    )


@dataclass(frozen=True, kw_only=True)
class Change:
    """One case on one machine at two commits.

    Attributes:
        case: What was measured.
        machine: Where it was measured.
        conditions: The environment and the machine's facts.
        baseline: The measurement at the baseline; None if the case failed or was not measured.
        candidate: The measurement at the candidate; None likewise.
        flops: Floating-point operations of a call; None if unknown.
        threshold: The slowdown that counts, a fraction.
        verdict: Whether the candidate is slower.
        reason: Why the two are not comparable; empty otherwise.
        is_lost: True if the baseline has a number and the case failed at the candidate.
    """

    case: AsvCase
    machine: str
    conditions: Conditions
    baseline: Measurement | None
    candidate: Measurement | None
    flops: int | None
    threshold: float
    verdict: Verdict
    reason: str = ""
    is_lost: bool = False

    @property
    def ratio(self) -> float | None:
        """Seconds at the candidate over seconds at the baseline; None if one is unknown."""
        if self.baseline is None or self.candidate is None:
            return None
        return self.candidate.seconds / self.baseline.seconds

    @property
    def baseline_gflops(self) -> float | None:
        """GFLOPS at the baseline; None if unknown."""
        return self._gflops(self.baseline)

    @property
    def candidate_gflops(self) -> float | None:
        """GFLOPS at the candidate; None if unknown."""
        return self._gflops(self.candidate)

    def _gflops(self, measurement: Measurement | None) -> float | None:
        if measurement is None or self.flops is None:
            return None
        return gflops(self.flops, measurement.seconds)

    def as_json(self) -> dict[str, object]:
        """Returns the change for programs."""
        return {
            "case": str(self.case),
            "machine": self.machine,
            "environment": dict(self.conditions),
            "verdict": self.verdict,
            "reason": self.reason,
            "threshold": self.threshold,
            "base_seconds": _seconds(self.baseline),
            "head_seconds": _seconds(self.candidate),
            "ratio": self.ratio,
            "base_gflops": self.baseline_gflops,
            "head_gflops": self.candidate_gflops,
        }

    def cells(self) -> tuple[str, ...]:
        """Returns the change as a row of the table for people."""
        before, after = _gflops_text(self.baseline_gflops), _gflops_text(self.candidate_gflops)
        return (
            str(self.case),
            _duration_text(self.baseline),
            _duration_text(self.candidate),
            f"{before} to {after}",
            "" if self.ratio is None else percent(self.ratio - 1),
            f"{self.verdict} {self.reason}".rstrip(),
        )


def _seconds(measurement: Measurement | None) -> float | None:
    return None if measurement is None else measurement.seconds


def _duration_text(measurement: Measurement | None) -> str:
    return "-" if measurement is None else duration(measurement.seconds)


def _gflops_text(rate: float | None) -> str:
    return "-" if rate is None else f"{rate:.3g}"


HEADS = (
    Column("case", "left"),
    Column("baseline"),
    Column("candidate"),
    Column("GFLOPS"),
    Column("time"),
    Column("verdict", "left"),
)
"""The columns of the table whose rows are `Change.cells`."""


@dataclass(frozen=True)
class Commit:
    """A commit that was requested.

    Attributes:
        name: The revision, branch or tag under which it was requested.
        hash: The full hash.
    """

    name: str
    hash: str


@dataclass(frozen=True)
class CommitReport:
    """The comparison of two commits.

    Attributes:
        baseline: The commit with which the candidate was compared.
        candidate: The commit that may be slower.
        changes: Every case that one of the commits has.
        unreadable: Files of these two commits that could not be read.
        nothing_compared: Why there are no changes, and what to do about it; empty if there are.
    """

    baseline: Commit
    candidate: Commit
    changes: Sequence[Change]
    unreadable: Sequence[UnreadableFile]
    nothing_compared: str

    @property
    def exit_code(self) -> ExitCode:
        """The command's exit code.

        A regression comes first. Without one, the command could not do its work if nothing was
        compared, if a case was lost at the candidate, or if a file of these commits could not be
        read. Otherwise the comparison is undecided if most of the compared cases are inconclusive.
        """
        counts = Counter(change.verdict for change in self.changes)
        compared = len(self.changes) - counts["not comparable"]
        if counts["regressed"]:
            return ExitCode.REGRESSION
        if not compared or self.unreadable or any(change.is_lost for change in self.changes):
            return ExitCode.COULD_NOT_WORK
        if 2 * counts["inconclusive"] > compared:
            return ExitCode.UNDECIDED
        return ExitCode.NO_REGRESSION

    def as_json(self) -> dict[str, object]:
        """Returns the report for programs; `base` and `head` are baseline and candidate."""
        return {
            "base": self.baseline.hash,
            "head": self.candidate.hash,
            "exit_code": int(self.exit_code),
            "cases": [change.as_json() for change in self.changes],
        }

    def sheets(self) -> list[Sheet]:
        """Returns a table for each machine; in it the slowest regression comes first."""
        machines: dict[str, list[Change]] = {}
        for change in self.changes:
            machines.setdefault(change.machine, []).append(change)
        sheets = []
        for machine, changes in machines.items():
            changes.sort(key=_attention)
            sheets.append(Sheet(machine, HEADS, tuple(change.cells() for change in changes)))
        return sheets


def _attention(change: Change) -> tuple[int, float]:
    return VERDICT_ORDER.index(change.verdict), -(change.ratio or 0)


def compare_commits(
    history: History, baseline: Commit, candidate: Commit, thresholds: Thresholds
) -> CommitReport:
    """Compares two commits wherever both were measured on one machine under the same conditions.

    Args:
        history: The stored results.
        baseline: The commit to compare with.
        candidate: The commit that may be slower.
        thresholds: The slowdowns that count.
    """
    candidates = {}
    for run in history.runs:
        if run.commit == candidate.hash:
            candidates[run.machine, run.conditions] = run
    changes = []
    for run in history.runs:
        counterpart = candidates.get((run.machine, run.conditions))
        if run.commit == baseline.hash and counterpart is not None:
            changes += _compare_runs(history, run, counterpart, thresholds)
    unreadable = [
        file
        for file in history.unreadable
        if file.is_of(baseline.hash) or file.is_of(candidate.hash)
    ]
    explanation = "" if changes else _why_nothing(history, baseline, candidate)
    return CommitReport(baseline, candidate, changes, unreadable, explanation)


def _compare_runs(
    history: History, baseline: AsvRun, candidate: AsvRun, thresholds: Thresholds
) -> list[Change]:
    changes = []
    for case in dict.fromkeys([*baseline.measurements, *candidate.measurements]):
        before = baseline.measurements.get(case)
        after = candidate.measurements.get(case)
        threshold = threshold_of(case, thresholds)
        reason = _why_not_comparable(case, baseline, candidate)
        verdict: Verdict = "not comparable"
        if before is not None and after is not None and not reason:
            verdict = assess(before, after, threshold)
        change = Change(
            case=case,
            machine=baseline.machine,
            conditions=baseline.conditions,
            baseline=before,
            candidate=after,
            flops=history.flops(case),
            threshold=threshold,
            verdict=verdict,
            reason=reason,
            is_lost=before is not None and after is None and case in candidate.measurements,
        )
        changes.append(change)
    return changes


def _why_not_comparable(case: AsvCase, baseline: AsvRun, candidate: AsvRun) -> str:
    """Returns why a case of two runs is not comparable, or an empty text if it is."""
    for side, run in (("baseline", baseline), ("candidate", candidate)):
        if run.measurements.get(case) is None:
            failed = case in run.measurements
            return f"{'failed' if failed else 'not measured'} at the {side}"
    before = baseline.versions.get(case.benchmark)
    after = candidate.versions.get(case.benchmark)
    if before != after:
        return f"the benchmark changed from version {before} to {after}"
    return ""


def _why_nothing(history: History, baseline: Commit, candidate: Commit) -> str:
    measured = {run.commit for run in history.runs}
    for commit in (baseline, candidate):
        if commit.hash not in measured:
            return (
                f"there are no results of {commit.name} ({commit.hash[:8]}); measure it: "
                f"nox -s history -- {commit.name}, in another project asv run {commit.hash[:8]}^!"
            )
    return (
        f"{baseline.name} and {candidate.name} were measured, but never on one machine in one "
        "environment; measure both on one machine"
    )
