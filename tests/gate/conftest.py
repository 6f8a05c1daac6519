"""Worlds that a test may ask for."""

from __future__ import annotations

import os
import tempfile
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.gate.support.processes import gone
from tests.gate.support.projects import commit, git, venv, world, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """The temporary folder of a world of its own."""
    with world(tmp_path) as folder:
        yield folder


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A checkout with one commit, in a folder whose name is no shell's friend."""
    folder = tmp_path / "-my repo $(x) ü"
    folder.mkdir()
    git(folder, "init", "--quiet")
    write(folder, {"pkg/__init__.py": "VALUE = 1\n", "data.txt": "1\n"})
    commit(folder, "one")
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The Python of an environment of its own, with everything this one has."""
    return venv(tmp_path / "venv", everything=True)


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Marks every process that a test starts; none may be left behind, and no folder or descriptor either."""
    text = f"marker-{uuid.uuid4()}"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("FLOPLINE_TEST", text)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are all that is wanted
    yield text
    assert gone(text)
    assert list(temporary.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
