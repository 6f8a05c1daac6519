"""Records as files: strict JSON, and read only as their own kind."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, TypeVar

import cattrs

from flopline import FloplineError, __version__
from flopline.files import write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class SavedRecord:
    """What every saved record holds beside its results.

    Attributes:
        kind: The command that writes it, for example `machine`; part of the file.
        schema_version: The version of the file's fields; part of the file.
        machine: The facts of `machine.describe`, or of `machine.hardware` where torch was not used.
        threads: How many threads torch and BLAS were given.
        started: When measuring began, in ISO 8601, UTC.
        seconds: How long measuring took.
        flopline: The version of flopline that wrote the record.
    """

    kind: ClassVar[str]
    schema_version: ClassVar[int]
    machine: dict[str, Any]
    threads: int
    started: str
    seconds: float
    flopline: str


Saved = TypeVar("Saved", bound=SavedRecord)


def now() -> str:
    """Returns the time in ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Head(TypedDict):
    """The fields that every saved record has; see `SavedRecord`."""

    machine: dict[str, Any]
    threads: int
    started: str
    seconds: float
    flopline: str


@dataclass(frozen=True)
class Beginning:
    """When a measurement began; made just before it, and asked for the record's head after it.

    Attributes:
        started: The time in ISO 8601, UTC.
        clock: The reading of the monotonic clock, in seconds.
    """

    started: str = field(default_factory=now)
    clock: float = field(default_factory=time.monotonic)

    def head(self, *, machine: Mapping[str, Any], threads: int) -> Head:
        """Returns the common fields of the record of what was measured since."""
        return Head(
            machine=dict(machine),
            threads=threads,
            started=self.started,
            seconds=time.monotonic() - self.clock,
            flopline=__version__,
        )


class RecordError(FloplineError, ValueError):
    """A file is not the record that was needed, or records do not belong together."""


CONVERTER = cattrs.Converter(forbid_extra_keys=True)


def dump(record: SavedRecord) -> str:
    """Returns a record as strict JSON, in which a number that is not finite is null."""
    values = {"kind": record.kind, "schema_version": record.schema_version}
    values |= CONVERTER.unstructure(record)
    return json.dumps(strict(values), indent=1, allow_nan=False) + "\n"


def strict(value: object) -> object:
    """Returns the same value with null for every number that is not finite.

    JSON has no word for infinity or "not a number".
    """
    if isinstance(value, dict):
        return {key: strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [strict(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def save(record: SavedRecord, path: Path) -> None:
    """Writes a record as JSON, whole or not at all."""
    write(path, dump(record))


def parse(path: Path, writer: str) -> dict[str, Any]:
    """Returns the JSON object in a file.

    Args:
        path: The file.
        writer: The command that writes such files, for the message.

    Raises:
        RecordError: The file holds no JSON object.
        OSError: The file cannot be read.
    """
    try:
        content = json.loads(_read(path), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"{path} is not JSON ({error}); give a file that `{writer}` wrote"
        ) from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise RecordError(
            f"{path} holds a JSON {kind}, no record; give a file that `{writer}` wrote"
        )
    return content


LARGEST = 1 << 28
"""Bytes that a record may have; a gate's with 1000 benchmarks has a tenth of that."""


def _read(path: Path) -> str:
    """Returns the text of a file, which may be a pipe and need not end.

    Raises:
        ValueError: It is too long, or not in UTF-8.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"it has more than {LARGEST >> 20} MiB")
    return content.decode()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


def _finite(digits: str) -> float:
    """Returns a number that JSON can write and a computer can hold.

    Raises:
        ValueError: The number is larger than any float.
    """
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is too large a number")
    return number


def kind_of(path: Path) -> str:
    """Returns the kind of the record in a file, for example `gate`.

    The file of `flopline bench` is pytest-benchmark's, in which flopline has a section of its own.

    Raises:
        RecordError: The file holds no record of flopline.
        OSError: The file cannot be read.
    """
    content = parse(path, "flopline ... --json")
    section = content.get("flopline")
    head = section if isinstance(section, dict) else content
    kind = head.get("kind")
    if not isinstance(kind, str):
        raise RecordError(
            f"{path} is no record of flopline's; give a file that a command saved with --json"
        )
    return kind


def load(path: Path, record_class: type[Saved]) -> Saved:
    """Reads a saved record of one kind.

    Raises:
        RecordError: The file is no JSON, of another kind or schema version, or lacks a field.
        OSError: The file cannot be read.
    """
    content = parse(path, f"flopline {record_class.kind} --json")
    return structure(content, record_class, str(path))


def structure(
    content: dict[str, Any],
    record_class: type[Saved],
    where: str,
    converter: cattrs.Converter = CONVERTER,
) -> Saved:
    """Returns a record from the object in its JSON.

    Args:
        content: The object.
        record_class: The class of the record.
        where: The name of the file, for messages.
        converter: What turns JSON into the record's fields.

    Raises:
        RecordError: The object is of another kind or schema version, or lacks a field.
    """
    needed = f"`flopline {record_class.kind}`"
    kind = content.get("kind")
    if kind != record_class.kind:
        is_ours = isinstance(kind, str)
        given = f"a record of `flopline {kind}`" if is_ours else "no record of flopline's"
        raise RecordError(f"{where} is {given}; here one of {needed} is needed")
    version = content.get("schema_version")
    if version != record_class.schema_version:
        raise RecordError(
            f"{where}: schema version {version!r}; this flopline reads "
            f"{record_class.schema_version}. Measure again, or read it with the version that wrote "
            "it"
        )
    body = {key: content[key] for key in content if key not in ("kind", "schema_version")}
    try:
        return converter.structure(body, record_class)
    except cattrs.BaseValidationError as error:
        reasons = "; ".join(cattrs.transform_error(error)[:3])
        raise RecordError(f"{where} is not a record of {needed}: {reasons}") from error


SAME_MACHINE = ("cpu", "cores", "usable_cores", "torch", "blas", "gpu")
"""The facts of a machine that must agree before two records may be shown together."""


def demand_one_machine(named: Mapping[str, SavedRecord]) -> None:
    """Refuses records of different machines.

    Args:
        named: The records, by the name under which the reader knows them.

    Raises:
        RecordError: Two records differ in a fact of `SAME_MACHINE` or in their number of threads;
            the message names the fact.
    """
    names = list(named)
    for name in names[1:]:
        first, second = named[names[0]], named[name]
        facts = [(fact, first.machine.get(fact), second.machine.get(fact)) for fact in SAME_MACHINE]
        facts.append(("threads", first.threads, second.threads))
        for fact, here, there in facts:
            if here != there:
                raise RecordError(
                    f"{names[0]} and {name} come from different machines: {fact} is {here!r} and "
                    f"{there!r}; measure again what was measured elsewhere"
                )
