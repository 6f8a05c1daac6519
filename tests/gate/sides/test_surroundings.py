"""A suite starts on both sides, wherever the user stands and whatever configures pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flopline.gate.measure.pair import list_benchmarks
from flopline.gate.record import Settings
from flopline.gate.run import share_suite
from flopline.gate.sides.environment import sides
from tests.gate.support.make_sides import LIGHT
from tests.support.checkouts import commit, git, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("temporary")

BENCH = "from {} import work\n\n\ndef test_a(benchmark):\n    benchmark(work)\n"
WORK = "def work():\n    pass\n"


def names(
    start: Path, *arguments: str, baseline: str = "HEAD", candidate: str | None = None
) -> list[str]:
    """Shares the candidate's suite as a run does, and returns what the baseline then has."""
    with sides(start, baseline, candidate) as both:
        settings = Settings(detect=0.03, arguments=(*LIGHT, *arguments))
        suite = share_suite(*both, settings)
        (shared,) = list_benchmarks(both[:1], settings.arguments)
        assert tuple(shared.items) == suite.benchmarks, shared.errors
        for source in shared.items.values():
            assert (both[0].tree / source.file).is_file()
    return list(shared.items)


@pytest.fixture
def shop(repo: Path) -> Path:
    """A folder of a checkout in which a configuration of pytest lies, and no project."""
    write(
        repo,
        {
            "backend/shop/services.py": WORK,
            "backend/shop/tests/test_b.py": BENCH.format("shop.services"),
            "backend/pytest.ini": "[pytest]\npythonpath = .\n",
        },
    )
    commit(repo, "two")
    return repo / "backend"


@pytest.mark.parametrize(
    "argument", ["shop/tests/test_b.py::test_a", "{here}/shop/tests", "../backend"]
)
def test_arguments_are_relative_to_where_the_user_stands(shop: Path, argument: str) -> None:
    assert names(shop, argument.format(here=shop)) == ["shop/tests/test_b.py::test_a"]


def test_two_commits_are_compared_from_a_folder_below(shop: Path) -> None:
    write(shop, {"shop/services.py": f"{WORK}# changed\n"})
    commit(shop.parent, "three")
    found = names(shop / "shop", "tests", baseline="HEAD~1", candidate="HEAD")
    assert found == ["shop/tests/test_b.py::test_a"]


def test_modules_beside_the_user_are_found_as_by_python_m_pytest(shop: Path) -> None:
    (shop / "pytest.ini").unlink()
    commit(shop.parent, "without configuration")
    assert names(shop, "shop/tests")


@pytest.mark.parametrize("file", ["pytest.ini", "conftest.py", "setup.cfg"])
def test_configuration_above_the_project_comes_along(repo: Path, file: str) -> None:
    project = repo / "services" / "calc"
    write(project, {"setup.py": "from setuptools import setup\nsetup(py_modules=['subject'])\n"})
    write(project, {"subject.py": WORK, "benchmarks/test_a.py": BENCH.format("subject")})
    commit(repo, "two")
    texts = {
        "pytest.ini": "[pytest]\n",
        "setup.cfg": "[tool:pytest]\n",
        "conftest.py": "import pytest\n\n\n@pytest.fixture\ndef above():\n    return 1\n",
    }
    write(repo, {file: texts[file]})
    if file == "conftest.py":
        write(repo, {"pytest.ini": "[pytest]\n"})
        bench = BENCH.format("subject").replace("(benchmark)", "(benchmark, above)", 1)
        write(project, {"benchmarks/test_a.py": bench})
    assert names(project, "benchmarks") == ["services/calc/benchmarks/test_a.py::test_a"]


@pytest.mark.parametrize("way", ["new file", "-c", "-cglued", "--rootdir", "-p"])
def test_what_the_arguments_name_may_be_new(repo: Path, way: str) -> None:
    write(repo, {"subject.py": WORK, "tests/x.txt": ""})
    commit(repo, "two")
    write(repo, {"bench/test_a.py": BENCH.format("subject"), "conf/other.ini": "[pytest]\n"})
    write(repo, {"bench/own_plugin.py": "", "tests/x.txt": "changed"})
    arguments = {
        "new file": ["bench/test_a.py"],
        "-c": ["-c", "conf/other.ini", "--rootdir=.", "bench"],
        "-cglued": ["-cconf/other.ini", "--rootdir", ".", "bench"],
        "--rootdir": ["--rootdir", str(repo / "bench"), "bench"],
        "-p": ["-p", "bench.own_plugin", "bench"],
    }
    expected = "test_a.py::test_a" if way == "--rootdir" else "bench/test_a.py::test_a"
    assert names(repo, *arguments[way]) == [expected]


def test_pythonpath_leads_into_each_side_and_elsewhere(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "shared", {"shared_by_all.py": "from inner import work\n"})
    write(repo, {"tests/lib/inner.py": WORK, "tests/test_a.py": BENCH.format("shared_by_all")})
    commit(repo, "two")
    monkeypatch.setenv("PYTHONPATH", f"src:tests/lib:{tmp_path / 'shared'}")
    assert names(repo, "tests") == ["tests/test_a.py::test_a"]
    with sides(repo, "HEAD") as both:
        for side in both:
            entries = side.environment["PYTHONPATH"].split(":")
            assert entries[-2:] == [str(side.tree / "tests" / "lib"), str(tmp_path / "shared")]
            assert side.roots[-1].is_relative_to(side.copy)
            assert tmp_path / "shared" not in side.roots


def test_plugins_that_the_environment_names_are_loaded(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        repo, {"own_plugin.py": "import pytest\n\n\n@pytest.fixture\ndef work():\n    return int\n"}
    )
    write(repo, {"test_a.py": "def test_a(benchmark, work):\n    benchmark(work)\n"})
    commit(repo, "two")
    monkeypatch.setenv("PYTEST_PLUGINS", "own_plugin")
    assert names(repo) == ["test_a.py::test_a"]


def test_an_application_is_imported_from_its_folder(repo: Path) -> None:
    toml = "[project]\nname = 'demo'\nversion = '1'\n"
    write(repo, {"pyproject.toml": toml, "app/__init__.py": WORK, "config/__init__.py": ""})
    write(repo, {"benchmarks/test_a.py": BENCH.format("app")})
    commit(repo, "two")
    assert names(repo, "benchmarks") == ["benchmarks/test_a.py::test_a"]


@pytest.mark.parametrize("file", ["pytest.ini", "setup.py", "conftest.py"])
def test_what_lies_above_the_temporary_folder_changes_no_name(
    repo: Path, temporary: Path, file: str
) -> None:
    write(repo, {"subject.py": WORK, "bench/test_a.py": BENCH.format("subject")})
    commit(repo, "two")
    text = "raise SystemExit(3)\n" if file.endswith(".py") else "[pytest]\naddopts = --nosuch\n"
    write(temporary, {file: text})
    assert names(repo, "bench") == ["bench/test_a.py::test_a"]


def test_the_temporary_folder_may_lie_in_the_checkout(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = shop.parent / "tmp"
    write(shop.parent, {"tmp/x": "", ".gitignore": "tmp\n", "setup.py": ""})
    git(shop.parent, "status")
    monkeypatch.setattr("tempfile.tempdir", str(inside))
    (shop.parent / "setup.py").unlink()
    assert names(shop, "shop/tests") == ["shop/tests/test_b.py::test_a"]
