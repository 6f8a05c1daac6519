"""Each side has an environment of its own, with what its project, its lock and the user ask for."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.build import find_uv
from flopline.gate.sides.environment import sides
from flopline.gate.sides.isolation import Isolation, IsolationError
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

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def two_projects(folder: Path, table: str = PROJECT, needs: Sequence[str] = ()) -> Path:
    """Writes two versions with the same tables, and returns the newer one."""
    for name, version in (("old", "1"), ("new", "2")):
        project(folder / name, version, needs=needs)
        write(folder / name, {"pyproject.toml": OWN_BACKEND + table})
    return folder / "new"


SHOW = (
    "from importlib import metadata as m; "
    "print(*sorted(d.name + d.version for d in m.distributions() if d.name.endswith('tool')))"
)


# What is installed


def test_isolated_sides_have_dependencies_of_their_own_and_our_pytest(
    tmp_path: Path, temporary: Path, wheels: Path
) -> None:
    for name in ("pytest", "pytest_benchmark"):
        wheel(wheels, name, "999")
    wheel(wheels, "pytest", "6")
    for version in ("1", "2"):
        wheel(wheels, "helper", version)
    project(tmp_path / "old", "1", needs=["helper==1", "pytest==6"])
    project(tmp_path / "new", "2", needs=["helper==2"])
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
        (note,) = baseline.notes
        assert note.startswith("the baseline asks for pytest 6, which is too old for the gate")
        assert candidate.notes == ()
    assert not list(temporary.iterdir())


@pytest.fixture
def without_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves git on PATH, and nothing that reads lock files."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(shutil.which("git") or "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.mark.usefixtures("wheels", "without_programs")
def test_pip_installs_extras_groups_and_requirements_as_well(tmp_path: Path) -> None:
    isolation = Isolation(("fast",), ("Bench",), ("asked-tool<2",))
    needs = ["extra-tool==1; extra == 'fast'\nProvides-Extra: fast"]
    new = two_projects(tmp_path, needs=needs)
    write(new, {"pdm.lock": ""})
    with sides(new, "../old", isolation=isolation) as (baseline, candidate):
        for side in (baseline, candidate):
            assert run(side, SHOW) == "asked_tool1 base_tool2 extra_tool1 group_tool1"
        assert baseline.notes == ()
        (note,) = candidate.notes
        assert note.startswith("the pdm.lock of the candidate was not used, because that needs pdm")


@needs_uv
@pytest.mark.usefixtures("with_uv")
def test_a_side_without_a_group_is_installed_without_it_and_that_is_told(tmp_path: Path) -> None:
    new = two_projects(tmp_path)
    write(tmp_path / "old", {"pyproject.toml": OWN_BACKEND})
    isolation = Isolation(groups=("bench",), requirements=("asked-tool<2",))
    with sides(new, "../old", isolation=isolation) as (baseline, candidate):
        assert run(candidate, SHOW) == "asked_tool1 base_tool2 group_tool1"
        assert run(baseline, SHOW) == "asked_tool1"
        assert baseline.notes == ("the baseline has no group bench, and was installed without it",)
        assert candidate.notes == ()


APPLICATION = """\
[project]
name = "application"
version = "1"
requires-python = ">=3.11"
dependencies = ["base-tool{}"]

[dependency-groups]
dev = ["extra-tool"]
bench = ["group-tool"]

[tool.uv]
package = false
"""


@needs_uv
@pytest.mark.usefixtures("with_uv")
def test_each_side_is_installed_from_its_own_lock_file(tmp_path: Path) -> None:
    for name, version in (("old", "1"), ("new", "2")):
        write(tmp_path / name, {"pyproject.toml": APPLICATION.format(f"=={version}")})
        subprocess.run([find_uv() or "uv", "lock", "--quiet"], cwd=tmp_path / name, check=True)
        write(tmp_path / name, {"pyproject.toml": APPLICATION.format("")})
    isolation = Isolation(groups=("bench",), requirements=("asked-tool==1",))
    with sides(tmp_path / "new", "../old", isolation=isolation) as (baseline, candidate):
        assert run(baseline, SHOW) == "asked_tool1 base_tool1 group_tool2"
        assert run(candidate, SHOW) == "asked_tool1 base_tool2 group_tool2"
        assert baseline.version.label == "folder ../old, with its uv.lock"


# What is refused


@pytest.mark.parametrize(
    ("isolation", "reason"),
    [
        (Isolation(requirements=("-r x.txt",)), "--with '-r x.txt' is no requirement"),
        (
            Isolation(groups=("docs",)),
            "--group docs: neither version has a dependency group of this name; the candidate has",
        ),
        (
            Isolation(extras=("Slow",)),
            "--extra Slow: neither version has an extra of this name; the candidate has fast",
        ),
        (
            Isolation(groups=("endless",)),
            "a dependency group of the baseline cannot be understood: Cyclic dependency group",
        ),
    ],
)
@pytest.mark.usefixtures("wheels", "without_programs")
def test_what_no_version_has_is_refused_before_anything_is_installed(
    tmp_path: Path, isolation: Isolation, reason: str
) -> None:
    table = PROJECT
    if isolation.groups == ("endless",):
        table += 'endless = [{include-group = "endless"}]\n'
    new = two_projects(tmp_path, table)
    with pytest.raises(IsolationError) as caught, sides(new, "../old", isolation=isolation):
        pass
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("wheels", "without_programs")
def test_an_extra_that_only_the_build_could_have_known_is_refused(tmp_path: Path) -> None:
    new = two_projects(tmp_path, "")
    reason = "--extra fast: the baseline has no extra of this name; it has none"
    isolation = Isolation(extras=("fast",))
    with pytest.raises(IsolationError, match=reason), sides(new, "../old", isolation=isolation):
        pass


@pytest.mark.usefixtures("without_programs")
def test_an_environment_without_pip_and_uv_is_refused_with_the_remedy(tmp_path: Path) -> None:
    project(tmp_path / "old", "1")
    bare = tmp_path / "bare"
    python = venv(bare)  # it has everything else that this environment has
    for file in Path(sysconfig.get_path("purelib")).iterdir():
        if not file.name.startswith(("pip", "uv")):
            site(bare, file.name).symlink_to(file)
    command = [str(python), *RUN_SIDES, str(tmp_path / "old"), ".", "--isolated"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    message = f"--isolated installs with uv or with pip, and {bare} has no pip and PATH no uv"
    assert f"BuildError: {message}" in done.stderr
