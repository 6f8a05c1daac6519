"""Says how commits are measured on this machine, and what of a commit is still to be measured."""

from __future__ import annotations

import ast
import re
import runpy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from flopline import FloplineError, data
from flopline.history import machine_file
from flopline.history.record import ResultsError, is_of
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
        root: The folder of the configuration; its suite measures every commit.
        repository: Where git knows the commits.
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
    repository: Path
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


class DeviceError(FloplineError, ValueError):
    """The cases cannot be measured on this device, or not in this number type."""


def check_device(device: str, dtype: str) -> None:
    """Refuses a device that this machine lacks, and a number type that the device lacks.

    Raises:
        DeviceError: This cannot be measured here.
    """
    kind, colon, index = device.partition(":")
    if device != "cpu" and (kind != "cuda" or (colon and not re.fullmatch("[0-9]{1,4}", index))):
        raise DeviceError(f"--device is {device!r}; allowed are cpu, cuda and cuda:N")
    if device == "cpu" and dtype == "tf32":
        raise DeviceError("--dtype tf32 exists on CUDA devices only; add --device cuda")
    if device == "cpu":
        return
    if not torch.cuda.is_available():
        raise DeviceError(
            f"--device {device}: torch {torch.__version__} finds no CUDA device here; use cpu"
        )
    count = torch.cuda.device_count()
    if colon and int(index) >= count:
        raise DeviceError(f"--device {device}: there are {count} CUDA devices here, counted from 0")


class NoCasesError(FloplineError, FileNotFoundError):
    """The checkout has no list of what is measured, or it is not flopline's."""


@dataclass(frozen=True)
class Suite:
    """What a suite says about how it is measured.

    Attributes:
        cases: The names of the cases of the chosen scale.
        rounds: Processes for each case.
        repeat: Samples for each process.
    """

    cases: Sequence[str]
    rounds: int
    repeat: int


LISTS = ("CASES", "ROUNDS", "REPEAT")
"""The names that flopline's list of cases defines."""


def read_suite(folder: Path, scale: str) -> Suite:
    """Reads the list of cases in the suite of a checkout.

    Raises:
        NoCasesError: There is no list, it is not flopline's, or it cannot be run.
    """
    path = folder / "cases.py"
    other = (
        "so this suite is not flopline's: measure it with `asv run`, and compare the results with "
        "`flopline history compare` and `regressions`"
    )
    if not path.is_file():
        raise NoCasesError(f"there is no {path}, which lists what is measured, {other}")
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (OSError, RecursionError, SyntaxError, ValueError) as error:
        raise NoCasesError(f"{path} cannot be read: {error}") from error
    missing = [name for name in LISTS if name not in set(_assigned(tree))]
    if missing:
        raise NoCasesError(f"{path} does not define {', '.join(missing)}, {other}")
    try:
        values = runpy.run_path(str(path))
        cases = values["CASES"][scale]
        for name in cases:
            Case.parse(name)
        return Suite(list(cases), int(values["ROUNDS"]), int(values["REPEAT"]))
    except (Exception, SystemExit) as error:
        raise NoCasesError(
            f"{path} gives no list of cases for the scale {scale}: "
            f"{type(error).__name__}: {error}; {other}"
        ) from error


def _assigned(tree: ast.Module) -> Iterator[str]:
    """Yields the names that a module assigns at its top level."""
    for statement in tree.body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        for target in targets:
            names = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
            yield from (name.id for name in names if isinstance(name, ast.Name))


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
        DeviceError: This machine lacks the device, or the device the number type.
        MachineError: The machine's name cannot be the name of a folder.
        NoCasesError: The checkout has no list of cases of flopline's.
        DataError: The training data are not the airfoil table.
        FileNotFoundError: FLOPLINE_DATA names no file.
    """
    check_device(device, dtype)
    if machine is not None:
        machine_file.check_name(machine)
    suite = read_suite(configuration.suite, scale)
    facts = machine_file.describe(
        machine,
        device=device,
        dtype=dtype,
        threads=configuration.threads,
        data=data.resolve().source.name,
    )
    return Measuring(
        root=configuration.root,
        repository=configuration.repository,
        results=configuration.results,
        cases=suite.cases,
        scale=scale,
        device=device,
        dtype=dtype,
        rounds=suite.rounds,
        repeat=suite.repeat,
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
    folder = measuring.results / measuring.machine
    if not folder.is_dir():
        return []
    files = [path for path in folder.iterdir() if path.suffix == ".json" and is_of(path, commit)]
    return sorted(files)


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
