"""Reads asv's results folder, format version 2.

    results/benchmarks.json            what was discovered: names, parameters, versions, flops
    results/<machine>/machine.json     facts of the machine
    results/<machine>/<sha8>-<environment>.json     one commit in one environment

A file that cannot be used is left out and listed in `History.unreadable`. Whether that matters is
decided by those who need the file's commit.
"""

from __future__ import annotations

import itertools
import json
import math
from typing import TYPE_CHECKING, Any

from flopline.history.record import (
    HARDWARE,
    AsvCase,
    AsvRun,
    Benchmark,
    History,
    Measurement,
    ResultsError,
    UnreadableFile,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

VERSION = 2
"""The version of asv's file format that is read."""

COLUMNS = ("result", "params", "version", "stats_ci_99_a", "stats_ci_99_b", "samples")
"""The columns of a results file that are read; the file may have others."""


def read(folder: Path) -> History:
    """Reads everything in a results folder.

    Raises:
        ResultsError: There is no readable benchmarks.json.
    """
    path = folder / "benchmarks.json"
    if not path.is_file():
        raise ResultsError(
            f"{folder} holds no results: there is no {path.name}; run `nox -s history` first"
        )
    benchmarks = {}
    for name, entry in _load(path).items():
        if name != "version":
            benchmarks[name] = _benchmark(path, name, entry)
    runs: list[AsvRun] = []
    unreadable: list[UnreadableFile] = []
    for machine in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        _read_machine(machine, runs, unreadable)
    return History(benchmarks, runs, unreadable)


def _read_machine(folder: Path, runs: list[AsvRun], unreadable: list[UnreadableFile]) -> None:
    """Adds the results of one machine; all of them must come from the same hardware."""
    hardware: dict[str, str] | None = None
    for file in sorted(folder.glob("*.json")):
        if file.name == "machine.json":
            continue
        try:
            run = read_run(file)
        except ResultsError as error:
            unreadable.append(UnreadableFile(file, str(error).removeprefix(f"{file}: ")))
            continue
        measured_on = {name: value for name, value in run.conditions if name in HARDWARE}
        if hardware is None:
            hardware = measured_on
        if measured_on == hardware:
            runs.append(run)
        else:
            unreadable.append(
                UnreadableFile(file, _two_machines(folder.name, hardware, measured_on))
            )


def _two_machines(name: str, first: Mapping[str, str], second: Mapping[str, str]) -> str:
    differences = []
    for fact in sorted({*first, *second}):
        values = (first.get(fact, "unknown"), second.get(fact, "unknown"))
        if values[0] != values[1]:
            differences.append(f"{fact} {values[0]} and {values[1]}")
    return (
        f"two machines are named {name}: {'; '.join(differences)}; rename one of them, its folder "
        "and params.machine in its files"
    )


def read_run(path: Path) -> AsvRun:
    """Reads one results file.

    Raises:
        ResultsError: It is not a results file of version 2, it contradicts itself, or it lies in
            the folder of another machine.
    """
    content = _load(path)
    try:
        columns, rows = content["result_columns"], content["results"]
        commit = str(content["commit_hash"])
        facts = dict(content["params"])
        conditions = {"environment": content["env_name"], "python": content["python"], **facts}
        for name, value in content["env_vars"].items():
            conditions[f"env-{name}"] = value  # the name that asv's pages give to the variable
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path}: these are no results of a commit: {error} is missing or of another type"
        ) from None
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise ResultsError(
            f"{path}: the columns {', '.join(missing)} are missing; asv 0.6.6 writes them"
        )
    machine = conditions.pop("machine", None)
    if machine != path.parent.name:
        raise ResultsError(
            f"{path}: these are results of the machine {machine!r}, in the folder of another"
        )
    measurements: dict[AsvCase, Measurement | None] = {}
    versions = {}
    for name, row in rows.items():
        if not isinstance(row, list):
            raise ResultsError(
                f"{path}: these are no results of a commit: {name} holds {row!r} instead of a row"
            )
        cells = dict(zip(columns, row, strict=False))  # asv leaves out nulls at the end of a row
        versions[name] = str(cells.get("version"))
        measurements.update(_measurements(path, name, cells))
    known = tuple(sorted((name, str(value)) for name, value in conditions.items()))
    return AsvRun(path, commit, machine, known, measurements, versions)


def _load(path: Path) -> dict[str, Any]:
    try:
        # Python reads the bare NaN that asv writes, although it is not JSON.
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{path}: this is not JSON; perhaps the file was cut off while it was written: {error}"
        ) from None
    if not isinstance(content, dict):
        raise ResultsError(
            f"{path}: this is a JSON {type(content).__name__}; an object was expected"
        )
    version = content.get("version")
    if version != VERSION:
        raise ResultsError(
            f"{path}: the file has format version {version!r}; flopline reads version {VERSION}. "
            "`asv update` converts old files"
        )
    return content


def _benchmark(path: Path, name: str, entry: Mapping[str, Any]) -> Benchmark:
    try:
        work = entry.get("flops_per_call")
        flops = None
        if work is not None:
            flops = dict(zip(itertools.product(*entry["params"]), work, strict=True))
        return Benchmark(
            name=name,
            parameters=tuple(entry["param_names"]),
            version=str(entry["version"]),
            unit=entry["unit"],
            flops=flops,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path}: asv did not write the entry {name}: {error}; run `nox -s history`, which "
            "discovers the benchmarks again"
        ) from None


def _measurements(
    path: Path, name: str, cells: Mapping[str, Any]
) -> Iterator[tuple[AsvCase, Measurement | None]]:
    """Yields the cases of one benchmark that were run; a result of NaN means "not available"."""
    combinations = list(itertools.product(*(cells.get("params") or [])))
    columns = {}
    for column in ("result", "stats_ci_99_a", "stats_ci_99_b", "samples"):
        columns[column] = _column(path, name, cells, column, len(combinations))
    for seconds in columns["result"]:
        _check_seconds(path, name, seconds)
    for values, seconds, low, high, samples in zip(combinations, *columns.values(), strict=True):
        case = AsvCase(name, values)
        if seconds is None:
            yield case, None
        elif not math.isnan(seconds):
            interval = (-math.inf if low is None else low, math.inf if high is None else high)
            yield case, Measurement(seconds, interval, tuple(samples or ()))


def _column(path: Path, name: str, cells: Mapping[str, Any], column: str, length: int) -> list[Any]:
    """Returns one cell per case; a null in place of the column stands for nulls in all cells."""
    cell = cells.get(column)
    if cell is None:
        return [None] * length
    if isinstance(cell, list) and len(cell) == length:
        return cell
    found = len(cell) if isinstance(cell, list) else repr(cell)
    raise ResultsError(
        f"{path}: {name} has {length} combinations of parameters, but {column} holds {found}"
    )


def _check_seconds(path: Path, name: str, seconds: object) -> None:
    if seconds is None:
        return
    if not isinstance(seconds, int | float) or seconds <= 0 or math.isinf(seconds):
        raise ResultsError(
            f"{path}: {name} took {seconds!r} seconds; a time is a positive number, null or NaN"
        )
