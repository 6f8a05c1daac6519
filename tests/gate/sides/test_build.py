from __future__ import annotations

import json
import signal
import subprocess
import sys
import sysconfig
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from flopline.gate.sides import build as builds
from flopline.gate.sides.environment import sides
from tests.gate.support.builds import ASK, GATE, project, run, wheel
from tests.gate.support.projects import site, venv, write

pytestmark = pytest.mark.usefixtures("temporary")


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where pip looks instead of the network."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "wheels"


def test_a_build_error_names_its_side_and_ends_with_what_pip_said(
    tmp_path: Path, temporary: Path
) -> None:
    project(tmp_path / "old", "1")
    project(tmp_path / "new", "2", before="raise SystemExit('the compiler has no mercy')")
    with pytest.raises(builds.BuildError) as caught, sides(tmp_path / "new", "../old"):
        pass
    text = str(caught.value)
    assert text.startswith("the candidate could not be built")
    assert "the compiler has no mercy" in text
    assert "baseline" not in text
    assert len(text.splitlines()) <= 21
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("isolated", [False, True])
def test_an_environment_without_pip_is_told_to_install_it(tmp_path: Path, isolated: bool) -> None:
    project(tmp_path / "old", "1")
    python = venv(tmp_path / "bare")  # with everything else that this one has
    for file in Path(sysconfig.get_path("purelib")).iterdir():
        if not file.name.startswith("pip"):
            site(tmp_path / "bare", file.name).symlink_to(file)
    program = GATE.replace(
        "sides(Path(sys.argv[1]), sys.argv[2])",
        f"sides(Path(sys.argv[1]), '.', isolated={isolated})",
    )
    done = subprocess.run(
        [python, "-c", program, tmp_path / "old"], capture_output=True, text=True, check=False
    )
    said = f"BuildError: both sides are built with pip, and the environment {tmp_path / 'bare'} has none; install it there"
    assert said in done.stderr


def test_sides_whose_build_fails_are_both_told(tmp_path: Path) -> None:
    write(tmp_path, {"old/pyproject.toml": "[broken", "new/setup.py": "raise SystemExit('no')"})
    said = r"(?s)the baseline could not.*TOML.*the candidate could not"
    with pytest.raises(builds.BuildError, match=said), sides(tmp_path / "new", "../old"):
        pass


def test_build_isolation_is_used_where_the_environment_lacks_what_a_build_needs(
    tmp_path: Path, wheels: Path
) -> None:
    wheel(wheels, "strange_tool", "3")
    project(tmp_path / "old", "1")
    project(tmp_path / "new", "2", before="import strange_tool")
    toml = tmp_path / "new" / "pyproject.toml"
    toml.write_text(toml.read_text().replace("requires = []", "requires = ['strange-tool>=3']"))
    with sides(tmp_path / "new", "../old") as (before, after):
        assert [run(before), run(after)] == ["value of 1 1", "value of 2 2"]


def test_where_a_build_fails_without_isolation_both_sides_are_built_with_it(
    tmp_path: Path, wheels: Path
) -> None:
    wheel(wheels, "strange_tool", "3")
    project(tmp_path / "old", "1")
    project(tmp_path / "new", "2", before="import strange_tool", more=("strange_tool",))
    with sides(tmp_path / "new", "../old") as both:
        for side in both:
            assert run(side, "from subject import _made; print(_made.ISOLATED)") == "True"


def test_what_the_project_depends_on_is_this_environments(tmp_path: Path) -> None:
    project(tmp_path / "old", "1", needs="Requires-Dist: nobody-has-this\\n")
    with sides(tmp_path / "old", ".") as (before, _):
        assert run(before, "import numpy, subject; print(numpy.__file__)") == np.__file__
        assert run(before, "from subject import _made; print(_made.ISOLATED)") == "False"


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
def test_what_the_environment_has_for_a_build_is_known(
    tmp_path: Path, requires: list[str] | None, there: bool
) -> None:
    table = "" if requires is None else f"[build-system]\nrequires = {json.dumps(requires)}\n"
    assert builds._buildable(write(tmp_path, {"pyproject.toml": table})) is there  # noqa: SLF001


def test_a_version_that_comes_from_git_needs_no_git(tmp_path: Path) -> None:
    for name, version in (("old", "1"), ("new", "2")):
        project(
            tmp_path / name,
            version,
            before="import os; assert os.environ['SETUPTOOLS_SCM_PRETEND_VERSION'] == '0.0.0'",
        )
    with sides(tmp_path / "new", "../old") as (_, after):
        assert run(after) == "value of 2 2"


def test_ctrl_c_during_a_build_ends_the_build_and_leaves_nothing(
    tmp_path: Path, temporary: Path
) -> None:
    sleeping = tmp_path / "pid"
    before = f"import os, time; pathlib.Path({str(sleeping)!r}).write_text(str(os.getpid())); time.sleep(100)"
    project(tmp_path / "old", "1", before=before)
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + GATE
    gate = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "old"), "."],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while not (sleeping.exists() and sleeping.read_text()):
        assert gate.poll() is None, gate.communicate()
        time.sleep(0.05)
    gate.send_signal(signal.SIGINT)
    _, text = gate.communicate(timeout=60)
    assert b"KeyboardInterrupt" in text
    state = Path("/proc", sleeping.read_text(), "stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
    assert not list(temporary.iterdir())


def test_isolated_sides_have_their_own_dependencies_and_this_environments_pytest(
    tmp_path: Path, temporary: Path, wheels: Path
) -> None:
    for name in ("pytest", "pytest_benchmark"):
        wheel(wheels, name, metadata.version(name))
        wheel(wheels, name, "999")
    wheel(wheels, "helper", "1")
    wheel(wheels, "helper", "2")
    for name, version in (("old", "1"), ("new", "2")):
        project(tmp_path / name, version, needs=f"Requires-Dist: helper=={version}\\n")
    with sides(tmp_path / "new", "../old", isolated=True) as (before, after):
        program = (
            ASK
            + "; import helper; print(helper.VERSION, version('pytest'), version('pytest-benchmark'))"
        )
        harness = f"{metadata.version('pytest')} {metadata.version('pytest-benchmark')}"
        assert run(before, program).split("\n") == ["value of 1 1", f"1 {harness}"]
        assert run(after, program).split("\n") == ["value of 2 2", f"2 {harness}"]
        assert before.packages == {"subject"}
        assert run(after, "import sys; print(sys.prefix)") == str(Path(after.python).parents[1])
        assert run(after, "import importlib.util as u; print(u.find_spec('numpy'))") == "None"
    assert not list(temporary.iterdir())
