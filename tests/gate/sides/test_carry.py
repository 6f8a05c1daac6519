"""What git ignores is brought into both sides, and what a version has itself is never replaced."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flopline.gate.sides.carry import CarryError, carry, find_loads
from flopline.gate.sides.environment import sides
from flopline.gate.sides.place import Place
from tests.support.checkouts import commit, write

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("temporary")


@pytest.fixture
def checkout(repo: Path) -> Path:
    """A checkout whose folder of data is partly ignored, and grows by a tracked file."""
    files = {".gitignore": "*.bin\n__pycache__\n", "bench/data/small.txt": "1", "bench/a.py": ""}
    write(repo, files)
    commit(repo, "small")
    write(repo, {"bench/data/new.txt": "new"})
    commit(repo, "new")
    ignored = {
        "bench/data/big.bin": "big",
        "bench/data/deep/er.bin": "deeper",
        "bench/data/__pycache__/x.pyc": "",
        "model.bin": "model",
    }
    return write(repo, ignored)


def brought(side: Path) -> dict[str, str]:
    """Returns the files of a folder and what is in them, without git's."""
    found = {}
    for folder, folders, names in os.walk(side):
        folders[:] = [name for name in folders if name != ".git"]
        for name in names:
            path = Path(folder, name)
            found[str(path.relative_to(side))] = path.read_text()
    return found


def test_ignored_files_come_into_both_sides_and_tracked_ones_do_not(checkout: Path) -> None:
    start = checkout / "bench"
    with sides(start, "HEAD~1", carried=["data", str(checkout / "model.bin")]) as both:
        for side in both:
            files = brought(side.tree / "bench" / "data")
            own = {"new.txt"} if side.name == "candidate" else set()
            assert files.keys() == {"small.txt", "big.bin", "deep/er.bin"} | own
            assert (side.tree / "model.bin").read_text() == "model"
            assert side.notes == ()
    assert (checkout / "bench" / "data" / "big.bin").read_text() == "big"


def test_what_a_version_has_itself_is_not_replaced_and_is_told(
    checkout: Path, tmp_path: Path
) -> None:
    copy = write(
        tmp_path / "copy", {"model.bin": "a model of its own", "bench/data/big.bin": "big"}
    )
    loads = find_loads(Place.around(checkout), ["model.bin", "bench/data"])
    (note,) = carry("baseline", loads, copy)
    assert note == (
        "--carry has not replaced what the baseline has itself: 1 file, such as model.bin"
    )
    assert brought(copy)["model.bin"] == "a model of its own"
    assert (copy / "bench" / "data" / "deep" / "er.bin").samefile(
        checkout / "bench" / "data" / "deep" / "er.bin"
    )


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "there is no such file or folder in"),
        ("nothing.bin", "there is no such file or folder in"),
        ("bench/a.py", "git tracks all of it, so that each version brings its own"),
        ("empty", "it is empty, or git tracks"),
        (".", "each side has a checkout of its own"),
        (".git/config", "each side has a checkout of its own"),
        ("/etc/passwd", "lies outside of .*, and is no neighbour of it"),
        ("..", "lies outside of"),
    ],
)
def test_what_cannot_be_carried_is_refused_in_one_sentence(
    checkout: Path, path: str, reason: str
) -> None:
    (checkout / "empty").mkdir()
    with pytest.raises(CarryError, match=rf"^--carry '{path}': .*{reason}") as caught:
        find_loads(Place.around(checkout), [path])
    assert "\n" not in str(caught.value)


def test_a_neighbour_of_the_checkout_becomes_one_of_each_copy(
    checkout: Path, tmp_path: Path
) -> None:
    neighbour = write(checkout.parent / "vectors", {"a.txt": "1", ".git/HEAD": ""})
    copy = tmp_path / "home" / "tree"
    copy.mkdir(parents=True)
    carry("baseline", find_loads(Place.around(checkout), [f"../{neighbour.name}"]), copy)
    assert brought(tmp_path / "home") == {"vectors/a.txt": "1"}
    write(checkout.parent / "venv", {"a.txt": "1"})
    with pytest.raises(CarryError, match="lies outside"):
        find_loads(Place.around(checkout), ["../venv"])


def test_a_link_is_brought_as_a_link_to_where_it_leads(checkout: Path, tmp_path: Path) -> None:
    store = write(tmp_path / "store", {"x.txt": "far away"})
    (checkout / "link.bin").symlink_to(store)
    copy = tmp_path / "home" / "tree"
    copy.mkdir(parents=True)
    carry("candidate", find_loads(Place.around(checkout), ["link.bin"]), copy)
    assert (copy / "link.bin").readlink() == store
    assert carry("candidate", find_loads(Place.around(checkout), ["link.bin"]), copy) == []


def test_nothing_is_written_through_a_link_of_a_version(checkout: Path, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", {"x": ""})
    copy = tmp_path / "home" / "tree"
    (copy / "bench").mkdir(parents=True)
    (copy / "bench" / "data").symlink_to(outside)
    loads = find_loads(Place.around(checkout), ["bench/data"])
    with pytest.raises(CarryError, match=r"brought into the baseline: .* behind a link"):
        carry("baseline", loads, copy)
    assert list(outside.iterdir()) == [outside / "x"]


@pytest.fixture
def other_disk() -> Iterator[Path]:
    """A folder on another file system."""
    memory = Path("/dev/shm")  # noqa: S108  # the one that every Linux has
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == Path.cwd().stat().st_dev:
        pytest.skip("there is no second file system to write to")
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


def test_on_another_file_system_data_is_linked_and_code_is_copied(
    checkout: Path, other_disk: Path
) -> None:
    write(checkout, {"made/table.bin": "1", "made/parser.py": "X = 1\n"})
    carry("baseline", find_loads(Place.around(checkout), ["made"]), other_disk)
    assert (other_disk / "made" / "table.bin").readlink() == checkout / "made" / "table.bin"
    assert not (other_disk / "made" / "parser.py").is_symlink()
    assert (other_disk / "made" / "parser.py").read_text() == "X = 1\n"
