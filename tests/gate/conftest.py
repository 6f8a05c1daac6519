"""Checkouts, environments and temporary folders for the tests of the gate."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.gate.support.make_projects import venv
from tests.gate.support.processes import gone
from tests.support.checkouts import commit, git, world, write

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """The temporary folder of a test that sees neither the network nor the user's settings."""
    with world(tmp_path) as folder:
        yield folder


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A checkout with one commit, in a folder whose name needs quoting in a shell."""
    folder = tmp_path / "-my repo $(x) ü"
    folder.mkdir()
    git(folder, "init", "--quiet")
    write(folder, {"pkg/__init__.py": "VALUE = 1\n", "data.txt": "1\n"})
    commit(folder, "one")
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The Python of a new virtual environment that finds everything that this one has."""
    return venv(tmp_path / "venv", everything=True)


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Marks every process that a test starts, and checks that nothing of it is left behind.

    Neither processes nor temporary folders nor file descriptors may remain.
    """
    text = f"marker-{uuid.uuid4()}"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("FLOPLINE_TEST", text)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))
    yield text
    assert gone(text)
    assert list(temporary.iterdir()) == []
    assert len(list(descriptors.iterdir())) == before
