"""Each side has an environment of its own, with what its project, its lock and the user ask for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

from flopline.gate.sides.build import BuildError
from flopline.gate.sides.environment import sides
from flopline.gate.sides.isolation import Isolation, IsolationError, find_uv
from tests.gate.support.build_backends import (
    OWN_BACKEND,
    RUN_SIDES,
    SHOW_VALUE,
    project,
    run,
    wheel,
)
from tests.gate.support.make_projects import site, venv
from tests.support.checkouts import write

pytestmark = pytest.mark.usefixtures("temporary")

PROJECT = """
[project]
name = "subject"
dynamic = ["version", "dependencies"]

[project.optional-dependencies]
fast = ["extra-tool"]

[dependency-groups]
bench = ["group-tool==1", {include-group = "Base.One"}]
base-one = ["base-tool"]
"""
needs_uv = pytest.mark.skipif(find_uv() is None, reason="uv is not installed")


@pytest.fixture
def wheels(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip and uv look instead of the network; it has what every environment needs."""
    assert temporary.is_dir()
    folder = tmp_path / "wheels"
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    for name in ("pytest", "pytest_benchmark"):
        wheel(folder, name, metadata.version(name))
    for name in ("extra_tool", "group_tool", "base_tool", "asked_tool"):
        for version in ("1", "2"):
            wheel(folder, name, version)
    return folder


@pytest.fixture
def with_uv(wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets uv do what pip would do, and neither look into the network nor keep anything."""
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(wheels / "cache"))


def two_projects(folder: Path, table: str = PROJECT) -> Path:
    for name, version in (("old", "1"), ("new", "2")):
        project(folder / name, version)
        write(folder / name, {"pyproject.toml": OWN_BACKEND + table})
    return folder / "new"


SHOW = (
    "from importlib import metadata as m; "
    "print(sorted((d.name, d.version) for d in m.distributions() if d.name.endswith('tool')))"
)


# What is installed


def test_isolated_sides_have_dependencies_of_their_own_and_our_pytest(
    tmp_path: Path, temporary: Path, wheels: Path
) -> None:
    for name in ("pytest", "pytest_benchmark"):
        wheel(wheels, name, "999")
    for version in ("1", "2"):
        wheel(wheels, "helper", version)
    for name, version in (("old", "1"), ("new", "2")):
        project(tmp_path / name, version, needs=[f"helper=={version}"])
    show = f"{SHOW_VALUE}; import helper; print(helper.VERSION)"
    for name in ("pytest", "pytest-benchmark"):
        show += f"; print(version({name!r}))"
    harness = [metadata.version("pytest"), metadata.version("pytest-benchmark")]
    with sides(tmp_path / "new", "../old", isolation=Isolation()) as (baseline, candidate):
        assert run(baseline, show).split("\n") == ["value of 1 1", "1", *harness]
        assert run(candidate, show).split("\n") == ["value of 2 2", "2", *harness]
        assert baseline.packages == {"subject"}
        prefix = run(candidate, "import sys; print(sys.prefix)")
        assert prefix == str(Path(candidate.python).parents[1])
        numpy = run(candidate, "import importlib.util as u; print(u.find_spec('numpy'))")
        assert numpy == "None"
    assert not list(temporary.iterdir())


def test_pip_installs_groups_and_requirements_as_well(tmp_path: Path, wheels: Path) -> None:
    assert wheels.is_dir()
    isolation = Isolation(groups=("Bench",), requirements=("asked-tool<2",))
    with sides(two_projects(tmp_path), "../old", isolation=isolation) as both:
        for side in both:
            assert (
                run(side, SHOW) == "[('asked_tool', '1'), ('base_tool', '2'), ('group_tool', '1')]"
            )


@needs_uv
@pytest.mark.usefixtures("with_uv")
def test_uv_installs_groups_and_requirements_as_well(tmp_path: Path) -> None:
    isolation = Isolation(groups=("bench",), requirements=("asked-tool<2",))
    with sides(two_projects(tmp_path), "../old", isolation=isolation) as both:
        for side in both:
            assert (
                run(side, SHOW) == "[('asked_tool', '1'), ('base_tool', '2'), ('group_tool', '1')]"
            )
