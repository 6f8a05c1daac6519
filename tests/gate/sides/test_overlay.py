from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.environment import Side
from flopline.gate.sides.overlay import OverlayError, overlay
from flopline.gate.sides.versions import Version
from tests.gate.support.projects import content, write

if TYPE_CHECKING:
    from flopline.gate.record import SideName


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Side, Side]:
    return startable(tmp_path / "base", "baseline"), startable(tmp_path / "cand", "candidate")


def startable(tree: Path, name: SideName) -> Side:
    tree.mkdir()
    version = Version(name, "", "", "folder", tree)
    return Side(version, sys.executable, tree, {"PYTHONPATH": str(tree)}, frozenset({"pkg"}))


def test_the_outermost_folder_around_a_benchmark_is_replaced_as_a_whole(
    pair: tuple[Side, Side],
) -> None:
    before, after = pair
    write(
        before.tree,
        {
            "benchmarks/suite/test_x.py": "old",
            "benchmarks/only_old.py": "",
            "pkg/a.py": "old",
            "b": "old",
        },
    )
    write(
        after.tree,
        {
            "benchmarks/suite/test_x.py": "new",
            "benchmarks/cases.py": "new",
            "pkg/a.py": "new",
            "b": "new",
        },
    )
    write(after.tree, {"benchmarks/__pycache__/x": ""})
    (after.tree / "benchmarks" / "link").symlink_to("cases.py")
    overlay(after, before, ["benchmarks/suite/test_x.py"])
    assert content(before.tree) == {
        "benchmarks/suite/test_x.py": "new",
        "benchmarks/cases.py": "new",
        "pkg/a.py": "old",
        "b": "old",
    }
    assert (before.tree / "benchmarks" / "link").readlink() == Path("cases.py")


@pytest.mark.parametrize(
    ("file", "taken"),
    [
        ("test_x.py", {"test_x.py"}),
        ("src/pkg/benchmarks/deep/test_x.py", {"src/pkg/benchmarks"}),
        ("src/pkg/sub/tests/deep/test_x.py", {"src/pkg/sub/tests"}),
        ("pkg/sub/test_x.py", {"pkg/sub/test_x.py"}),
        ("pkg/test_x.py", {"pkg/test_x.py"}),
        ("python/tests/test_x.py", {"python/tests"}),
        ("tests/pkg/test_x.py", {"tests"}),
        ("perf/src/test_x.py", {"perf"}),
    ],
)
def test_no_folder_with_the_subject_in_it_is_replaced(
    pair: tuple[Side, Side], file: str, taken: set[str]
) -> None:
    before, after = pair
    folders = [path.as_posix() for path in Path(file).parents][:-1]
    for side in pair:
        beside = {f"{folder}/beside.py": side.name for folder in folders}
        write(side.tree, {file: side.name, **beside, "root.py": side.name})
    overlay(after, before, [file])
    new = {name for name, text in content(before.tree).items() if text == "candidate"}
    assert new == {
        name
        for name in content(after.tree)
        if any(name == part or name.startswith(f"{part}/") for part in taken)
    }


def test_every_conftest_above_and_every_configuration_of_pytest_come_along(
    pair: tuple[Side, Side],
) -> None:
    before, after = pair
    write(
        before.tree,
        {
            "pytest.ini": "old",
            "tox.ini": "old",
            "src/conftest.py": "old",
            "src/pkg/tests/a.py": "old",
        },
    )
    write(
        after.tree,
        {
            "pyproject.toml": "new",
            "tox.ini": "new",
            "conftest.py": "new",
            "src/pkg/conftest.py": "new",
        },
    )
    write(after.tree, {"src/pkg/tests/a.py": "new", "src/pkg/b.py": "new"})
    overlay(after, before, ["src/pkg/tests/a.py"])
    assert content(before.tree) == {
        "pyproject.toml": "new",
        "tox.ini": "new",
        "conftest.py": "new",
        "src/pkg/conftest.py": "new",
        "src/pkg/tests/a.py": "new",
    }


def test_a_linked_suite_brings_what_it_stands_for(pair: tuple[Side, Side]) -> None:
    before, after = pair
    write(after.tree, {"perf/suite/test_x.py": "new"})
    (after.tree / "benchmarks").symlink_to("perf/suite")
    write(before.tree, {"benchmarks/test_x.py": "old"})
    overlay(after, before, ["benchmarks/test_x.py"])
    assert content(before.tree) == {"perf/suite/test_x.py": "new"}
    assert (before.tree / "benchmarks" / "test_x.py").read_text() == "new"


@pytest.mark.parametrize(
    "file",
    ["../outside.py", "benchmarks/../../outside.py", "/etc/hostname", "nowhere.py", "out/x.py"],
)
def test_a_benchmark_file_outside_of_its_tree_is_refused(
    pair: tuple[Side, Side], tmp_path: Path, file: str
) -> None:
    before, after = pair
    write(tmp_path, {"outside.py": "", "outside/x.py": ""})
    (after.tree / "out").symlink_to(tmp_path / "outside")
    with pytest.raises(OverlayError, match="is not in"):
        overlay(after, before, [file])
    assert content(before.tree) == {}


def test_nothing_is_written_through_a_link_of_the_other_side(
    pair: tuple[Side, Side], tmp_path: Path
) -> None:
    before, after = pair
    outside = write(tmp_path / "outside", {"x.py": "safe", "pkg/x.py": "safe"})
    write(after.tree, {"benchmarks/x.py": "new", "src/pkg/x.py": "new"})
    (before.tree / "benchmarks").symlink_to(outside)
    (before.tree / "src").symlink_to(outside)
    with pytest.raises(OverlayError, match="leads out of its tree"):
        overlay(after, before, ["src/pkg/x.py"])
    overlay(after, before, ["benchmarks/x.py"])
    assert content(outside) == {"x.py": "safe", "pkg/x.py": "safe"}
    assert (before.tree / "benchmarks" / "x.py").read_text() == "new"
    assert not (before.tree / "benchmarks").is_symlink()
