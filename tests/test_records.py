from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from flopline import __version__, records


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


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.json"
    path.write_text("before")
    with pytest.raises(UnicodeEncodeError):
        records.write(path, "\ud800")
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        records.write(path, "after")
    assert [file.name for file in tmp_path.iterdir()] == ["note.json"]


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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.json"


def test_writing_replaces_a_file_and_leaves_no_other(path: Path) -> None:
    path.write_text("before")
    records.write(path, "after: é\n")
    assert path.read_text(encoding="utf-8") == "after: é\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_written_file_can_be_read_by_others(path: Path) -> None:
    records.write(path, "")
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_relative_path_is_relative_to_the_current_folder(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    records.write(Path(path.name), "here")
    assert path.read_text() == "here"


@pytest.mark.parametrize("before", [None, "before"])
def test_a_text_that_cannot_be_written_leaves_everything_as_it_was(
    path: Path, before: str | None
) -> None:
    if before is not None:
        path.write_text(before)
    long_and_bad = "x" * 1_000_000 + "\udc80"
    with pytest.raises(UnicodeEncodeError):
        records.write(path, long_and_bad)
    kept = [] if before is None else [before]
    assert [file.read_text() for file in path.parent.iterdir()] == kept


@pytest.mark.parametrize(
    "interruption", [OSError(28, "No space left on device"), KeyboardInterrupt()]
)
def test_an_interrupted_write_leaves_everything_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    def interrupt(*_: object) -> None:
        raise interruption

    path.write_text("before")
    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(type(interruption)):
        records.write(path, "after")
    assert [file.read_text() for file in path.parent.iterdir()] == ["before"]


def test_a_folder_that_is_not_there_is_an_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        records.write(path / "deeper.json", "x")


def test_a_folder_is_not_replaced_by_a_file(path: Path) -> None:
    path.mkdir()
    with pytest.raises(OSError, match=r"file\.json"):
        records.write(path, "x")
    assert list(path.parent.iterdir()) == [path]
