"""An interpreter that cannot run a side is refused with the reason."""

from __future__ import annotations

import json
import os
import runpy
import sys
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.environment import interpreters
from flopline.gate.sides.interpreter import (
    PROBE,
    InterpreterError,
    choose,
    default_interpreter,
    examine,
    find_interpreter,
    is_of_a_tool,
)
from flopline.gate.sides.place import Place
from tests.gate.support.make_projects import venv
from tests.support.checkouts import write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("temporary")


def test_a_shell_given_for_an_interpreter_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = write(tmp_path, {"bin/import": f"#!/bin/sh\ntouch '{tmp_path}/ran'\n"}) / "bin"
    (tools / "import").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    refused = pytest.raises(InterpreterError)
    with refused, interpreters(tmp_path / "bin", "/bin/sh", sys.executable):
        pass
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "name",
    [
        "nowhere/bin/python",
        "",
        ".",
        "plain.py",
        "/bin/sh",
        "liar",
        "empty",
        "list",
        "typed",
        "deep",
    ],
)
def test_what_is_no_python_is_refused_by_name(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    facts = {"version": 3, "lacks": "", "site": [], "installed": None, "files": {}}
    answers = {
        "liar": "3.12",
        "empty": "{}",
        "list": "[]",
        "typed": json.dumps(facts),
        "deep": 9999 * "[",
    }
    scripts = {name: f"#!/bin/sh\necho '{answer}'\n" for name, answer in answers.items()}
    monkeypatch.chdir(write(tmp_path, {"plain.py": "", **scripts}))
    for script in scripts:
        (tmp_path / script).chmod(0o755)
    requested = f"./{name}" if name in scripts else name
    refused = pytest.raises(InterpreterError, match="the candidate's interpreter")
    with refused, interpreters(tmp_path, sys.executable, requested):
        pass
    assert not list(temporary.iterdir())


def test_an_interpreter_without_pytest_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    bare = venv(tmp_path / "bare")
    lacks = r"the baseline's.*lacks pytest and pytest_benchmark"
    refused = pytest.raises(InterpreterError, match=lacks)
    with refused, interpreters(tmp_path, str(bare), sys.executable):
        pass


def test_an_interpreter_that_is_too_old_is_reported_as_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    runpy.run_path(str(PROBE))
    facts = json.loads(capsys.readouterr().out)
    assert (facts["version"], facts["lacks"]) == ("3.10.4", ["Python 3.11 or later"])


def test_an_interpreter_reports_its_version_and_what_it_has(tmp_path: Path) -> None:
    interpreter = examine("the interpreter", sys.executable, "python", "pytest", tmp_path)
    assert interpreter.version == ".".join(str(part) for part in sys.version_info[:3])
    assert interpreter.lacks == []
    assert interpreter.installed == f"pytest {pytest.__version__}"
    assert "pytest/__init__.py" in interpreter.files


# Which one is taken


def environment_in(folder: Path) -> Path:
    """Writes what an environment looks like from outside."""
    write(folder, {"bin/python": "#!/bin/sh\n"})
    (folder / "bin" / "python").chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("tools/flopline", {"uv-receipt.toml": ""}, True),
        ("cache/pipx/5aac6eef", {"pipx_metadata.json": ""}, True),
        ("cache/uv/archive-v0/xrTSyJglgnxh", {}, True),
        ("project/.venv", {"pyvenv.cfg": ""}, False),
        ("cache/uv/builds-v0/.tmpRrN8MC", {"pyvenv.cfg": ""}, False),
    ],
)
def test_environments_that_uv_and_pipx_make_for_a_program_are_known(
    tmp_path: Path, name: str, files: dict[str, str], *, expected: bool
) -> None:
    assert is_of_a_tool(write(tmp_path / name, files)) is expected


@pytest.mark.parametrize(
    ("own", "active", "expected"),
    [
        ("tool", {"VIRTUAL_ENV": "active"}, "active"),
        ("tool", {"CONDA_PREFIX": "active"}, "active"),
        ("tool", {"VIRTUAL_ENV": "active", "CONDA_PREFIX": "own"}, "active"),
        ("tool", {}, "project/.venv"),
        ("tool", {"VIRTUAL_ENV": "gone"}, "project/.venv"),
        ("tool", {"VIRTUAL_ENV": "tool"}, "project/.venv"),
        ("system", {"VIRTUAL_ENV": "active"}, "active"),
        ("system", {"CONDA_PREFIX": "active"}, None),
        ("system", {}, None),
        ("own", {"VIRTUAL_ENV": "active"}, None),
        ("own", {"VIRTUAL_ENV": "own"}, None),
        ("own", {}, None),
    ],
)
def test_a_tool_of_its_own_runs_sides_where_the_project_is(
    tmp_path: Path, own: str, active: dict[str, str], expected: str | None
) -> None:
    for name in ("active", "own", "tool", "project/.venv"):
        environment_in(tmp_path / name)
    write(tmp_path, {"tool/pipx_metadata.json": "", "project/benchmarks/test_a.py": ""})
    project = tmp_path / "project"
    place = Place(project / "benchmarks", project, project)
    variables = {name: str(tmp_path / folder) for name, folder in active.items()}
    python, what = default_interpreter(place, variables, tmp_path / own, is_virtual=own != "system")
    wanted = sys.executable if expected is None else str(tmp_path / expected / "bin" / "python")
    assert (python, bool(what)) == (wanted, expected is not None)


def test_without_any_other_environment_a_tool_takes_its_own(tmp_path: Path) -> None:
    write(tmp_path, {"tool/pipx_metadata.json": ""})
    place = Place(tmp_path, None, tmp_path)
    assert default_interpreter(place, {}, tmp_path / "tool", is_virtual=True) == (
        sys.executable,
        "",
    )


def test_an_environment_may_be_named_by_its_folder(
    tmp_path: Path, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_interpreter("the interpreter", "venv") == str(environment)
    interpreter, what = choose("venv")
    assert (interpreter.python, interpreter.prefix, what) == (
        str(environment),
        str(tmp_path / "venv"),
        "",
    )


def test_a_folder_without_a_python_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InterpreterError, match="is a folder without a bin/python; give the folder"):
        find_interpreter("the interpreter", str(tmp_path))


def test_what_to_install_is_said_for_pip_and_for_uv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bare = venv(tmp_path / ".venv")
    install = f"`uv pip install --python {bare} pytest pytest-benchmark`"
    with pytest.raises(InterpreterError, match=f"install it there: {install}"):
        choose(".venv")
    assert choose(".venv", harness=False)[0].lacks == ["pytest", "pytest_benchmark"]
    write(
        bare.parents[1] / "lib" / f"python3.{sys.version_info.minor}" / "site-packages",
        {"pip.py": ""},
    )
    with pytest.raises(InterpreterError, match=f"`{bare} -m pip install pytest"):
        choose(".venv")
