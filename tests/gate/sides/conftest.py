"""Sides that are built once for all tests of a session."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.environment import sides
from tests.gate.support.build_backends import project
from tests.support.checkouts import world, write

if TYPE_CHECKING:
    from collections.abc import Iterator

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
