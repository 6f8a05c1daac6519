"""Each side runs its own code, or the run is refused: on made-up reports and with real sides."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flopline.gate.measure.origin import (
    ForeignCodeError,
    SameCodeError,
    compare_code,
    refuse_foreign,
)
from flopline.gate.measure.worker.flopline_worker.protocol import LoadedFile
from flopline.gate.sides.overlay import Overlaid
from tests.gate.support.make_projects import HATCHLING, site
from tests.gate.support.make_sides import make_side
from tests.support.checkouts import checkout, world, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flopline.gate.sides.environment import Side

    Sides = tuple[Side, Side]

# What was loaded, made up


@pytest.fixture
def pair(tmp_path: Path) -> Sides:
    """Two sides with the folders of the gate, and a checkout of the user's."""
    sides = []
    for name in ("baseline", "candidate"):
        home = tmp_path / name
        (home / "tree").mkdir(parents=True)
        side = make_side(name, home / "tree")
        sides.append(replace(side, home=home, checkouts=(tmp_path / "checkout",)))
    return sides[0], sides[1]


def loaded(side: Side, **files: str) -> list[LoadedFile]:
    """Returns the report of a side on files of its tree, each with its digest."""
    return [LoadedFile(f"{side.tree}/{name}.py", name, digest) for name, digest in files.items()]


@pytest.mark.parametrize(
    "place",
    [
        ".venv/lib/python3.11/site-packages/a.py",
        "env/lib/python3.11/site-packages/a.py",
        "vendor/other/a.py",
    ],
)
def test_what_only_lies_in_the_checkout_is_no_code_of_it(
    tmp_path: Path, pair: Sides, place: str
) -> None:
    (tmp_path / "checkout" / "vendor" / "other" / ".git").mkdir(parents=True)
    refuse_foreign(pair[0], [LoadedFile(f"{tmp_path}/checkout/{place}", "a", "")])


def test_code_of_the_checkout_is_refused_with_its_names(tmp_path: Path, pair: Sides) -> None:
    files = [LoadedFile(f"{tmp_path}/checkout/m{number}.py", "m", "") for number in range(7)]
    with pytest.raises(ForeignCodeError, match=r"the candidate runs code.* m \(m0.py\).*2 more"):
        refuse_foreign(pair[1], files)


def test_the_gates_own_folders_may_lie_in_the_checkout(
    tmp_path: Path, pair: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "checkout" / "tmp"
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    refuse_foreign(pair[0], [LoadedFile(f"{temporary}/flopline-x/0/a.py", "a", "")])
    with pytest.raises(ForeignCodeError):
        refuse_foreign(pair[0], [LoadedFile(f"{temporary}/other/a.py", "a", "")])


def compare(pair: Sides, before: str, after: str, overlaid: Overlaid, suite: str = "") -> list[str]:
    """Compares sides whose subject has these digests, and which have a helper."""
    baseline = loaded(pair[0], subject=before, helper="1")
    candidate = loaded(pair[1], subject=after, helper="1")
    return compare_code(pair, (baseline, candidate), overlaid, [suite] if suite else [])


def test_what_runs_different_code_or_has_no_difference_is_no_warning(pair: Sides) -> None:
    helper = Overlaid(("helper.py",), frozenset({"helper.py"}))
    assert compare(pair, "1", "2", helper) == []
    assert compare(pair, "1", "1", Overlaid()) == []


def test_equal_code_of_different_versions_is_said(pair: Sides) -> None:
    (warning,) = compare(pair, "1", "1", Overlaid(("test_a.py",)))
    assert "byte-identical code" in warning
    assert "except for the benchmark files" in warning
    write(pair[0].tree, {"README": "longer"})
    (warning,) = compare(pair, "1", "1", Overlaid())
    assert "byte-identical code" in warning
    assert compare(pair, "1", "2", Overlaid(kept=frozenset({"subject.py"})), "subject.py")


@pytest.mark.parametrize("name", ["helper.py", "table.csv"])
def test_a_difference_that_may_be_the_subject_is_refused_if_it_is_all(
    pair: Sides, name: str
) -> None:
    overlaid = Overlaid((name,), frozenset({name}))
    with pytest.raises(SameCodeError, match=rf"only in {name}.*--suite-from each"):
        compare(pair, "1", "1", overlaid)


def test_a_difference_that_is_not_loaded_is_no_reason_to_refuse(pair: Sides) -> None:
    unused = Overlaid(("unused.py",), frozenset({"unused.py"}))
    assert len(compare(pair, "1", "1", unused)) == 1


def test_one_commit_is_never_refused(pair: Sides) -> None:
    sides = [replace(side, version=replace(side.version, commit="abc")) for side in pair]
    helper = Overlaid(("helper.py",), frozenset({"helper.py"}))
    assert compare((sides[0], sides[1]), "1", "1", helper) == []


# Real sides


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path) -> Iterator[Path]:
    """No network, no user's settings."""
    with world(tmp_path) as folder:
        yield folder


OLD = "def work():\n    return 'old'\n"
NEW = OLD.replace("old", "new")
OWN = {"baseline": ["return 'old'"], "candidate": ["return 'new'"]}


def test_of(module: str) -> str:
    return f"from {module} import work\ndef test_a(benchmark):\n    benchmark(work)\n"


test_of.__test__ = False  # type: ignore[attr-defined]


def shown(folder: Path, *arguments: str, python: str = sys.executable) -> dict[str, Any]:
    """Returns what `one_block` shows of a checkout and its HEAD."""
    command = [python, "-m", "tests.gate.support.one_block", str(folder), "HEAD", *arguments]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def changed(folder: Path, subject: str, files: dict[str, str]) -> Path:
    """Makes a checkout whose subject was changed after the commit."""
    return checkout(folder, {**files, subject: OLD}, {**files, subject: NEW})


ROOTED = "[pytest]\npythonpath = .\n"


@pytest.mark.parametrize(
    ("subject", "files", "argument"),
    [
        ("day01/solve.py", {"day01/test_solve.py": test_of("solve")}, "day01"),
        (
            "acme/algo/core.py",
            {
                "acme/algo/tests/test_core.py": test_of("acme.algo.core"),
                "pytest.ini": ROOTED + "addopts = --import-mode=importlib\n",
            },
            "acme",
        ),
        (
            "benchtools/core.py",
            {
                "benchtools/__init__.py": "",
                "benchtools/tests/test_core.py": test_of("benchtools.core"),
                "pytest.ini": ROOTED,
            },
            "benchtools",
        ),
        (
            "pkg/x.py",
            {"pkg/__init__.py": "", "pkg/test_x.py": test_of(".x")},
            "pkg",
        ),
    ],
    ids=["flat", "namespace", "benchtools", "beside"],
)
def test_a_subject_beside_its_tests_is_each_sides_own(
    tmp_path: Path, subject: str, files: dict[str, str], argument: str
) -> None:
    facts = shown(changed(tmp_path / "p", subject, files), "candidate", argument)
    assert facts == {"ran": OWN, "lost": {}, "warnings": [], "refused": ""}


def test_a_subject_among_the_benchmarks_is_refused_or_each_sides_own(tmp_path: Path) -> None:
    files = {"benchmarks/test_a.py": test_of("kernels")}
    folder = changed(tmp_path / "p", "benchmarks/kernels.py", files)
    facts = shown(folder, "candidate", "benchmarks")
    assert "benchmarks/kernels.py, which was taken for a part" in facts["refused"]
    (warning,) = facts["warnings"]
    assert warning.endswith("on the baseline was not measured: benchmarks/kernels.py")
    assert shown(folder, "each", "benchmarks")["ran"] == OWN


MEMBER = HATCHLING.format(version="1").replace("subject", "core")
WORKSPACE = """\
[project]
name = "root"
version = "0"
[tool.uv]
package = false
[tool.uv.workspace]
members = ["packages/*"]
"""


def monorepo(folder: Path, root: dict[str, str]) -> Path:
    files = {
        "packages/core/pyproject.toml": MEMBER,
        "benchmarks/test_a.py": test_of("core"),
        **root,
    }
    return changed(folder, "packages/core/src/core/__init__.py", files)


@pytest.mark.parametrize("root", [{}, {"pyproject.toml": WORKSPACE}], ids=["plain", "workspace"])
def test_a_member_that_is_installed_editable_is_built_for_each_side(
    tmp_path: Path, environment: Path, root: dict[str, str]
) -> None:
    folder = monorepo(tmp_path / "p", root)
    path_file = {"core.pth": f"{folder}/packages/core/src\n"}
    write(site(environment.parents[1]), path_file)
    facts = shown(folder, "candidate", "benchmarks", python=str(environment))
    assert facts == {"ran": OWN, "lost": {}, "warnings": [], "refused": ""}


def test_a_folder_of_the_checkout_on_the_path_is_each_sides_own(
    tmp_path: Path, environment: Path
) -> None:
    files = {"benchmarks/test_a.py": test_of("tool")}
    folder = changed(tmp_path / "p", "scripts/tool.py", files)
    write(site(environment.parents[1]), {"scripts.pth": f"{folder}/scripts\n"})
    facts = shown(folder, "candidate", "benchmarks", python=str(environment))
    assert facts["ran"] == OWN


def test_a_member_that_is_new_is_missing_on_the_baseline(tmp_path: Path, environment: Path) -> None:
    folder = monorepo(tmp_path / "p", {})
    new = {
        "packages/new/pyproject.toml": HATCHLING.format(version="1").replace("subject", "new"),
        "packages/new/src/new/__init__.py": NEW,
        "benchmarks/test_new.py": test_of("new"),
    }
    write(folder, new)
    entries = [f"{folder}/packages/{name}/src\n" for name in ("core", "new")]
    write(site(environment.parents[1]), {"members.pth": "".join(entries)})
    facts = shown(folder, "candidate", "benchmarks", python=str(environment))
    assert facts["refused"] == ""
    assert facts["ran"] == {**OWN, "candidate": OWN["candidate"] * 2}


FINDER = """\
import importlib.machinery, sys

class First:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "core":
            return importlib.machinery.PathFinder.find_spec(name, [{!r}])

sys.meta_path.insert(0, First)
"""


def test_what_a_hook_imports_from_the_checkout_is_refused(
    tmp_path: Path, environment: Path
) -> None:
    folder = monorepo(tmp_path / "p", {})
    finder = FINDER.format(f"{folder}/packages/core/src")
    write(site(environment.parents[1]), {"hook.py": finder, "hook.pth": "import hook\n"})
    facts = shown(folder, "candidate", "benchmarks", python=str(environment))
    place = "packages/core/src/core/__init__.py"
    assert (
        f"the baseline runs code of your checkout instead of its own: core ({place})"
        in (facts["refused"])
    )
    assert facts["ran"] == {}


def test_what_a_test_runs_from_the_checkout_is_refused_in_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    file = f"{folder}/scripts/tool.py"
    body = f"    import runpy\n    benchmark(runpy.run_path({file!r})['work'])\n"
    files = {"benchmarks/test_a.py": f"def test_a(benchmark):\n{body}"}
    facts = shown(changed(folder, "scripts/tool.py", files), "candidate", "benchmarks")
    assert "instead of its own: scripts/tool.py" in facts["refused"]


def test_a_hook_of_a_known_build_tool_is_left_out(tmp_path: Path, environment: Path) -> None:
    folder = monorepo(tmp_path / "p", {})
    hook = FINDER.format(f"{folder}/packages/core/src").replace("First", "MesonpyMetaFinder")
    hook += (
        "sys.meta_path[0] = MesonpyMetaFinder()\nsys.meta_path[0]._top_level_modules = {'core'}\n"
    )
    origin = {"url": f"file://{folder}/packages/core", "dir_info": {"editable": True}}
    files = {
        "hook.py": hook,
        "hook.pth": "import hook\n",
        "core-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: core\nVersion: 1\n",
        "core-1.dist-info/direct_url.json": json.dumps(origin),
    }
    write(site(environment.parents[1]), files)
    facts = shown(folder, "candidate", "benchmarks", python=str(environment))
    assert facts == {"ran": OWN, "lost": {}, "warnings": [], "refused": ""}
