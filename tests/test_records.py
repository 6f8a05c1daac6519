from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import pytest

from flopline import __version__, records

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Note(records.SavedRecord):
    kind: ClassVar[str] = "note"
    schema_version: ClassVar[int] = 3
    values: tuple[float | None, ...]


NOTE = Note(
    machine={"cpu": "A", "cores": 2},
    threads=1,
    started="2026-11-21T00:00:00+00:00",
    seconds=0.5,
    flopline="1",
    values=(),
)


def test_a_saved_record_is_read_again(tmp_path: Path) -> None:
    note = replace(NOTE, values=(1.0, None, 2.5))
    records.save(note, tmp_path / "note.json")
    assert records.load(tmp_path / "note.json", Note) == note
    assert json.loads((tmp_path / "note.json").read_text())["schema_version"] == 3


def test_what_is_no_finite_number_is_saved_as_null(tmp_path: Path) -> None:
    records.save(replace(NOTE, values=(float("nan"), float("inf"), 1.0)), tmp_path / "note.json")
    assert records.load(tmp_path / "note.json", Note).values == (None, None, 1.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ('{"a": NaN}', "NaN is no number in JSON"),
        ('{"a": 1e400}', "1e400 is too large a number"),
        ('{"a": ' + "9" * 5000 + "}", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "holds a JSON list"),
        ("{}", "no record of flopline's"),
        (
            '{"kind": "train", "schema_version": 3}',
            "a record of `flopline train`; here one of `flopline note`",
        ),
        ('{"kind": "note", "schema_version": 4}', "schema version 4; this flopline reads 3"),
        (
            '{"kind": "note", "schema_version": 3, "machine": {}}',
            "required field missing @ $.threads",
        ),
    ],
    ids=[
        "truncated",
        "not strict",
        "a large number",
        "a long number",
        "nested",
        "a list",
        "foreign",
        "another kind",
        "another version",
        "fields missing",
    ],
)
def test_a_file_that_is_not_the_record_is_refused_with_what_is_wrong(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "note.json").write_text(text)
    with pytest.raises(records.RecordError) as refused:
        records.load(tmp_path / "note.json", Note)
    assert said in str(refused.value)
    assert str(tmp_path / "note.json") in str(refused.value)


def test_a_record_with_a_field_too_many_is_refused() -> None:
    found = json.loads(records.dump(NOTE)) | {"colour": "red"}
    with pytest.raises(records.RecordError, match="colour"):
        records.structure(found, Note, "note.json")


@pytest.mark.parametrize(
    ("other", "fact"),
    [
        (replace(NOTE, machine={"cpu": "B", "cores": 2}), "cpu is 'A' and 'B'"),
        (replace(NOTE, machine={"cpu": "A", "cores": 4}), "cores is 2 and 4"),
        (replace(NOTE, threads=2), "threads is 1 and 2"),
    ],
    ids=["processor", "cores", "threads"],
)
def test_records_of_different_machines_do_not_go_together(other: Note, fact: str) -> None:
    records.demand_one_machine({"one.json": NOTE, "same.json": NOTE})
    with pytest.raises(records.RecordError, match=fact) as refused:
        records.demand_one_machine({"one.json": NOTE, "same.json": NOTE, "other.json": other})
    assert str(refused.value).startswith("one.json and other.json")


def test_the_head_says_when_measuring_began_and_how_long_it_took() -> None:
    beginning = records.Beginning(started="2026-11-21T00:00:00+00:00", clock=time.monotonic() - 2)
    head = beginning.head(machine={"cpu": "A"}, threads=3)
    assert head["seconds"] >= 2
    note = Note(**head, values=())
    assert (note.started, note.threads, note.machine) == (beginning.started, 3, {"cpu": "A"})
    assert note.flopline == __version__


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"kind": "gate", "schema_version": 3}', "gate"),
        ('{"benchmarks": [], "flopline": {"kind": "bench"}}', "bench"),
        ('{"kind": "train", "flopline": "0.1"}', "train"),
    ],
)
def test_the_kind_of_a_record_is_read_from_its_file(tmp_path: Path, text: str, kind: str) -> None:
    (tmp_path / "record.json").write_text(text)
    assert records.kind_of(tmp_path / "record.json") == kind


@pytest.mark.parametrize("text", ["{}", '{"kind": 3}', '{"benchmarks": []}'])
def test_a_foreign_file_has_no_kind_and_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "foreign.json").write_text(text)
    with pytest.raises(records.RecordError, match=r"foreign\.json is no record of flopline's"):
        records.kind_of(tmp_path / "foreign.json")
