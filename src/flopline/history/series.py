"""Orders the runs of a history along a branch: one series for each machine and its conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flopline.history.record import AsvCase, AsvRun, Conditions, History, Measurement


@dataclass(frozen=True)
class MeasuredCommit:
    """The speed of one case at one commit.

    Attributes:
        commit: The full hash.
        measurement: The time that a call took there.
    """

    commit: str
    measurement: Measurement


@dataclass(frozen=True)
class Series:
    """Runs that are comparable with each other.

    Attributes:
        machine: The machine's name.
        conditions: The environment and the machine's facts, which all runs have in common.
        runs: The runs in the order of their commits on the branch, the oldest first; never empty.
    """

    machine: str
    conditions: Conditions
    runs: tuple[AsvRun, ...]

    def cases(self) -> list[AsvCase]:
        """Returns every case that was run at some commit, in the order of their appearance."""
        cases: dict[AsvCase, None] = {}
        for run in self.runs:
            cases.update(dict.fromkeys(run.measurements))
        return list(cases)

    def points(self, case: AsvCase, version: str) -> list[MeasuredCommit]:
        """Returns the commits at which a case has a number, the oldest first.

        Args:
            case: The case.
            version: The version of its benchmark; results of other versions are left out.
        """
        points = []
        for run in self.runs:
            measurement = run.measurements.get(case)
            if measurement is not None and run.versions[case.benchmark] == version:
                points.append(MeasuredCommit(run.commit, measurement))
        return points


def along(history: History, branch: Sequence[str]) -> list[Series]:
    """Returns the series of a history, that with the oldest commit first.

    Args:
        history: The results. Runs of commits that are not on the branch are left out.
        branch: The commits of the branch, the oldest first.
    """
    position = {commit: index for index, commit in enumerate(branch)}
    runs = [run for run in history.runs if run.commit in position]
    groups: dict[tuple[str, Conditions], list[AsvRun]] = {}
    for run in sorted(runs, key=lambda run: position[run.commit]):
        groups.setdefault((run.machine, run.conditions), []).append(run)
    return [
        Series(machine, conditions, tuple(group)) for (machine, conditions), group in groups.items()
    ]
