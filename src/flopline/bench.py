"""The cases that were timed, as tables, and as read from what `flopline bench --json` saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from flopline import __version__, records, units
from flopline.sheet import Column, Sheet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Row:
    """A case that was timed.

    Attributes:
        case: The name of the case.
        seconds: Median seconds per run.
        low: The lower quartile of the seconds per run.
        high: The upper quartile of the seconds per run.
        flops: Floating-point operations of a run.
        bytes: Bytes that a run reads and writes, as if there were no caches.
        calls: Framework calls of a run.
        overhead: The share of the time that calls cost beside their arithmetic; None if unknown.
        data: The name of the training data; empty if none is used.
    """

    case: str
    seconds: float
    low: float
    high: float
    flops: int
    bytes: int
    calls: int
    overhead: float | None
    data: str

    @property
    def spread(self) -> float:
        """The interquartile range over the median."""
        return (self.high - self.low) / self.seconds

    @property
    def gflops(self) -> float:
        """Billions of floating-point operations per second."""
        return units.gflops(self.flops, self.seconds)


@dataclass(frozen=True, kw_only=True)
class Bench(records.SavedRecord):
    """What `flopline bench` measured.

    `seconds` is not part of its file and is 0.
    """

    kind: ClassVar[str] = "bench"
    schema_version: ClassVar[int] = 1
    rows: tuple[Row, ...]


def head(threads: int) -> dict[str, str | int]:
    """Returns what the plugin adds to pytest-benchmark's JSON, by which `load` recognises it."""
    return {
        "kind": Bench.kind,
        "schema_version": Bench.schema_version,
        "threads": threads,
        "flopline": __version__,
        "started": records.now(),
    }


def load(path: Path) -> Bench:
    """Reads a file that `flopline bench --json` wrote.

    Raises:
        RecordError: It is no JSON, not such a file, or of another schema version.
        OSError: It cannot be read.
    """
    content = records.parse(path, "flopline bench --json")
    added = content.get("flopline")
    if not isinstance(added, dict):
        raise records.RecordError(
            f"{path} is no record of flopline's; give a file that `flopline bench --json` wrote"
        )
    try:
        timed = [entry for entry in content["benchmarks"] if "case" in entry["extra_info"]]
        rows = [_row(entry) for entry in timed]
        machine = content["machine_info"]["flopline"]
    except (KeyError, TypeError) as error:
        raise records.RecordError(
            f"{path} is not a record of `flopline bench`: {error!r} is missing or wrong"
        ) from error
    fields = added | {"rows": rows, "seconds": 0.0, "machine": machine}
    return records.structure(fields, Bench, str(path))


def _row(benchmark: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of a row from pytest-benchmark's record of a benchmark."""
    info, statistics = benchmark["extra_info"], benchmark["stats"]
    return {
        "case": info["case"],
        "seconds": info["seconds"],
        "low": statistics["q1"],
        "high": statistics["q3"],
        "flops": info["flops"],
        "bytes": info["bytes"],
        "calls": info["calls"],
        "overhead": info.get("overhead"),
        "data": info.get("data", ""),
    }


@dataclass(frozen=True)
class _Timed:
    """A row with the parts of its case's name as they are shown."""

    row: Row
    family: str
    strategy: str
    axes: dict[str, str]


def _timed(row: Row) -> _Timed:
    # The cases of other projects need not be ones that `Case.parse` accepts; what they are called
    # must not end the run that has just measured them.
    family, _, rest = row.case.partition("/")
    axes: dict[str, str] = {}
    for part in rest.split("/"):
        axis, _, size = part.partition("=")
        axes[axis] = size
    return _Timed(row, family, axes.pop("strategy", ""), axes)


def sheets(rows: Sequence[Row]) -> list[Sheet]:
    """Returns a table per family, with the columns that its rows have something for."""
    families: dict[str, list[_Timed]] = {}
    for row in rows:
        timed = _timed(row)
        families.setdefault(timed.family, []).append(timed)
    return [_sheet(family, members) for family, members in families.items()]


def _sheet(family: str, members: list[_Timed]) -> Sheet:
    axes: dict[str, None] = {}
    for timed in members:
        axes |= dict.fromkeys(timed.axes)
    columns = [("strategy", [timed.strategy for timed in members])]
    for axis in axes:
        sizes = [timed.axes.get(axis, "") for timed in members]
        columns.append((axis, sizes))
    columns += _measured(family, members)
    names = [name for name, _ in columns]
    cells = [column for _, column in columns]
    return Sheet(
        title=family,
        columns=(Column("strategy", "left"), *(Column(name) for name in names[1:])),
        rows=tuple(zip(*cells, strict=True)),
    )


def _measured(family: str, members: list[_Timed]) -> list[tuple[str, list[str]]]:
    """Returns name and cells of the columns that are right of the case's own."""
    rows = [timed.row for timed in members]
    columns = [
        ("s/epoch" if family == "sgd" else "time", [units.duration(row.seconds) for row in rows]),
        ("IQR", [f"{row.spread:.1%}" for row in rows]),
    ]
    if any(row.flops for row in rows):
        columns.append(("GFLOPS", [f"{row.gflops:.3g}" for row in rows]))
    if family == "matmul":
        columns.append(("of full", _shares_of_full(members)))
    if family == "sgd":
        columns.append(("updates/s", [f"{row.calls / row.seconds:,.0f}" for row in rows]))
    if any(row.overhead is not None for row in rows):
        columns.append(("overhead", [_percentage(row.overhead) for row in rows]))
    return columns


def _shares_of_full(members: list[_Timed]) -> list[str]:
    """Returns how fast each product is compared with `full` of its size, where that was timed."""
    full = {}
    for timed in members:
        if timed.strategy == "full":
            full[timed.axes.get("n")] = timed.row.seconds
    shares = []
    for timed in members:
        seconds = full.get(timed.axes.get("n"))
        shares.append("" if seconds is None else f"{seconds / timed.row.seconds:.3f}")
    return shares


def _percentage(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
