"""asv's results folder, read: format version 2, strict about what a number means, and about nothing else.

    results/benchmarks.json            what was discovered: names, parameters, versions, flops of a call
    results/<machine>/machine.json     the machine's facts
    results/<machine>/<sha8>-<environment>.json     one commit in one environment

A file that cannot be used is left out and named in `History.problems`; whoever needs it decides what that means.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

VERSION = 2
NEEDED = ("result", "params", "version", "stats_ci_99_a", "stats_ci_99_b", "samples")
HARDWARE = ("arch", "cpu", "num_cpu", "ram", "gpu")
"""The facts that make a machine this one; a new torch or driver is another series of the same machine."""


class ResultsError(ValueError):
    """A file or folder is not what asv 0.6.6 writes."""


@dataclass(frozen=True)
class Benchmark:
    """A benchmark of the suite, as asv discovered it.

    Attributes:
        name: For example `bench_matmul.Whole.sampled_product`.
        axes: Names of the parameters.
        points: Every combination of their values, as Python writes them, in asv's order.
        version: Results of another version mean something else.
        unit: Of the results, for example `seconds`.
        flops: Floating-point operations of a call, per combination; None where the suite does not say.
    """

    name: str
    axes: tuple[str, ...]
    points: tuple[tuple[str, ...], ...]
    version: str
    unit: str
    flops: Mapping[tuple[str, ...], int] | None


@dataclass(frozen=True)
class Measure:
    """What one commit took in one case.

    Attributes:
        seconds: Median seconds of a call.
        interval: Its 99 % interval; (-inf, inf) where there is one sample.
        samples: The single samples, in the order of measuring; empty where they were not kept.
    """

    seconds: float
    interval: tuple[float, float]
    samples: tuple[float, ...]


@dataclass(frozen=True)
class Case:
    """A combination of parameters of a benchmark, for example `bench_sgd.Sgd.sampled_epoch('manual', 10)`."""

    benchmark: str
    point: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.benchmark}({', '.join(self.point)})" if self.point else self.benchmark


@dataclass(frozen=True)
class Run:
    """One results file: a commit on a machine in an environment.

    Attributes:
        path: The file.
        commit: Full hash.
        machine: The machine's name.
        series: Everything else that must be equal for two runs to be comparable: environment and facts.
        measures: The cases that were measured, that failed (None), and that do not exist there (absent).
        versions: Of the benchmarks, when they were measured.
    """

    path: Path
    commit: str
    machine: str
    series: tuple[tuple[str, str], ...]
    measures: Mapping[Case, Measure | None]
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Problem:
    """A file that was left out.

    Attributes:
        path: The file.
        message: What was expected, what was found.
    """

    path: Path
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


@dataclass(frozen=True)
class History:
    """A results folder: what is measured, every run that could be read, and every file that could not."""

    benchmarks: Mapping[str, Benchmark]
    runs: Sequence[Run]
    problems: Sequence[Problem]


def read(folder: Path) -> History:
    """Everything in a results folder.

    Raises:
        ResultsError: There is no readable benchmarks.json.
    """
    path = folder / "benchmarks.json"
    if not path.is_file():
        raise ResultsError(
            f"{folder} holds no results: there is no {path.name}; run `nox -s history` first"
        )
    listed = {name: value for name, value in _load(path).items() if name != "version"}
    benchmarks = {name: _benchmark(path, name, value) for name, value in listed.items()}
    runs: list[Run] = []
    problems: list[Problem] = []
    for machine in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        hardware: dict[str, str] | None = None
        for file in sorted(machine.glob("*.json")):
            if file.name == "machine.json":
                continue
            try:
                run = read_run(file)
                found = {key: value for key, value in run.series if key in HARDWARE}
                if hardware is not None and found != hardware:
                    raise ResultsError(_two_machines(machine.name, hardware, found))  # noqa: TRY301  # as any other
            except ResultsError as error:
                problems.append(Problem(file, str(error).removeprefix(f"{file}: ")))
            else:
                hardware = found
                runs.append(run)
    return History(benchmarks, runs, problems)


def _two_machines(name: str, one: Mapping[str, str], other: Mapping[str, str]) -> str:
    different = sorted(key for key in {*one, *other} if one.get(key) != other.get(key))
    facts = "; ".join(
        f"{key} {one.get(key, 'unknown')} and {other.get(key, 'unknown')}" for key in different
    )
    return f"two machines are named {name}: {facts}; rename one of them, its folder and its files' params.machine"


def read_run(path: Path) -> Run:
    """One results file.

    Raises:
        ResultsError: It is no results file of version 2, contradicts itself, or lies in another machine's folder.
    """
    content = _load(path)
    try:
        columns, facts = content["result_columns"], content["params"] | _named(content["env_vars"])
        rows, commit = content["results"], content["commit_hash"]
        environment = {"environment": str(content["env_name"]), "python": str(content["python"])}
    except (KeyError, TypeError) as error:
        raise ResultsError(
            f"{path}: no results of a commit: {error} is missing or of another type"
        ) from None
    if missing := [column for column in NEEDED if column not in columns]:
        raise ResultsError(
            f"{path}: the columns {', '.join(missing)} are missing; asv 0.6.6 writes them"
        )
    if facts.get("machine") != path.parent.name:
        raise ResultsError(
            f"{path}: these are results of the machine {facts.get('machine')!r}, in another's folder"
        )
    measures: dict[Case, Measure | None] = {}
    versions = {}
    for name, row in rows.items():
        if not isinstance(row, list):
            raise ResultsError(
                f"{path}: no results of a commit: {name} holds {row!r} instead of a row"
            )
        cells = dict(zip(columns, row, strict=False))  # asv cuts trailing nulls
        versions[name] = str(cells.get("version"))
        measures |= _measures(path, name, cells)
    series = {
        **environment,
        **{key: str(value) for key, value in facts.items() if key != "machine"},
    }
    return Run(
        path, str(commit), path.parent.name, tuple(sorted(series.items())), measures, versions
    )


def _named(variables: Mapping[str, str]) -> dict[str, str]:
    return {
        f"env-{name}": value for name, value in variables.items()
    }  # as asv names them in its pages


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(
            path.read_text(encoding="utf-8")
        )  # takes asv's bare NaN, which is not JSON
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{path}: not JSON, perhaps cut off while it was written: {error}"
        ) from None
    if not isinstance(content, dict):
        raise ResultsError(f"{path}: a JSON {type(content).__name__}; an object was expected")
    if content.get("version") != VERSION:
        raise ResultsError(
            f"{path}: format version {content.get('version')!r}; this reads {VERSION}. `asv update` brings old files up"
        )
    return content


def _benchmark(path: Path, name: str, content: Mapping[str, Any]) -> Benchmark:
    try:
        points = tuple(itertools.product(*content["params"]))
        work = content.get("flops_per_call")
        flops = None if work is None else dict(zip(points, work, strict=True))
        return Benchmark(
            name,
            tuple(content["param_names"]),
            points,
            str(content["version"]),
            content["unit"],
            flops,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path}: the entry {name} is not asv's: {error}; discover again with nox -s history"
        ) from None


def _measures(
    path: Path, name: str, cells: Mapping[str, Any]
) -> Iterator[tuple[Case, Measure | None]]:
    points = list(itertools.product(*(cells.get("params") or [])))
    results = _column(path, name, cells, "result", len(points))
    lows, highs, samples = (
        _column(path, name, cells, column, len(points))
        for column in ("stats_ci_99_a", "stats_ci_99_b", "samples")
    )
    for point, result, low, high, taken in zip(points, results, lows, highs, samples, strict=True):
        if result is None:
            yield Case(name, point), None
        elif not math.isnan(result):
            interval = (-math.inf if low is None else low, math.inf if high is None else high)
            yield Case(name, point), Measure(result, interval, tuple(taken or ()))


def _column(path: Path, name: str, cells: Mapping[str, Any], column: str, length: int) -> list[Any]:
    """The values of a column, one per combination; a null stands for nulls."""
    values = cells.get(column)
    if values is None:
        return [None] * length
    if not isinstance(values, list) or len(values) != length:
        found = len(values) if isinstance(values, list) else repr(values)
        raise ResultsError(
            f"{path}: {name} has {length} combinations of parameters, but {column} holds {found}"
        )
    for value in values if column == "result" else ():
        if value is not None and (
            not isinstance(value, int | float) or value <= 0 or math.isinf(value)
        ):
            raise ResultsError(
                f"{path}: {name} took {value!r} seconds; a time is a positive number, null or NaN"
            )
    return values
