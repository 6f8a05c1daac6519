"""A worker reports from which files it has loaded code."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.worker.flopline_worker.modules import (
    code_digest,
    leave_out_folders,
    loaded_files,
)
from tests.support.checkouts import write

if TYPE_CHECKING:
    from pathlib import Path


def test_modules_and_files_that_were_only_run_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"own/subject.py": "", "own/unused.py": ""})
    write(tmp_path, {"other/ran.py": "def work(): pass\n", "third/x.py": "def work(): pass\n"})
    (tmp_path / "link").symlink_to(tmp_path / "own")
    spec = importlib.util.spec_from_file_location("subject", tmp_path / "link" / "subject.py")
    assert spec is not None
    monkeypatch.setitem(sys.modules, "subject", importlib.util.module_from_spec(spec))
    kept = [runpy.run_path(str(tmp_path / name)) for name in ("other/ran.py", "third/x.py")]
    files = loaded_files(str(tmp_path / "own"), [str(tmp_path / "other")])
    assert [row[:2] for row in files] == [
        (str(tmp_path / "other" / "ran.py"), ""),
        (str(tmp_path / "own" / "subject.py"), "subject"),
    ]
    assert [bool(row.digest) for row in files] == [False, True]
    assert kept


@pytest.mark.parametrize(
    ("name", "before", "after", "same"),
    [
        ("a.py", "x = 1\n", "x = 1\n", True),
        ("a.py", "x = 1\n", "x = 2\n", False),
        ("a.py", "__version__ = '1'\nx = 1\n", "__version__ = '2'\nx = 1\n", True),
        ("a.so", "version = 1\n", "version = 2\n", False),
    ],
)
def test_a_digest_is_of_the_code_and_not_of_its_version(
    tmp_path: Path, name: str, before: str, after: str, *, same: bool
) -> None:
    write(tmp_path, {f"old/{name}": before, f"new/{name}": after})
    old, new = (code_digest(str(tmp_path / side / name)) for side in ("old", "new"))
    assert len(old) == 16
    assert (old == new) is same


def test_a_file_that_cannot_be_read_has_no_digest(tmp_path: Path) -> None:
    assert code_digest(str(tmp_path / "nowhere.py")) == ""


def test_left_out_folders_are_no_longer_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "one")
    monkeypatch.setattr(sys, "path", [str(tmp_path / name) for name in ("link", "two")])
    leave_out_folders(f"{tmp_path}/one:{tmp_path}/three")
    assert sys.path == [str(tmp_path / "two")]
    leave_out_folders("")
    assert sys.path == [str(tmp_path / "two")]
