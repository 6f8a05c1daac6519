"""The vocabulary of the history: what was measured, where and how, as asv stores it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from flopline import FloplineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HARDWARE = ("arch", "cpu", "num_cpu", "ram", "gpu")
"""The facts that identify a machine.

If one of the other facts changes, for example the version of torch or of the driver, the machine
stays the same and a new series begins.
"""

Values = tuple[str, ...]
"""One value of every parameter of a benchmark, as Python writes them: `("'tile'", "256")`."""

Conditions = tuple[tuple[str, str], ...]
"""Names and values of whatever must be equal for two runs on a machine to be comparable, sorted."""


@dataclass(frozen=True)
class AsvCase:
    """A benchmark with values of its parameters: `bench_sgd.Sgd.sampled_epoch('manual', 10)`.

    Attributes:
        benchmark: The benchmark's name in asv.
        values: The values of its parameters; empty if it has none.
    """

    benchmark: str
    values: Values

    def __str__(self) -> str:
        return f"{self.benchmark}({', '.join(self.values)})" if self.values else self.benchmark


@dataclass(frozen=True)
class Benchmark:
    """A benchmark of the suite, as asv discovered it.

    Attributes:
        name: The benchmark's name in asv.
        parameters: The names of its parameters.
        version: Results of different versions are not comparable.
        unit: The unit of the results, for example `seconds`.
        flops: Floating-point operations of one call for all values of the parameters; None if the
            suite does not declare them.
        is_time: False for what is no time: asv also measures memory, and tracks any numbers.
    """

    name: str
    parameters: tuple[str, ...]
    version: str
    unit: str
    flops: Mapping[Values, int] | None
    is_time: bool = True


@dataclass(frozen=True)
class Measurement:
    """The time that one commit took in one case.

    Attributes:
        seconds: Median seconds of a call.
        interval: The 99 % confidence interval of the median; (-inf, inf) for a single sample.
        samples: The samples in the order in which they were taken; empty if they were not kept.
    """

    seconds: float
    interval: tuple[float, float]
    samples: tuple[float, ...]


@dataclass(frozen=True)
class AsvRun:
    """One results file: a commit on a machine in an environment.

    Attributes:
        path: The file.
        commit: The full hash.
        machine: The machine's name.
        conditions: The environment and the machine's facts, among them the versions of Python and
            torch.
        measurements: The measurement of every case that was run; None if the case failed. A case
            that this commit does not have is absent.
        versions: The version of each benchmark when it was measured.
    """

    path: Path
    commit: str
    machine: str
    conditions: Conditions
    measurements: Mapping[AsvCase, Measurement | None]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class UnreadableFile:
    """A results file that was left out.

    Attributes:
        path: The file.
        reason: What was expected and what was found.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"

    @property
    def machine(self) -> str:
        """The name of the machine in whose folder the file lies."""
        return self.path.parent.name

    def is_of(self, commit: str) -> bool:
        """Returns whether the file's name is that of a commit."""
        return is_of(self.path, commit)


def is_of(path: Path, commit: str) -> bool:
    """Returns whether a file is named after a commit; asv takes eight digits of its hash."""
    return path.name.startswith(f"{commit[:8]}-")


class ResultsError(FloplineError, ValueError):
    """A file or folder is not what asv 0.6.6 writes, or lacks what was requested."""


@dataclass(frozen=True)
class History:
    """What a results folder holds.

    Attributes:
        benchmarks: The benchmarks of the suite, by name.
        runs: Every file that could be read.
        unreadable: Every file that could not be read.
    """

    benchmarks: Mapping[str, Benchmark]
    runs: Sequence[AsvRun]
    unreadable: Sequence[UnreadableFile]

    @property
    def not_times(self) -> list[str]:
        """The benchmarks of the suite that measure no time, so that no command judges them."""
        return sorted(entry.name for entry in self.benchmarks.values() if not entry.is_time)

    def flops(self, case: AsvCase) -> int | None:
        """Returns the floating-point operations of one call, or None if they are unknown."""
        benchmark = self.benchmarks.get(case.benchmark)
        if benchmark is None or benchmark.flops is None:
            return None
        return benchmark.flops.get(case.values)

    def of_machine(self, name: str) -> History:
        """Returns the part of the history that was measured on one machine.

        Raises:
            ResultsError: There are no results of that machine.
        """
        known = {run.machine for run in self.runs} | {file.machine for file in self.unreadable}
        if name not in known:
            names = ", ".join(sorted(known)) or "none"
            raise ResultsError(f"there are no results of a machine {name!r}; there are: {names}")
        return replace(
            self,
            runs=[run for run in self.runs if run.machine == name],
            unreadable=[file for file in self.unreadable if file.machine == name],
        )
