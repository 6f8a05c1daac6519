"""Reads asv's results folder, format version 2.

    results/benchmarks.json            what was discovered: names, parameters, versions, flops
    results/<machine>/machine.json     facts of the machine
    results/<machine>/<sha8>-<environment>.json     one commit in one environment

A file may hold anything, because it may be cut off, merged or edited; what is read is checked. A
file that cannot be used is left out and listed in `History.unreadable`. Whether that matters is
decided by those who need the file's commit.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, NoReturn

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

    from flopline.history.record import Values

VERSION = 2
"""The version of asv's file format that is read."""

COLUMNS = ("result", "params", "version", "stats_ci_99_a", "stats_ci_99_b", "samples")
"""The columns of a results file that are read; the file may have others."""

SHORTEST, LONGEST = 1e-15, 1e9
"""Seconds of a call that can be believed: no computer has so short a cycle, and the longest is 30
years. asv's step detection takes all memory for numbers near the largest that a computer knows.
"""

MOST_CASES = 1_000_000
"""At most this many combinations of parameters are read of one benchmark.

A few short lists of parameters have more combinations than any memory holds.
"""

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
"""The full hash of a commit, SHA-1 or SHA-256."""

NO_TIME = re.compile(r"(peakmem|mem|track)(_|[A-Z])", re.IGNORECASE)
"""How the functions begin that asv takes for benchmarks of memory or of any number."""


def read(folder: Path) -> History:
    """Reads everything in a results folder.

    Raises:
        ResultsError: There is no readable benchmarks.json.
        OSError: A folder cannot be read.
    """
    path = folder / "benchmarks.json"
    if not path.is_file():
        raise ResultsError(
            f"{folder} holds no results: there is no {path.name}; run `nox -s history` "
            "first, in another project `asv run`"
        )
    benchmarks = {}
    for name, entry in _load(path).items():
        if name != "version":
            benchmarks[name] = _benchmark(path, name, entry)
    runs: list[AsvRun] = []
    unreadable: list[UnreadableFile] = []
    for machine in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        _read_machine(machine, benchmarks, runs, unreadable)
    return History(benchmarks, runs, unreadable)


def _read_machine(
    folder: Path,
    benchmarks: Mapping[str, Benchmark],
    runs: list[AsvRun],
    unreadable: list[UnreadableFile],
) -> None:
    """Adds the results of one machine; all of them must come from the same hardware."""
    hardware: dict[str, str] | None = None
    for file in sorted(entry for entry in folder.iterdir() if entry.suffix == ".json"):
        if file.name == "machine.json":
            continue
        try:
            run = read_run(file, benchmarks)
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


def read_run(path: Path, benchmarks: Mapping[str, Benchmark] | None = None) -> AsvRun:
    """Reads the times in one results file.

    Args:
        path: The file.
        benchmarks: The benchmarks of the suite by name. Rows of those that measure no time are left
            out; without its entry a benchmark is judged by its name.

    Raises:
        ResultsError: It is not a results file of version 2, it contradicts itself, or it lies in
            the folder of another machine.
    """
    content = _load(path)
    commit = content.get("commit_hash")
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        _no_results(path, "commit_hash", commit)
    columns = content.get("result_columns")
    if not isinstance(columns, list) or not all(isinstance(column, str) for column in columns):
        _no_results(path, "result_columns", columns)
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise ResultsError(
            f"{path}: the columns {', '.join(missing)} are missing; asv 0.6.6 writes them"
        )
    conditions = _conditions(path, content)
    machine = conditions.pop("machine", None)
    if machine != path.parent.name:
        raise ResultsError(
            f"{path}: these are results of the machine {machine!r}, in the folder of another"
        )
    measurements: dict[AsvCase, Measurement | None] = {}
    versions = {}
    for name, row in _table(path, content, "results").items():
        if not isinstance(row, list):
            _no_results(path, name, row)
        entry = (benchmarks or {}).get(name)
        is_time = not NO_TIME.match(name.rpartition(".")[2]) if entry is None else entry.is_time
        if is_time:
            # asv leaves out nulls at the end of a row.
            cells = dict(zip(columns, row, strict=False))
            versions[name] = str(cells.get("version"))
            measurements.update(_measurements(path, name, cells))
    known = tuple(sorted((name, str(value)) for name, value in conditions.items()))
    return AsvRun(path, commit, machine, known, measurements, versions)


def _no_results(path: Path, name: str, value: object) -> NoReturn:
    shown = "missing" if value is None else short(value)
    raise ResultsError(f"{path}: these are no results of a commit: {name!r} is {shown}")


def _conditions(path: Path, content: Mapping[str, Any]) -> dict[str, Any]:
    conditions = {"environment": content.get("env_name"), "python": content.get("python")}
    for name, value in conditions.items():
        if not isinstance(value, str):
            _no_results(path, name, value)
    conditions |= _table(path, content, "params")
    if "env_vars" in content:  # asv wrote none in its older versions
        for name, value in _table(path, content, "env_vars").items():
            conditions[f"env-{name}"] = value  # the name that asv's pages give to the variable
    for name, value in conditions.items():
        if isinstance(value, list | dict):
            _no_results(path, name, value)
    return conditions


def _table(path: Path, content: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    if not isinstance(value, dict):
        _no_results(path, name, value)
    return value


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ResultsError(f"{path}: this is not a file")  # a pipe would be waited for
    try:
        # Python reads the bare NaN that asv writes, although it is not JSON.
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(
            f"{path}: this is not JSON; perhaps the file was cut off while it was written: {error}"
        ) from None
    except RecursionError:
        raise ResultsError(f"{path}: this JSON is nested too deeply") from None
    if not isinstance(content, dict):
        raise ResultsError(
            f"{path}: this is a JSON {type(content).__name__}; an object was expected"
        )
    version = content.get("version")
    if version != VERSION:
        raise ResultsError(
            f"{path}: the file has format version {short(version)}; flopline reads version "
            f"{VERSION}. `asv update` converts old files"
        )
    return content


def _benchmark(path: Path, name: str, entry: object) -> Benchmark:
    try:
        if not isinstance(entry, dict):
            raise TypeError(f"it is {short(entry)}")  # noqa: TRY301  # told with the others below
        if entry.get("name") != name:
            raise ValueError(f"it is named {short(entry.get('name'))}")  # noqa: TRY301  # as above
        params, names = _lists(entry.get("params", [])), entry.get("param_names", [])
        if len(names) != len(params) or not all(isinstance(word, str) for word in names):
            raise ValueError(f"its parameters are named {short(names)}")  # noqa: TRY301  # as above
        unit, kind = entry.get("unit"), entry.get("type")
        return Benchmark(
            name=name,
            parameters=tuple(names),
            version=str(entry.get("version")),
            unit=str(unit),
            flops=_flops(entry.get("flops_per_call"), params),
            is_time=(unit, kind) == ("seconds", "time"),
        )
    except (TypeError, ValueError) as error:
        raise ResultsError(
            f"{path}: asv did not write the entry {name}: {error}; run `nox -s history`, in "
            "another project `asv run`, which discovers the benchmarks again"
        ) from None


def _lists(params: object) -> list[list[str]]:
    """Returns the values of every parameter, as Python writes them.

    Raises:
        ValueError: This is no list of lists of texts, or they have too many combinations.
    """
    if not isinstance(params, list):
        raise ValueError(f"the parameters are {short(params)}")  # noqa: TRY004  # as documented
    for values in params:
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ValueError(f"the values of a parameter are {short(values)}")
    if math.prod(map(len, params)) > MOST_CASES:
        raise ValueError("its parameters have more than a million combinations")
    return params


MOST_FLOPS = 10**30
"""More operations than any computer does in thirty years."""


def _flops(work: object, params: list[list[str]]) -> dict[Values, int] | None:
    """Returns the operations of every combination of parameters; None if there are none.

    Raises:
        ValueError: There are fewer or more of them, or one is no number of operations.
    """
    if work is None:
        return None
    if not isinstance(work, list):
        raise ValueError(f"its flops are {short(work)}")  # noqa: TRY004  # as documented
    for count in work:
        if type(count) not in (int, float) or not 0 < count < MOST_FLOPS:
            raise ValueError(f"its flops are {short(count)}")
    return dict(zip(itertools.product(*params), work, strict=True))


def _measurements(
    path: Path, name: str, cells: Mapping[str, Any]
) -> Iterator[tuple[AsvCase, Measurement | None]]:
    """Yields the cases of one benchmark that were run; a result of NaN means "not available"."""
    try:
        params = _lists(cells.get("params") or [])
    except ValueError as error:
        raise ResultsError(f"{path}: {name}: {error}") from None
    length = math.prod(map(len, params))
    columns = {}
    for column in ("result", "stats_ci_99_a", "stats_ci_99_b", "samples"):
        columns[column] = _column(path, name, cells, column, length)
    rows = zip(itertools.product(*params), *columns.values(), strict=True)
    for values, result, low, high, samples in rows:
        case = AsvCase(name, values)
        if result is None:
            yield case, None
            continue
        seconds = _number(path, name, result)
        if math.isnan(seconds):
            continue
        if not SHORTEST <= seconds <= LONGEST:
            _no_time(path, name, result)
        interval = (_end(path, name, low, -math.inf), _end(path, name, high, math.inf))
        yield case, Measurement(seconds, interval, _samples(path, name, samples))


def _number(path: Path, name: str, value: object) -> float:
    if type(value) not in (int, float):
        _no_time(path, name, value)
    try:
        return float(value)  # type: ignore[arg-type]  # int or float, as was just asked
    except OverflowError:
        _no_time(path, name, value)


def _no_time(path: Path, name: str, value: object) -> NoReturn:
    raise ResultsError(
        f"{path}: {name} took {short(value)} seconds; a time is a positive number that a clock can "
        "show, null or NaN"
    )


def _end(path: Path, name: str, value: object, otherwise: float) -> float:
    """Returns an end of an interval; an unknown one is as far away as it can be."""
    end = otherwise if value is None else _number(path, name, value)
    return end if abs(end) <= LONGEST else otherwise


def _samples(path: Path, name: str, values: object) -> tuple[float, ...]:
    """Returns the samples; a coarse clock may give zeros."""
    if values is None:
        return ()
    if not isinstance(values, list):
        _no_time(path, name, values)
    samples = tuple(_number(path, name, value) for value in values)
    for seconds in samples:
        if not 0 <= seconds <= LONGEST:
            _no_time(path, name, seconds)
    return samples


def _column(path: Path, name: str, cells: Mapping[str, Any], column: str, length: int) -> list[Any]:
    """Returns one cell per case; a null in place of the column stands for nulls in all cells."""
    cell = cells.get(column)
    if cell is None:
        return [None] * length
    if isinstance(cell, list) and len(cell) == length:
        return cell
    found = len(cell) if isinstance(cell, list) else f"{short(cell)}"
    raise ResultsError(
        f"{path}: {name} has {length} combinations of parameters, but {column} holds {found}"
    )
