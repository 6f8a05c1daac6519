"""A small project with a history, for the tests of this folder; without the extra `history` they are left out."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.history.support import toy

if importlib.util.find_spec("asv") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def project(tmp_path: Path) -> toy.Project:
    """Three commits, none measured."""
    from tests.history.support import toy

    return toy.create(tmp_path / "toy")


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> toy.Project:
    """Fourteen measured commits with a slowdown and a speed-up; only to be read."""
    from tests.history.support import toy

    return toy.plant(toy.create(tmp_path_factory.mktemp("planted") / "toy"))
