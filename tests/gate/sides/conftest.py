"""Sides that are built once for all tests of a session, and a checkout with submodules."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.environment import sides
from tests.gate.support.build_backends import project
from tests.support.checkouts import commit, git, world, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flopline.gate.sides.environment import Side


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    """Two sides whose wheels carry tests, need something, and take their version from git."""
    folder = tmp_path_factory.mktemp("built")
    before = "assert os.environ['SETUPTOOLS_SCM_PRETEND_VERSION'] == '0.0.0'"
    for name, version in (("old", "1"), ("new", "2")):
        root = project(folder / name, version, before=before, needs=["nobody-has-this"], source="")
        write(root, {"tests/__init__.py": "", "tests/a.py": f"A = {version}"})
    with ExitStack() as stack:
        # The network and the user's settings are hidden only while the sides are built.
        with world(folder):
            both = stack.enter_context(sides(folder / "new", "../old"))
        yield both


@pytest.fixture
def outer(tmp_path: Path) -> Path:
    """A checkout with a submodule that has a submodule."""
    for name, inner in (("leaf", ""), ("middle", "leaf"), ("outer", "middle")):
        git(tmp_path, "init", "--quiet", name)
        write(tmp_path / name, {f"{name}.txt": "1"})
        if inner:
            address = (tmp_path / inner).as_uri()
            git(tmp_path / name, "submodule", "--quiet", "add", address, f"{inner} ü")
        commit(tmp_path / name, "one")
        git(tmp_path / name, "tag", f"{name}-1")
    address = (tmp_path / "outer").as_uri()
    git(tmp_path, "clone", "--quiet", "--recurse-submodules", address, "clone")
    return tmp_path / "clone"
