from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from flopline.gate.sides import environment as environments
from flopline.gate.sides.environment import interpreters, sides
from tests.gate.support.builds import ASK, GATE, OWN_BACKEND, install, project, run
from tests.gate.support.projects import HATCHLING, commit, content, git, site, state, venv, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("temporary")


# From a folder to a side


def test_each_side_imports_its_own_and_the_checkout_stays_as_it_was(
    repo: Path, temporary: Path
) -> None:
    write(
        repo,
        {
            "pyproject.toml": HATCHLING.format(version="1"),
            "src/subject/__init__.py": "VALUE = 'one'\n",
        },
    )
    write(
        repo,
        {
            "benchmarks/__init__.py": "",
            "benchmarks/cases.py": "CASES = [1]\n",
            ".gitignore": "*.log\n",
        },
    )
    commit(repo, "installable")
    write(repo, {"data.txt": "for later"})
    git(repo, "stash")
    write(
        repo,
        {
            "pyproject.toml": HATCHLING.format(version="2"),
            "src/subject/__init__.py": "VALUE = 'two'\n",
        },
    )
    write(repo, {"benchmarks/cases.py": "CASES = [1, 2]\n", "src/subject/new.py": "", "x.log": ""})
    (repo / "data.txt").unlink()
    git(repo, "config", "core.splitIndex", "true")
    for hook in ("post-index-change", "post-checkout"):
        (repo / ".git" / "hooks" / hook).write_text(f"#!/bin/sh\ntouch '{repo}/{hook}-ran'\n")
        (repo / ".git" / "hooks" / hook).chmod(0o755)
    untouched = state(repo)
    with sides(repo, "HEAD") as (before, after):
        assert [run(before), run(after)] == ["one 1", "two 2"]
        helper = "from benchmarks import cases; print(len(cases.CASES))"
        assert [run(before, helper), run(after, helper)] == ["1", "2"]
        assert before.packages == after.packages == {"subject"}
        assert (before.python, after.python) == (sys.executable, sys.executable)
        assert (before.name, after.name) == ("baseline", "candidate")
        assert len(str(before.tree)) == len(str(after.tree))
        assert len(before.environment["PYTHONPATH"]) == len(after.environment["PYTHONPATH"])
        for side in (before, after):
            assert side.environment["PYTHONPATH"] == f"{side.site}{os.pathsep}{side.tree}"
            assert environments.roots(side)[:2] == (side.site, side.tree)
            assert side.site is not None
            assert list((side.site / "subject" / "__pycache__").iterdir())
        assert state(repo) == untouched
    assert state(repo) == untouched
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_behind_whatever_happens_meanwhile(
    tmp_path: Path, temporary: Path, error: type[BaseException]
) -> None:
    write(tmp_path, {"old/a.py": "", "new/a.py": ""})

    def interrupted() -> None:
        with sides(tmp_path / "new", "../old") as (before, after):
            assert before.tree.is_relative_to(temporary)
            (after.tree / "locked").mkdir(mode=0o000)
            raise error

    with pytest.raises(error):
        interrupted()
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("worst", ["made", "removed"])
def test_ctrl_c_leaves_no_folder_even_while_it_is_made_or_removed(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, worst: str
) -> None:
    write(tmp_path, {"old/a.py": "", "new/a.py": ""})
    make, remove = tempfile.mkdtemp, tempfile.TemporaryDirectory.cleanup

    def made(*arguments: Any, **named: Any) -> str:  # noqa: ANN401  # any
        folder: str = make(*arguments, **named)
        signal.raise_signal(signal.SIGINT)
        return folder

    def removed(folder: tempfile.TemporaryDirectory[str]) -> None:
        signal.raise_signal(signal.SIGINT)
        remove(folder)

    if worst == "made":
        monkeypatch.setattr(tempfile, "mkdtemp", made)
    else:
        monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", removed)
    with pytest.raises(KeyboardInterrupt), sides(tmp_path / "new", "../old"):
        pass
    assert not list(temporary.iterdir())


def test_a_project_that_pip_cannot_install_is_imported_from_its_tree(tmp_path: Path) -> None:
    for version in ("old", "new"):
        files = {
            "src/subject/__init__.py": f"VALUE = '{version}'",
            "beside.py": "",
            "tests/__init__.py": "",
        }
        write(tmp_path / version, {**files, "pyproject.toml": "[tool.pytest.ini_options]\n"})
    with sides(tmp_path / "new", "../old") as (before, after):
        for side, value in ((before, "old"), (after, "new")):
            assert run(side, "import subject, beside; print(subject.VALUE)") == value
            assert side.environment["PYTHONPATH"] == f"{side.tree / 'src'}{os.pathsep}{side.tree}"
            assert side.packages == {"subject"}
            assert side.site is None


@pytest.mark.parametrize(
    "switch", ["[tool.uv]\npackage = false\n", "[tool.poetry]\npackage-mode = false\n"]
)
def test_a_project_that_says_it_is_no_package_is_imported_from_its_tree(
    tmp_path: Path, switch: str
) -> None:
    write(
        tmp_path,
        {
            "a/pyproject.toml": "[project]\nname = 'x'\nversion = '1'\n" + switch,
            "a/x/__init__.py": "",
        },
    )
    with sides(tmp_path / "a", ".") as (before, _):
        assert before.site is None


def test_a_tree_that_comes_first_has_what_only_the_build_made_and_no_test_is_hidden_by_a_wheel(
    tmp_path: Path,
) -> None:
    for name, version in (("old", "1"), ("new", "2")):
        write(
            project(tmp_path / name, version, where=""),
            {"tests/__init__.py": "", "tests/a.py": f"A = {version}"},
        )
    with sides(tmp_path / "new", "../old") as (_, after):
        program = "import sys; sys.path.insert(0, '.'); from subject import _made; print(_made.__file__, _made.MADE)"
        assert run(after, program).endswith("tree/subject/_made.py by the build of 2")
        assert after.packages == {"subject"}
        assert run(after, "from tests import a; print(a.__file__)") == str(
            after.tree / "tests" / "a.py"
        )


@pytest.mark.parametrize("editable", [False, True])
def test_an_installed_project_is_shadowed_on_both_sides(
    tmp_path: Path, environment: Path, editable: bool
) -> None:
    for name, version in (("old", "1"), ("new", "2"), ("installed", "3")):
        files = {"src/subject/__init__.py": f"VALUE = 'value of {version}'\n"}
        write(tmp_path / name, {**files, "pyproject.toml": HATCHLING.format(version=version)})
    install(environment, *["--editable"] * editable, str(tmp_path / "installed"))
    asked = subprocess.run([environment, "-c", ASK], capture_output=True, text=True, check=True)
    assert asked.stdout == "value of 3 3\n"
    done = subprocess.run(
        [environment, "-c", GATE, str(tmp_path / "new"), "../old"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "value of 1 1\nvalue of 2 2\n", done.stderr


def test_an_editable_installation_that_puts_itself_first_is_refused(
    tmp_path: Path, environment: Path
) -> None:
    # as those of meson-python and scikit-build-core do
    project(tmp_path / "old", "1")
    write(tmp_path, {"elsewhere/subject/__init__.py": "VALUE = 'wrong'\n"})
    finder = f"""
        import importlib.machinery, sys
        class First:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == "subject":
                    return importlib.machinery.PathFinder.find_spec(name, [{str(tmp_path / "elsewhere")!r}])
        sys.meta_path.insert(0, First)
        """
    site(tmp_path / "venv", "hostile.py").write_text(textwrap.dedent(finder))
    site(tmp_path / "venv", "hostile.pth").write_text("import hostile\n")
    done = subprocess.run(
        [environment, "-c", GATE, str(tmp_path / "old"), "."],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        "BuildError: the baseline would not run its own code: subject would come from"
        in done.stderr
    )
    assert "install without --editable" in done.stderr


# Interpreters


def test_two_interpreters_run_copies_of_the_working_tree(
    repo: Path, environment: Path, temporary: Path
) -> None:
    write(repo, {"src/subject/__init__.py": "VALUE = 'tree'", "data.txt": "changed"})
    head, untouched = git(repo, "rev-parse", "HEAD"), state(repo)
    with interpreters(repo, sys.executable, str(environment)) as (before, after):
        assert (before.python, after.python) == (sys.executable, str(environment))
        for side in (before, after):
            assert (
                run(side, "import subject, sys; print(subject.VALUE, sys.executable)")
                == f"tree {side.python}"
            )
            assert (side.tree / "data.txt").read_text() == "changed"
            assert side.version.commit == head
        number = ".".join(map(str, sys.version_info[:3]))
        assert (
            after.version.label
            == f"{environment} (Python {number}, working tree ({head[:7]} + changes))"
        )
        assert before.tree != after.tree
        assert environments.roots(after)[-1] == site(environment.parents[1])
    assert state(repo) == untouched
    assert not list(temporary.iterdir())


def test_a_project_installed_in_an_interpreter_is_what_it_runs(
    tmp_path: Path, environment: Path
) -> None:
    built = project(tmp_path / "built", "1", where="")
    write(built, {"pyproject.toml": OWN_BACKEND + "[project]\nname = 'subject'\nversion = '1'\n"})
    install(environment, str(built))
    write(
        built, {"subject/__init__.py": "VALUE = 'tree'\n", "tests/test_x.py": "", "conftest.py": ""}
    )
    with interpreters(built, sys.executable, str(environment)) as (before, after):
        ask = "import sys; sys.path.insert(0, '.'); import subject; print(subject.VALUE)"
        assert [run(before, ask), run(after, ask)] == ["tree", "value of 1"]
        assert "subject 1 in it, folder built" in after.version.label
        assert before.packages == after.packages == {"subject"}


def test_a_package_that_is_a_link_is_left_where_it_leads(tmp_path: Path, environment: Path) -> None:
    built = write(
        project(tmp_path / "built", "1"),
        {"pyproject.toml": OWN_BACKEND + "[project]\nname = 'subject'\n"},
    )
    install(environment, str(built))
    (tmp_path / "elsewhere").mkdir()
    (built / "src").rename(tmp_path / "elsewhere" / "src")
    (built / "src").symlink_to(tmp_path / "elsewhere" / "src")
    (built / "subject").symlink_to("src/subject")
    elsewhere = content(tmp_path / "elsewhere")
    with interpreters(built, sys.executable, str(environment)) as (_, after):
        assert (after.tree / "src").is_symlink()
        assert not (after.tree / "subject").is_symlink()
    with sides(built, "."):
        pass
    assert content(tmp_path / "elsewhere") == elsewhere


def test_what_an_editable_installation_lists_is_not_taken_from_the_tree(
    tmp_path: Path, environment: Path
) -> None:
    plain = write(
        tmp_path / "plain",
        {"pyproject.toml": "[project]\nname = 'subject'\n", "subject/__init__.py": ""},
    )
    # as `setup.py develop` leaves it
    old = {
        "PKG-INFO": "Metadata-Version: 1.0\nName: subject\nVersion: 1\n",
        "SOURCES.txt": "subject/__init__.py\n",
    }
    write(site(tmp_path / "venv", "subject.egg-info"), old)
    with interpreters(plain, sys.executable, str(environment)) as (_, after):
        assert (after.tree / "subject").is_dir()
    shutil.rmtree(site(tmp_path / "venv", "subject.egg-info"))
    install(
        environment,
        "--editable",
        str(write(plain, {"pyproject.toml": HATCHLING.format(version="1")})),
    )
    with interpreters(plain, sys.executable, str(environment)) as (_, after):
        assert run(after, "import subject; print(subject.__file__)") == str(
            after.tree / "subject" / "__init__.py"
        )


def test_a_shell_given_for_an_interpreter_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = write(tmp_path, {"bin/import": f"#!/bin/sh\ntouch '{tmp_path}/ran'\n"}) / "bin"
    (tool / "import").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool}{os.pathsep}{os.environ['PATH']}")
    with (
        pytest.raises(environments.InterpreterError),
        interpreters(tmp_path / "bin", "/bin/sh", sys.executable),
    ):
        pass
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["nowhere/bin/python", "", ".", "plain.py", "/bin/sh", "liar"])
def test_what_is_no_python_is_refused_by_name(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(write(tmp_path, {"plain.py": "", "liar": "#!/bin/sh\necho 3.12\n"}))
    (tmp_path / "liar").chmod(0o755)
    asked = "./liar" if name == "liar" else name
    refused = pytest.raises(environments.InterpreterError, match="the candidate's interpreter")
    with refused, interpreters(tmp_path, sys.executable, asked):
        pass
    assert not list(temporary.iterdir())


def test_an_interpreter_without_pytest_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    bare = venv(tmp_path / "bare")
    refused = pytest.raises(
        environments.InterpreterError, match=r"the baseline's.*lacks pytest and pytest_benchmark"
    )
    with refused, interpreters(tmp_path, str(bare), sys.executable):
        pass


def test_an_interpreter_that_is_too_old_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(environments.EXAMINE)  # noqa: S102
    known = json.loads(said.getvalue())
    assert (known["python"], known["lacks"]) == ("3.10.4", ["Python 3.11 or later"])
