"""What `flopline bench --json` saved: pytest-benchmark's record, read as flopline's own rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from flopline import __version__, records

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Row:
    """A case that was timed.

    Attributes:
        case: Its name.
        seconds: Median seconds per run.
        low: Lower quartile.
        high: Upper quartile.
        flops: Floating-point operations of a run.
        bytes: Bytes a run asks of memory.
        calls: Framework calls of a run.
        overhead: Share of the time that calls cost; None where unknown.
        data: Name of the training data; empty where none is used.
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
    def gflops(self) -> float:
        """Billions of floating-point operations per second."""
        return self.flops / self.seconds / 1e9


@dataclass(frozen=True, kw_only=True)
class Bench(records.SavedRecord):
    """What `flopline bench` measured; `seconds` is not part of its file and stays 0."""

    kind: ClassVar[str] = "bench"
    schema_version: ClassVar[int] = 1
    rows: tuple[Row, ...]


def head(threads: int) -> dict[str, str | int]:
    """What the plugin adds to pytest-benchmark's JSON, by which it is known again."""
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
    found = records.parse(path, "flopline bench --json")
    start = found.get("flopline")
    if not isinstance(start, dict):
        raise records.RecordError(
            f"{path} is no record of flopline's; give a file that `flopline bench --json` wrote"
        )
    try:
        rows = [
            _row(benchmark)
            for benchmark in found["benchmarks"]
            if "case" in benchmark["extra_info"]
        ]
        body = start | {"rows": rows, "seconds": 0.0, "machine": found["machine_info"]["flopline"]}
    except (KeyError, TypeError) as error:
        raise records.RecordError(
            f"{path} is not a record of `flopline bench`: {error!r} is missing or wrong"
        ) from error
    return records.structure(body, Bench, str(path))


def _row(benchmark: dict[str, Any]) -> dict[str, Any]:
    info, stats = benchmark["extra_info"], benchmark["stats"]
    return {
        "case": info["case"],
        "seconds": info["seconds"],
        "low": stats["q1"],
        "high": stats["q3"],
        **{name: info[name] for name in ("flops", "bytes", "calls")},
        "overhead": info.get("overhead"),
        "data": info.get("data", ""),
    }
