"""An interpreter that cannot run a side is refused with the reason."""

from __future__ import annotations

import json
import os
import runpy
import sys
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.environment import interpreters
from flopline.gate.sides.interpreter import PROBE, InterpreterError, examine
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
