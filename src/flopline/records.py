"""What is saved: records as strict JSON, written whole or not at all, and read only as what they say they are."""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import cattrs

from flopline import FloplineError


@dataclass(frozen=True, kw_only=True)
class SavedRecord:
    """What every saved record holds beside its results.

    Attributes:
        kind: The command that writes it; part of the file.
        schema_version: Of the file's fields; part of the file.
        machine: As `machine.describe` gives it.
        threads: Threads that torch and BLAS were given.
        started: When measuring began, ISO 8601, UTC.
        seconds: How long it took.
        flopline: The version that wrote it.
    """

    kind: ClassVar[str]
    schema_version: ClassVar[int]
    machine: dict[str, Any]
    threads: int
    started: str
    seconds: float
    flopline: str


def now() -> str:
    """The time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


Saved = TypeVar("Saved", bound=SavedRecord)


class RecordError(FloplineError, ValueError):
    """A file is not the record that was asked for, or records do not belong together."""


CONVERTER = cattrs.Converter(forbid_extra_keys=True)


def dump(record: SavedRecord) -> str:
    """A record as strict JSON: what is no finite number becomes null."""
    head = {"kind": record.kind, "schema_version": record.schema_version}
    return (
        json.dumps(strict(head | CONVERTER.unstructure(record)), indent=1, allow_nan=False) + "\n"
    )


def strict(value: object) -> object:
    """The same value with null for whatever is no finite number, which JSON does not know."""
    if isinstance(value, dict):
        return {key: strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [strict(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def save(record: SavedRecord, path: Path) -> None:
    """Writes a record's JSON whole or not at all."""
    write(path, dump(record))


def write(path: Path, content: str | bytes) -> None:
    """Writes a file whole or not at all: under a temporary name in the same folder, then renamed."""
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def parse(path: Path, writer: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        path: The file.
        writer: The command that writes such files, for the message.

    Raises:
        RecordError: The file is no JSON object.
        OSError: It cannot be read.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"{path} is not JSON ({error}); give a file that `{writer}` wrote"
        ) from error
    if not isinstance(found, dict):
        raise RecordError(
            f"{path} holds a JSON {type(found).__name__}, no record; give a file that `{writer}` wrote"
        )
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


def load(path: Path, what: type[Saved]) -> Saved:
    """Reads a saved record of one kind.

    Raises:
        RecordError: The file is no JSON, of another kind or schema version, or lacks something.
        OSError: It cannot be read.
    """
    found = parse(path, f"flopline {what.kind} --json")
    return structure(found, what, str(path))


def structure(
    found: dict[str, Any],
    what: type[Saved],
    where: str,
    converter: cattrs.Converter = CONVERTER,
) -> Saved:
    """A record from the object in its JSON; `where` names the file in messages.

    Raises:
        RecordError: The object is of another kind or schema version, or lacks something.
    """
    kind, version = found.get("kind"), found.get("schema_version")
    if kind != what.kind:
        given = (
            f"a record of `flopline {kind}`" if isinstance(kind, str) else "no record of flopline's"
        )
        raise RecordError(f"{where} is {given}; here one of `flopline {what.kind}` is needed")
    if version != what.schema_version:
        raise RecordError(
            f"{where}: schema version {version!r}; this flopline reads {what.schema_version}"
        )
    body = {key: value for key, value in found.items() if key not in ("kind", "schema_version")}
    try:
        return converter.structure(body, what)
    except cattrs.BaseValidationError as error:
        reasons = "; ".join(cattrs.transform_error(error)[:3])
        raise RecordError(
            f"{where} is not a record of `flopline {what.kind}`: {reasons}"
        ) from error


SAME = ("cpu", "cores", "usable_cores", "torch", "blas", "gpu")
"""Facts of a machine that must agree before two records may be shown together."""


def together(named: dict[str, SavedRecord]) -> None:
    """Refuses records of different machines.

    Args:
        named: The records by the name under which the reader knows them.

    Raises:
        RecordError: Two of them differ in a fact of `SAME`, or in threads; the message says in which.
    """
    (first, one), *rest = named.items() or [("", None)]
    for name, other in rest:
        if one is None or other is None:
            continue
        facts = [(fact, one.machine.get(fact), other.machine.get(fact)) for fact in SAME]
        for fact, here, there in [*facts, ("threads", one.threads, other.threads)]:
            if here != there:
                raise RecordError(
                    f"{first} and {name} come from different machines: {fact} is {here!r} and {there!r}; "
                    "measure again what was measured elsewhere"
                )
