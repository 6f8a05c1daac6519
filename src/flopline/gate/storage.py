"""A gate record as compact JSON."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args

import cattrs

from flopline.gate.record import Batch, GateRecord, Quad, SideName
from flopline.records import parse, strict, structure, write

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = tuple(field.name for field in fields(Batch))
TIMES = {name: f"{name}_ns" for name in ("wall", "cpu", "process", "timer")}
"""Fields of a batch that are seconds, and their columns in a file."""

CONVERTER = cattrs.Converter(forbid_extra_keys=True)


# A record has tens of thousands of batches, so they are written as columns: how many `batches` a side has in each quad,
# and each field of all of them in time order. Where a column's values are all the same it is that value. Clocks count
# whole nanoseconds, which say the same as seconds in half as many digits; other times keep a thousandth of one.


def _columns(quads: list[Quad]) -> dict[str, Any]:
    taken = {side: [getattr(quad, side) for quad in quads] for side in get_args(SideName)}
    return {"quads": len(quads), **{side: _packed(batches) for side, batches in taken.items()}}


def _packed(taken: list[tuple[Batch, ...]]) -> dict[str, Any]:
    batches = list(itertools.chain.from_iterable(taken))
    columns: dict[str, list[Any]] = {"batches": list(map(len, taken))}
    for name in FIELDS:
        values = [getattr(batch, name) for batch in batches]
        columns[TIMES.get(name, name)] = (
            list(map(_nanoseconds, values)) if name in TIMES else values
        )
    return {
        name: column[0] if len(set(column)) == 1 else column for name, column in columns.items()
    }


def _nanoseconds(seconds: float | None) -> float | None:
    if seconds is None or not math.isfinite(seconds):
        return None
    counted = round(seconds * 1e9)
    return counted if counted / 1e9 == seconds else round(seconds * 1e9, 3)


def _quads(columns: dict[str, Any], _: object) -> list[Quad]:
    sides = [_unpacked(columns[side], columns["quads"]) for side in get_args(SideName)]
    return [Quad(*batches) for batches in zip(*sides, strict=True)]


def _unpacked(columns: dict[str, Any], quads: int) -> list[tuple[Batch, ...]]:
    def column(name: str, length: int) -> list[Any]:
        values = columns[name]
        if isinstance(values, list) and len(values) != length:
            raise ValueError(f"{len(values)} {name} where {length} are told")
        return values if isinstance(values, list) else [values] * length

    counts = column("batches", quads)
    taken = {name: column(TIMES.get(name, name), sum(counts)) for name in FIELDS}
    for name in TIMES:
        taken[name] = [None if value is None else value / 1e9 for value in taken[name]]
    batches = itertools.starmap(Batch, zip(*taken.values(), strict=True))
    return [tuple(itertools.islice(batches, count)) for count in counts]


CONVERTER.register_unstructure_hook_func(lambda it: it == list[Quad], _columns)
CONVERTER.register_structure_hook_func(lambda it: it == list[Quad], _quads)


def dump(record: GateRecord) -> str:
    """Returns the record as strict JSON: what is no finite number becomes null."""
    head = {"kind": record.kind, "schema_version": record.schema_version}
    body = strict(head | CONVERTER.unstructure(record))
    return json.dumps(body, separators=(",", ":"), allow_nan=False) + "\n"


def save(record: GateRecord, path: Path) -> None:
    """Writes the record's JSON whole or not at all."""
    write(path, dump(record))


def load(path: Path) -> GateRecord:
    """Reads a saved record.

    Raises:
        RecordError: The file is no JSON, no gate record, or of another schema version.
        OSError: The file cannot be read.
    """
    found = parse(path, "flopline gate --json")
    return structure(found, GateRecord, str(path), CONVERTER)
