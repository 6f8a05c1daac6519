"""Says how commits are measured on this machine, and what of a commit is still to be measured."""

from __future__ import annotations

import re
import runpy
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flopline import FloplineError, data
from flopline.history import machine_file
from flopline.history.record import ResultsError
from flopline.history.results import read_run
from flopline.workload import Case

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from flopline.history.configuration import Configuration
    from flopline.history.record import AsvRun, Values


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How commits are measured.

    Attributes:
        root: The checkout; its suite measures every commit.
        results: asv's results folder.
        cases: The names of the cases to measure.
        scale: The scale that these cases belong to.
        device: Where the cases run, `cpu` or a CUDA device.
        dtype: The number type of the operands.
        rounds: Processes for each case.
        repeat: Samples for each process.
        facts: The facts of the machine by name; `machine` is its name.
        existing: True to measure in this program's environment, False in asv's own.
    """

    root: Path
    results: Path
    cases: Sequence[str]
    scale: str
    device: str
    dtype: str
    rounds: int
    repeat: int
    facts: Mapping[str, str]
    existing: bool

    @property
    def machine(self) -> str:
        """The machine's name."""
        return self.facts["machine"]

    def variables(self) -> dict[str, str]:
        """Returns the environment variables that tell the suite how to measure."""
        variables = {
            "FLOPLINE_SCALE": self.scale,
            "FLOPLINE_DEVICE": self.device,
            "FLOPLINE_DTYPE": self.dtype,
            "OMP_NUM_THREADS": self.facts["threads"],
        }
        if self.facts["data"] == data.SURROGATE:
            # Otherwise every process would try again to download the real data.
            variables["FLOPLINE_DATA"] = data.SURROGATE
        return variables


class NoCasesError(FloplineError, FileNotFoundError):
    """The checkout has no list of what is measured."""


def prepare(
    configuration: Configuration,
    *,
    machine: str | None,
    scale: str,
    device: str,
    dtype: str,
    existing: bool,
) -> Measuring:
    """Finds out what is to be measured here, and how.

    Args:
        configuration: The settings of the checkout.
        machine: A name for this machine; by default it is made of processor, GPU and cores.
        scale: Which cases are measured: `quick`, `full` or `gate`.
        device: Where the cases run; on a CUDA device this program's environment is used.
        dtype: The number type of the operands.
        existing: True to measure in this program's environment.

    Raises:
        NoCasesError: The checkout has no list of cases.
        DataError: The training data are not the airfoil table.
        FileNotFoundError: FLOPLINE_DATA names no file.
    """
    cases_file = configuration.root / "benchmarks" / "cases.py"
    if not cases_file.is_file():
        raise NoCasesError(f"there is no {cases_file}, which lists what is measured")
    suite = runpy.run_path(str(cases_file))
    facts = machine_file.describe(
        machine,
        device=device,
        dtype=dtype,
        threads=configuration.threads,
        data=data.resolve().source.name,
    )
    return Measuring(
        root=configuration.root,
        results=configuration.results,
        cases=suite["CASES"][scale],
        scale=scale,
        device=device,
        dtype=dtype,
        rounds=suite["ROUNDS"],
        repeat=suite["REPEAT"],
        facts=facts,
        existing=existing or device != "cpu",
    )


def pattern(names: Iterable[str]) -> str:
    """Returns the regular expression that selects cases in asv's option --bench.

    A combination of parameters that it does not match is not even started.

    Args:
        names: The names of the cases.
    """
    alternatives = []
    for case in map(Case.parse, names):
        values = re.escape(", ".join(_values(case)))
        alternatives.append(rf"bench_{case.family}\..*\({values}\)")
    return f"^({'|'.join(alternatives)})$"


def _values(case: Case) -> Values:
    """Returns the values of a case's parameters as asv writes them."""
    return (repr(case.strategy), *(str(value) for value in case.axes.values()))


def set_aside_unreadable(measuring: Measuring, commit: str) -> None:
    """Renames the results files of a commit that cannot be read, because asv would fail on them."""
    for path in _files(measuring, commit):
        try:
            read_run(path)
        except ResultsError:
            path.rename(path.with_suffix(".json.unreadable"))


def missing_rounds(measuring: Measuring, commit: str) -> int:
    """Returns how many rounds of a commit have no results on this machine yet.

    A case that failed, or that the commit does not have, counts as measured.
    """
    missing = measuring.rounds
    for run in _comparable_runs(measuring, commit):
        missing = min(missing, measuring.rounds - _finished_rounds(measuring, run))
    return max(0, missing)


def _files(measuring: Measuring, commit: str) -> list[Path]:
    return sorted((measuring.results / measuring.machine).glob(f"{commit[:8]}-*.json"))


def _comparable_runs(measuring: Measuring, commit: str) -> Iterator[AsvRun]:
    """Yields the stored runs of a commit that were measured as this one would be."""
    facts = {fact for fact in measuring.facts.items() if fact[0] != "machine"}
    for path in _files(measuring, commit):
        try:
            run = read_run(path)
        except ResultsError:
            continue
        existing = dict(run.conditions)["environment"].startswith("existing")
        same_conditions = existing == measuring.existing and facts.issubset(run.conditions)
        if run.commit == commit and same_conditions:
            yield run


def _finished_rounds(measuring: Measuring, run: AsvRun) -> int:
    """Returns the rounds of the requested case that has the fewest.

    If none of the cases has a number, all of them failed, and all rounds are finished.
    """
    requested = set()
    for case in map(Case.parse, measuring.cases):
        requested.add((f"bench_{case.family}", _values(case)))
    finished = []
    for asv_case, measurement in run.measurements.items():
        module, _, _ = asv_case.benchmark.partition(".")
        if measurement is not None and (module, asv_case.values) in requested:
            finished.append(len(measurement.samples) // measuring.repeat)
    return min(finished, default=measuring.rounds)
