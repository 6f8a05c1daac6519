"""A gate record as compact JSON.

A record holds tens of thousands of batches, so each side's batches are written as columns:

    {"quads": 2,
     "baseline": {"batches": [2, 1], "calls": 100, "wall_ns": [4100000, 4090000, 4120000], ...},
     "candidate": {...}}

`batches` says how many batches the side has in each quad. Every other column has one value for
each batch of all quads, in time order. A column whose values are all equal is written as that one
value. Clocks count whole nanoseconds, which say the same as seconds in half as many digits. A time
that is no whole number of nanoseconds keeps a thousandth of one.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields
from itertools import chain, islice, starmap
from typing import TYPE_CHECKING, Any

import cattrs

from flopline.files import write
from flopline.gate.record import BATCH_TIMES, Batch, GateRecord, Quad
from flopline.records import RecordError, parse, strict, structure

if TYPE_CHECKING:
    from pathlib import Path

BATCH_FIELDS = tuple(field.name for field in fields(Batch))
LATER_COLUMNS = {"children_ns": 0}
"""Columns that older files do not have, with the value that all their batches had."""
NANOSECONDS = 1e9
"""Nanoseconds of a second."""
MOST_BATCHES = 10_000_000
"""More batches than any benchmark has in a block; a file that says so is not believed."""

CONVERTER = cattrs.Converter()


def dump(record: GateRecord) -> str:
    """Returns the record as strict JSON, in which a number that is not finite is null."""
    values = {"kind": record.kind, "schema_version": record.schema_version}
    values |= CONVERTER.unstructure(record)
    return json.dumps(strict(values), separators=(",", ":"), allow_nan=False) + "\n"


def save(record: GateRecord, path: Path) -> None:
    """Writes the record as JSON, whole or not at all."""
    write(path, dump(record))


def load(path: Path) -> GateRecord:
    """Reads a saved record.

    Facts that a later version of flopline added to the file are ignored.

    Raises:
        RecordError: The file is no JSON, no gate record, or of another schema version.
        OSError: The file cannot be read.
    """
    content = parse(path, "flopline gate --json")
    if "kind" not in content and {"comparisons", "exit_code"} <= content.keys():
        # Files did not say their kind before schema version 3.
        raise RecordError(
            f"{path} is a gate record of schema version {content.get('schema_version')!r}; this "
            f"flopline reads {GateRecord.schema_version}. Run the gate again, or read the file "
            f"with the version that wrote it ({content.get('flopline')!r})"
        )
    return structure(content, GateRecord, str(path), CONVERTER)


def _pack(quads: list[Quad]) -> dict[str, object]:
    """Returns the quads of one benchmark as columns of both sides."""
    baseline = [quad.baseline for quad in quads]
    candidate = [quad.candidate for quad in quads]
    return {
        "quads": len(quads),
        "baseline": _pack_side(baseline),
        "candidate": _pack_side(candidate),
    }


def _pack_side(batches_of_quads: list[tuple[Batch, ...]]) -> dict[str, object]:
    counts = [len(batches) for batches in batches_of_quads]
    columns = {"batches": _shortest(counts)}
    all_batches = list(chain.from_iterable(batches_of_quads))
    for name in BATCH_FIELDS:
        values = [getattr(batch, name) for batch in all_batches]
        if name in BATCH_TIMES:
            values = [_to_nanoseconds(seconds) for seconds in values]
        columns[_column(name)] = _shortest(values)
    return columns


def _column(field: str) -> str:
    """Returns the name of the column in which a field of all batches is written."""
    if field in BATCH_TIMES:
        return f"{field}_ns"
    return field


def _shortest(values: list[Any]) -> object:
    """Returns the values, or the one value that they all have."""
    if len(set(values)) == 1:
        return values[0]
    return values


def _to_nanoseconds(seconds: float | None) -> float | None:
    if seconds is None or not math.isfinite(seconds):
        return None
    whole = round(seconds * NANOSECONDS)
    if whole / NANOSECONDS == seconds:
        return whole
    return round(seconds * NANOSECONDS, 3)


def _unpack(columns: dict[str, Any], _: object) -> list[Quad]:
    """Returns the quads that `_pack` wrote.

    Raises:
        KeyError: A column is missing.
        ValueError: A column has too few or too many values.
    """
    count = columns["quads"]
    baseline = _unpack_side(columns["baseline"], count)
    candidate = _unpack_side(columns["candidate"], count)
    quads = zip(baseline, candidate, strict=True)
    return [Quad(*sides) for sides in quads]


def _unpack_side(columns: dict[str, Any], quads: int) -> list[tuple[Batch, ...]]:
    counts = _values(columns, "batches", quads)
    values_of_fields = []
    for name in BATCH_FIELDS:
        values = _values(LATER_COLUMNS | columns, _column(name), sum(counts))
        if name in BATCH_TIMES:
            values = [_to_seconds(nanoseconds) for nanoseconds in values]
        values_of_fields.append(values)
    all_batches = starmap(Batch, zip(*values_of_fields, strict=True))
    return [tuple(islice(all_batches, count)) for count in counts]


def _values(columns: dict[str, Any], name: str, length: int) -> list[Any]:
    """Returns a column's values, also if they were all equal and only one of them was written."""
    values = columns[name]
    if length > MOST_BATCHES:
        raise ValueError(f"{length} values of {name}; a record has {MOST_BATCHES} at most")
    if not isinstance(values, list):
        return [values] * length
    if len(values) != length:
        raise ValueError(f"the column {name} has {len(values)} values instead of {length}")
    return values


def _to_seconds(nanoseconds: float | None) -> float | None:
    if nanoseconds is None:
        return None
    return nanoseconds / NANOSECONDS


CONVERTER.register_unstructure_hook_func(lambda kind: kind == list[Quad], _pack)
CONVERTER.register_structure_hook_func(lambda kind: kind == list[Quad], _unpack)
