"""pip builds both sides, in the same way and without the network."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from flopline.gate.sides.build import (
    PIP,
    BuildError,
    find_installer,
    has_build_requirements,
)
from flopline.gate.sides.environment import sides
from flopline.gate.sides.interpreter import Interpreter, examine
from tests.gate.support.build_backends import RUN_SIDES, project, run, wheel
from tests.gate.support.make_projects import site, venv
from tests.support.checkouts import commit, write

if TYPE_CHECKING:
    from flopline.gate.sides.environment import Side

pytestmark = pytest.mark.usefixtures("temporary")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip looks instead of the network."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "wheels"


# What a build uses


def test_a_version_that_comes_from_git_needs_no_git(built: tuple[Side, Side]) -> None:
    assert [run(side) for side in built] == ["value of 1 1", "value of 2 2"]


def test_a_version_that_the_user_gives_wins(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SETUPTOOLS_SCM_PRETEND_VERSION", "3.1")
    project(repo, "1", before="assert os.environ['SETUPTOOLS_SCM_PRETEND_VERSION'] == '3.1'")
    commit(repo, "two")
    with sides(repo, "HEAD") as (baseline, _):
        assert run(baseline) == "value of 1 1"


def test_in_a_checkout_no_version_is_pretended(repo: Path) -> None:
    project(repo, "1", before="assert not {'PBR_VERSION', 'PDM_BUILD_SCM_VERSION'} & {*os.environ}")
    commit(repo, "two")
    with sides(repo, "HEAD") as (baseline, _):
        assert run(baseline) == "value of 1 1"


def test_what_the_project_depends_on_is_this_environments(built: tuple[Side, Side]) -> None:
    baseline, _ = built
    assert run(baseline, "import numpy, subject; print(numpy.__file__)") == np.__file__
    assert run(baseline, "from subject import _made; print(_made.ISOLATED)") == "False"


def test_isolation_is_used_where_the_environment_lacks_requirements(
    tmp_path: Path, wheels: Path
) -> None:
    wheel(wheels, "strange_tool", "3")
    project(tmp_path / "old", "1")
    project(tmp_path / "new", "2", before="import strange_tool")
    toml = tmp_path / "new" / "pyproject.toml"
    toml.write_text(toml.read_text().replace("requires = []", "requires = ['strange-tool>=3']"))
    with sides(tmp_path / "new", "../old") as (baseline, candidate):
        assert [run(baseline), run(candidate)] == ["value of 1 1", "value of 2 2"]


def test_where_a_build_fails_both_are_built_with_isolation(tmp_path: Path, wheels: Path) -> None:
    wheel(wheels, "strange_tool", "3")
    project(tmp_path / "old", "1")
    project(tmp_path / "new", "2", before="import strange_tool", build_needs=["strange_tool"])
    with sides(tmp_path / "new", "../old") as both:
        for side in both:
            assert run(side, "from subject import _made; print(_made.ISOLATED)") == "True"


@pytest.mark.parametrize(
    ("requires", "there"),
    [
        ([], True),
        (["hatchling>=1.0"], True),
        (["hatchling>=1000"], False),
        (["a-tool-that-nobody-has"], False),
        (["a-tool-that-nobody-has; python_version < '3'"], True),
        (["hatchling @ file:///x", "not a requirement"], False),
        (None, True),
    ],
)
def test_it_is_known_whether_the_environment_can_build(
    tmp_path: Path, requires: list[str] | None, there: bool
) -> None:
    table = "" if requires is None else f"[build-system]\nrequires = {json.dumps(requires)}\n"
    tree = write(tmp_path, {"pyproject.toml": table})
    assert has_build_requirements(tree, Interpreter.this()) is there


# Builds that fail


def test_a_build_error_names_its_side_and_ends_with_pips_last_lines(
    tmp_path: Path, temporary: Path
) -> None:
    project(tmp_path / "old", "1")
    project(tmp_path / "new", "2", before="raise SystemExit('the compiler has no mercy')")
    with pytest.raises(BuildError) as caught, sides(tmp_path / "new", "../old"):
        pass
    text = str(caught.value)
    assert text.startswith("the candidate could not be built")
    assert "the compiler has no mercy" in text
    assert "baseline" not in text
    assert len(text.splitlines()) <= 21
    assert not list(temporary.iterdir())


def test_if_both_builds_fail_both_are_reported(tmp_path: Path) -> None:
    write(tmp_path, {"old/pyproject.toml": "[broken", "new/setup.py": "raise SystemExit('no')"})
    both = r"(?s)the baseline could not.*TOML.*the candidate could not"
    with pytest.raises(BuildError, match=both), sides(tmp_path / "new", "../old"):
        pass


def without_pip(folder: Path) -> Path:
    """Makes an environment that has all that this one has, except pip and uv."""
    python = venv(folder)
    for file in Path(sysconfig.get_path("purelib")).iterdir():
        if not file.name.startswith(("pip", "uv")):
            site(folder, file.name).symlink_to(file)
    return python


def test_without_pip_and_uv_a_build_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path / "old", "1")
    git = Path(str(shutil.which("git")))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("UV", raising=False)
    python = without_pip(tmp_path / "bare")
    command = [str(python), *RUN_SIDES, str(tmp_path / "old"), "."]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    message = f"the environment {tmp_path / 'bare'} has no pip, and there is no uv on PATH"
    assert f"BuildError: both sides are built with pip or uv, {message}" in done.stderr
    assert f"or pip there: `{python} -m ensurepip`" in done.stderr


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
def test_an_environment_without_pip_is_built_for_with_uv(repo: Path, tmp_path: Path) -> None:
    project(repo, "1", before="assert 'SETUPTOOLS_SCM_PRETEND_VERSION' not in os.environ")
    commit(repo, "two")
    interpreter = Interpreter.this()
    bare = examine("it", str(without_pip(tmp_path / "bare")), "bare", "", tmp_path)
    assert (interpreter.has_pip, bare.has_pip) == (True, False)
    with sides(repo, "HEAD", interpreter=bare) as (baseline, candidate):
        assert [run(baseline), run(candidate)] == ["value of 1 1", "value of 1 1"]
        assert run(baseline, "from subject import _made; print(_made.ISOLATED)") == "False"
        assert baseline.python == bare.python
        assert baseline.built == {"subject"}
        # As with pip, the byte code is there before anything is measured.
        assert baseline.site is not None
        assert list((baseline.site / "subject" / "__pycache__").iterdir())


def test_where_the_environment_has_no_pip_ours_installs_if_there_is_no_uv(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setitem(sys.modules, "uv", None)
    bare = Interpreter("3.12.0", [], "", "", [], python="/there/bin/python")
    command = find_installer(bare).command
    assert command[: len(PIP) + 2] == (*PIP, "--python", "/there/bin/python")


def test_ctrl_c_during_a_build_ends_the_build_and_leaves_nothing(
    tmp_path: Path, temporary: Path
) -> None:
    pid = tmp_path / "pid"
    before = f"import time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(99)"
    project(tmp_path / "old", "1", before=before)
    command = [sys.executable, *RUN_SIDES, str(tmp_path / "old"), "."]
    gate = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    while not (pid.exists() and pid.read_text()):
        assert gate.poll() is None, gate.communicate()
        time.sleep(0.05)
    gate.send_signal(signal.SIGINT)
    _, text = gate.communicate(timeout=60)
    assert b"KeyboardInterrupt" in text
    # A process that has ended but that nobody has waited for is a zombie.
    state = Path("/proc", pid.read_text(), "stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    assert not list(temporary.iterdir())
