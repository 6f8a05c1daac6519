"""`flopline show` prints every kind of record that a command saves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from flopline import bench, sheet
from flopline.chapter import sheets
from flopline.cli import app, main
from flopline.gate import storage
from tests.gate.support.make_records import RECORD
from tests.support import chapter

if TYPE_CHECKING:
    from pathlib import Path


def show(file: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["show", str(file)], env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_a_gate_record_is_shown_as_gate_show_shows_it(tmp_path: Path) -> None:
    storage.save(RECORD, tmp_path / "gate.json")
    again = CliRunner().invoke(
        app, ["gate", "show", str(tmp_path / "gate.json")], env={"COLUMNS": "200"}
    )
    assert show(tmp_path / "gate.json") == (0, again.output)
    assert "2 confirmed regressions" in again.output


def test_the_chapters_records_are_shown_as_their_tables(tmp_path: Path) -> None:
    records = chapter.chapter_records()
    files = chapter.save(records, tmp_path)
    tables = {
        "machine": sheets.machine(records.machine),
        "train": (sheets.training(records.training),),
        "claims": (sheets.claims(records.claims),),
        "bench": bench.sheets(records.bench.rows),
    }
    for kind, shown in tables.items():
        code, output = show(files[kind])
        assert code == 0
        assert output == "\n".join(sheet.to_text(table, 200) for table in shown)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"kind": "poem"}, "is a record of `flopline poem`; flopline shows records of gate, bench"),
        ({}, "is no record of flopline's"),
    ],
    ids=["unknown kind", "foreign"],
)
def test_a_file_that_is_no_record_is_refused(
    tmp_path: Path, content: object, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.json"
    file.write_text(json.dumps(content))
    with pytest.raises(SystemExit) as ended:
        run(file)
    assert ended.value.code == 2
    assert said in capfd.readouterr().err


def run(file: Path) -> None:
    """Runs the command with everything that `main` does with its errors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["flopline", "show", str(file)])
        main()
