"""One side's benchmark files replace the other's, and nothing else does."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.environment import Side
from flopline.gate.sides.overlay import OverlayError, overlay, suite_folder
from flopline.gate.sides.versions import Version
from tests.support.checkouts import content, write

if TYPE_CHECKING:
    from flopline.gate.record import SideName


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Side, Side]:
    return side(tmp_path / "base", "baseline"), side(tmp_path / "cand", "candidate")


def side(tree: Path, name: SideName) -> Side:
    """Returns a side with an empty tree, in which a package `pkg` is the code to measure."""
    tree.mkdir()
    version = Version(name, "", "", "folder", tree)
    return Side(version, "python", tree, {"PYTHONPATH": str(tree)}, frozenset({"pkg"}))


def test_the_outermost_folder_around_a_benchmark_is_replaced_whole(
    pair: tuple[Side, Side],
) -> None:
    baseline, candidate = pair
    only_in_baseline = {"benchmarks/only_old.py": ""}
    only_in_candidate = {"benchmarks/cases.py": "new", "benchmarks/__pycache__/x": ""}
    in_both = ("benchmarks/suite/test_x.py", "pkg/a.py", "b")
    write(baseline.tree, {**dict.fromkeys(in_both, "old"), **only_in_baseline})
    write(candidate.tree, {**dict.fromkeys(in_both, "new"), **only_in_candidate})
    (candidate.tree / "benchmarks" / "link").symlink_to("cases.py")
    overlay(candidate, baseline, ["benchmarks/suite/test_x.py"])
    assert content(baseline.tree) == {
        "benchmarks/suite/test_x.py": "new",
        "benchmarks/cases.py": "new",
        "pkg/a.py": "old",
        "b": "old",
    }
    assert (baseline.tree / "benchmarks" / "link").readlink() == Path("cases.py")


@pytest.mark.parametrize(
    ("file", "replaced"),
    [
        ("test_x.py", "test_x.py"),
        ("src/pkg/benchmarks/deep/test_x.py", "src/pkg/benchmarks"),
        ("src/pkg/sub/tests/deep/test_x.py", "src/pkg/sub/tests"),
        ("pkg/sub/test_x.py", "pkg/sub/test_x.py"),
        ("pkg/test_x.py", "pkg/test_x.py"),
        ("python/tests/test_x.py", "python/tests"),
        ("tests/pkg/test_x.py", "tests"),
        ("perf/src/test_x.py", "perf"),
    ],
)
def test_no_folder_that_holds_code_to_measure_is_replaced(
    pair: tuple[Side, Side], file: str, replaced: str
) -> None:
    baseline, candidate = pair
    folders = [folder.as_posix() for folder in Path(file).parents[:-1]]
    files = [file, "root.py", *(f"{folder}/beside.py" for folder in folders)]
    for owner in pair:
        write(owner.tree, dict.fromkeys(files, owner.name))
    overlay(candidate, baseline, [file])
    new = {name for name, text in content(baseline.tree).items() if text == "candidate"}
    assert new == {name for name in files if Path(name).is_relative_to(replaced)}


def test_each_conftest_above_and_all_configuration_of_pytest_follow(
    pair: tuple[Side, Side],
) -> None:
    baseline, candidate = pair
    old = ("pytest.ini", "tox.ini", "src/conftest.py", "src/pkg/tests/a.py")
    new = (
        "pyproject.toml",
        "tox.ini",
        "conftest.py",
        "src/pkg/conftest.py",
        "src/pkg/tests/a.py",
    )
    write(baseline.tree, dict.fromkeys(old, "old"))
    write(candidate.tree, dict.fromkeys((*new, "src/pkg/b.py"), "new"))
    overlay(candidate, baseline, ["src/pkg/tests/a.py"])
    assert content(baseline.tree) == dict.fromkeys(new, "new")


def test_a_linked_suite_brings_the_files_to_which_it_leads(pair: tuple[Side, Side]) -> None:
    baseline, candidate = pair
    write(candidate.tree, {"perf/suite/test_x.py": "new"})
    (candidate.tree / "benchmarks").symlink_to("perf/suite")
    write(baseline.tree, {"benchmarks/test_x.py": "old"})
    overlay(candidate, baseline, ["benchmarks/test_x.py"])
    assert content(baseline.tree) == {"perf/suite/test_x.py": "new"}
    assert (baseline.tree / "benchmarks" / "test_x.py").read_text() == "new"


@pytest.mark.parametrize(
    "file",
    ["../outside.py", "benchmarks/../../outside.py", "/etc/hostname", "nowhere.py", "out/x.py"],
)
def test_a_benchmark_file_outside_of_its_tree_is_refused(
    pair: tuple[Side, Side], tmp_path: Path, file: str
) -> None:
    baseline, candidate = pair
    write(tmp_path, {"outside.py": "", "outside/x.py": ""})
    (candidate.tree / "out").symlink_to(tmp_path / "outside")
    with pytest.raises(OverlayError, match="is not in"):
        overlay(candidate, baseline, [file])
    assert content(baseline.tree) == {}


def test_nothing_is_written_through_a_link_of_the_other_side(
    pair: tuple[Side, Side], tmp_path: Path
) -> None:
    baseline, candidate = pair
    outside = write(tmp_path / "outside", {"x.py": "safe", "pkg/test_x.py": "safe"})
    write(candidate.tree, {"benchmarks/x.py": "new", "src/pkg/test_x.py": "new"})
    (baseline.tree / "benchmarks").symlink_to(outside)
    (baseline.tree / "src").symlink_to(outside)
    with pytest.raises(OverlayError, match="leads out of its tree"):
        overlay(candidate, baseline, ["src/pkg/test_x.py"])
    overlay(candidate, baseline, ["benchmarks/x.py"])
    assert content(outside) == {"x.py": "safe", "pkg/test_x.py": "safe"}
    assert (baseline.tree / "benchmarks" / "x.py").read_text() == "new"
    assert not (baseline.tree / "benchmarks").is_symlink()


def test_code_beside_a_benchmark_is_never_replaced_but_its_data_is(
    pair: tuple[Side, Side],
) -> None:
    baseline, candidate = pair
    names = ("test_a.py", "solve.py", "kernel.cu", "input.txt", "README.md", "test_other.py")
    for owner in pair:
        write(owner.tree / "day", dict.fromkeys(names, owner.name))
    write(candidate.tree, {"day/renamed.py": "new"})
    overlaid = overlay(candidate, baseline, ["day/test_a.py"])
    replaced = ("day/input.txt", "day/test_a.py")
    assert overlaid.replaced == replaced
    assert overlaid.doubtful == {"day/input.txt"}
    after = content(baseline.tree / "day")
    assert {name for name, text in after.items() if text == "candidate"} == {
        "input.txt",
        "test_a.py",
    }
    assert "renamed.py" not in after


def test_the_data_of_a_package_stays_with_its_code(pair: tuple[Side, Side]) -> None:
    baseline, candidate = pair
    for owner in pair:
        write(owner.tree / "pkg", dict.fromkeys(("test_a.py", "table.csv"), owner.name))
    assert overlay(candidate, baseline, ["pkg/test_a.py"]).replaced == ("pkg/test_a.py",)


def test_only_files_that_differ_count_as_replaced(pair: tuple[Side, Side]) -> None:
    baseline, candidate = pair
    same = {"tests/test_a.py": "", "tests/data.bin": "", "conftest.py": ""}
    for owner in pair:
        write(owner.tree, {**same, "tests/cases.py": owner.name, "tests/cases.csv": owner.name})
    write(candidate.tree, {"tests/new.py": ""})
    write(baseline.tree, {"tests/old.py": ""})
    overlaid = overlay(candidate, baseline, ["tests/test_a.py"])
    assert overlaid.replaced == (
        "tests/cases.csv",
        "tests/cases.py",
        "tests/new.py",
        "tests/old.py",
    )
    assert overlaid.doubtful == {"tests/cases.py", "tests/new.py", "tests/old.py"}


def test_a_module_that_has_its_benchmark_in_it_is_kept(pair: tuple[Side, Side]) -> None:
    baseline, candidate = pair
    for owner in pair:
        write(owner.tree, dict.fromkeys(("pkg/x.py", "day/solve.py", "conftest.py"), owner.name))
    overlaid = overlay(candidate, baseline, ["pkg/x.py", "day/solve.py"])
    assert overlaid.kept == {"pkg/x.py", "day/solve.py"}
    assert overlaid.replaced == ("conftest.py",)
    assert content(baseline.tree)["pkg/x.py"] == "baseline"


WORK = "def work():\n    return 1\n"
TEST = "def test_a(benchmark):\n    benchmark(work)\n"


@pytest.mark.parametrize(
    ("before", "after", "doubtful"),
    [
        (WORK + TEST, WORK + TEST + "def test_b(): pass\n", False),
        (WORK + TEST, "# more\n" + WORK + TEST.replace("work", "work, 1"), False),
        (WORK + TEST, WORK.replace("1", "2") + TEST, True),
        ("class Work: x = 1\n", "class Work: x = 2\n", True),
        ("@pytest.fixture()\n" + WORK, "@pytest.fixture()\n" + WORK.replace("1", "2"), False),
        (TEST, WORK + TEST, False),
        ("def broken(", WORK, False),
    ],
)
@pytest.mark.parametrize("name", ["conftest.py", "test_a.py"])
def test_changed_code_in_a_benchmark_file_may_be_what_is_measured(
    pair: tuple[Side, Side], name: str, before: str, after: str, *, doubtful: bool
) -> None:
    baseline, candidate = pair
    write(baseline.tree, {"test_a.py": "", name: before})
    write(candidate.tree, {"test_a.py": "", name: after})
    overlaid = overlay(candidate, baseline, ["test_a.py"])
    assert overlaid.replaced == (name,)
    assert overlaid.doubtful == ({name} if doubtful else set())


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("2022/day01/test_a.py", None),
        ("benchtools/core/test_a.py", None),
        ("pkg/benchmarks/test_a.py", "pkg/benchmarks"),
        ("acme/algo/tests/unit/test_a.py", "acme/algo/tests"),
        ("bench/tests/test_a.py", "bench/tests"),
        ("tests/benchmarks/test_a.py", "tests"),
        ("_benchmarks/test_a.py", "_benchmarks"),
        ("perf/test_a.py", None),
        ("contest/test_a.py", None),
    ],
)
def test_a_suite_is_a_folder_of_its_name_and_no_package(file: str, folder: str | None) -> None:
    expected = PurePosixPath(folder) if folder else None
    assert suite_folder(PurePosixPath(file), frozenset({"pkg", "perf"})) == expected


def test_the_folder_of_an_asv_suite_is_replaced_and_nothing_else(pair: tuple[Side, Side]) -> None:
    baseline, candidate = pair
    both = ("perf/suite/bench_a.py", "perf/suite/helpers.py", "perf/asv.conf.json", "pkg/a.py")
    write(baseline.tree, {**dict.fromkeys(both, "old"), "perf/suite/bench_gone.py": "old"})
    write(candidate.tree, {**dict.fromkeys(both, "new"), "perf/suite/bench_new.py": "new"})
    done = overlay(candidate, baseline, ["perf/suite/bench_a.py"], asv="perf/suite")
    assert content(baseline.tree) == {
        "perf/suite/bench_a.py": "new",
        "perf/suite/bench_new.py": "new",
        "perf/suite/helpers.py": "new",
        "perf/asv.conf.json": "old",
        "pkg/a.py": "old",
    }
    names = ("bench_a", "bench_gone", "bench_new", "helpers")
    assert done.replaced == tuple(f"perf/suite/{name}.py" for name in names)
    assert not done.doubtful


def test_an_asv_suite_behind_a_link_is_not_written_to(
    pair: tuple[Side, Side], tmp_path: Path
) -> None:
    baseline, candidate = pair
    write(candidate.tree, {"perf/bench_a.py": "new"})
    write(tmp_path, {"elsewhere/bench_a.py": "old"})
    (baseline.tree / "perf").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OverlayError, match="leads out of its tree"):
        overlay(candidate, baseline, ["perf/bench_a.py"], asv="perf")
    assert (tmp_path / "elsewhere" / "bench_a.py").read_text() == "old"
