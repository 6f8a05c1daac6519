"""A small project with a history, for the tests of this folder.

Without the extra `history` these tests are left out.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.history.support import package as packages
    from tests.history.support import toy

if importlib.util.find_spec("asv") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> toy.Project:
    """Three commits, none of which is measured; only to be copied."""
    from tests.history.support import toy

    return toy.create(tmp_path_factory.mktemp("template") / "toy")


@pytest.fixture
def project(template: toy.Project, tmp_path: Path) -> toy.Project:
    """Three commits, none of which is measured."""
    return template.copy(tmp_path / "toy")


@pytest.fixture(scope="session")
def planted(template: toy.Project, tmp_path_factory: pytest.TempPathFactory) -> toy.Project:
    """Fourteen measured commits with a slowdown and a speed-up; only to be read."""
    from tests.history.support import toy

    return toy.plant(template.copy(tmp_path_factory.mktemp("planted") / "toy"))


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> packages.Package:
    """A package with the commits plain, broken, slowed and faulty, which asv can build."""
    from tests.history.support import package as packages

    return packages.create(tmp_path_factory.mktemp("package") / "toy")
