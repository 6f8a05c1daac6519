"""A copy of the baseline with a null edit: what is edited, where it lies, and that it goes."""

from __future__ import annotations

import dataclasses
import os
import random
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.environment import Side, sides
from flopline.gate.sides.export import ExportError
from flopline.gate.sides.nullside import FOLDER, is_editable, null_side, subject_files
from tests.gate.support.make_projects import PLAIN
from tests.support.checkouts import checkout, content, world, write

if TYPE_CHECKING:
    from collections.abc import Iterator

LOT = random.Random(1)  # noqa: S311  # the same draws in every run
FILES = {
    "pkg/__init__.py": "",
    "pkg/work.py": PLAIN,
    "pkg/tests/test_more.py": "",
    "conftest.py": "",
    "benchmarks/cases.py": "",
    "benchmarks/test_it.py": "",
    "test_beside.py": "",
    "data.txt": "1\n",
}
SUBJECT = [PurePosixPath("tree/pkg/__init__.py"), PurePosixPath("tree/pkg/work.py")]


@pytest.fixture
def baseline(tmp_path: Path) -> Iterator[Side]:
    """A side that is imported from its tree."""
    with world(tmp_path), sides(checkout(tmp_path / "p", FILES, FILES), "HEAD") as both:
        yield both[0]


def test_the_subject_is_what_was_loaded_without_tests_and_benchmarks(baseline: Side) -> None:
    loaded = [str(baseline.tree.resolve() / name) for name in FILES]
    loaded += [__file__, str(baseline.tree.resolve() / "pkg" / "fast.so")]
    assert subject_files(baseline, loaded, {"test_beside.py"}) == SUBJECT


def test_modules_that_a_benchmark_imports_late_belong_to_the_subject(baseline: Side) -> None:
    late = baseline.tree / "pkg" / "late" / "more.py"
    late.parent.mkdir()
    late.write_text("")
    (baseline.tree / "pkg" / "link.py").symlink_to("work.py")
    files = subject_files(baseline, [str(baseline.tree.resolve() / "pkg" / "work.py")], ())
    assert files == [SUBJECT[0], PurePosixPath("tree/pkg/late/more.py"), SUBJECT[1]]


def test_of_an_environment_only_the_packages_of_the_project_are_edited(baseline: Side) -> None:
    home = (baseline.home or Path()).resolve()
    installed = dataclasses.replace(
        baseline, site=home / "venv" / "lib", packages=frozenset({"pkg", "single"})
    )
    names = ("pkg/work.py", "single.py", "numpy/core.py", "../bin/tool.py")
    write(home / "venv" / "lib", dict.fromkeys(names, ""))
    loaded = [os.path.normpath(home / "venv" / "lib" / name) for name in names]
    expected = [PurePosixPath("venv/lib", name) for name in names[:2]]
    assert subject_files(installed, loaded, ()) == expected


def test_a_side_without_a_folder_of_its_own_has_nothing_to_edit(baseline: Side) -> None:
    foreign = dataclasses.replace(baseline, home=None)
    assert subject_files(foreign, [str(baseline.tree / "pkg/work.py")], ()) == []
    with (
        pytest.raises(ExportError, match="has no folder of its own"),
        null_side(foreign, SUBJECT, "moved", LOT),
    ):
        pass


def test_an_edit_changes_a_copy_of_the_subject_and_nothing_else(baseline: Side) -> None:
    before = content(baseline.tree)
    with null_side(baseline, SUBJECT, "appended", LOT) as side:
        assert (side.name, side.version.label) == (
            "candidate",
            f"{baseline.version.label}, null edit: appended",
        )
        after = content(side.tree)
        changed = {name for name in before if before[name] != after[name]}
        assert changed == {"pkg/__init__.py", "pkg/work.py"}
        assert after.keys() == before.keys()
        assert after["pkg/work.py"].startswith(PLAIN)
        home = side.home or Path()
        assert len(str(home)) == len(str(baseline.home))
        assert side.environment["PYTHONPATH"] == str(side.tree)
        assert (side.folder, side.roots) == (side.tree, (side.tree,))
    assert not home.exists()
    assert content(baseline.tree) == before


def test_a_moved_copy_is_the_same_at_a_longer_path(baseline: Side) -> None:
    with null_side(baseline, SUBJECT, "moved", LOT) as side:
        assert content(side.tree) == content(baseline.tree)
        assert len(str(side.home)) > len(str(baseline.home))
        assert (side.home or Path()).name.startswith(FOLDER)


def test_neither_side_keeps_byte_code_of_an_edited_file(baseline: Side) -> None:
    cache = baseline.tree / "pkg" / "__pycache__"
    cache.mkdir()
    for name in ("work.cpython-311.pyc", "work.cpython-313.opt-1.pyc", "worker.cpython-311.pyc"):
        (cache / name).write_bytes(b"x")
    with null_side(baseline, SUBJECT, "documented", LOT):
        pass
    assert len(list(cache.iterdir())) == 3  # nothing in it has a docstring
    with null_side(baseline, SUBJECT, "reordered", LOT) as side:
        for tree in (baseline.tree, side.tree):
            kept = [path.name for path in (tree / "pkg" / "__pycache__").iterdir()]
            assert kept == ["worker.cpython-311.pyc"]


def test_files_that_are_read_only_and_pipes_are_no_hindrance(baseline: Side) -> None:
    (baseline.tree / "pkg" / "work.py").chmod(0o444)
    os.mkfifo(baseline.tree / "pipe")
    with null_side(baseline, SUBJECT, "prepended", LOT) as side:
        edited = side.tree / "pkg" / "work.py"
        assert edited.read_text("utf-8").endswith(PLAIN)
        assert edited.stat().st_mode & 0o777 == 0o444
        assert not (side.tree / "pipe").exists()


def test_an_edit_that_changes_nothing_is_told(baseline: Side) -> None:
    assert is_editable(baseline, SUBJECT, "appended", LOT)
    assert is_editable(baseline, SUBJECT, "reordered", LOT)
    assert is_editable(baseline, SUBJECT, "moved", LOT)
    assert not is_editable(baseline, SUBJECT, "documented", LOT)
    assert not is_editable(baseline, [], "moved", LOT)


def test_a_copy_that_cannot_be_written_is_an_error_that_says_so(baseline: Side) -> None:
    (baseline.home or Path()).with_name(FOLDER).write_text("in the way")
    with (
        pytest.raises(ExportError, match="the baseline could not be copied for a null edit: File"),
        null_side(baseline, SUBJECT, "appended", LOT),
    ):
        pass
