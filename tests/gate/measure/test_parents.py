"""Workers that are forked from one parent are what workers that were started anew are."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from flopline.gate.measure.block import run_block
from flopline.gate.measure.pair import list_benchmarks, pair
from flopline.gate.measure.parents import Parents, provided_names
from flopline.gate.measure.patience import Patience
from flopline.gate.measure.worker.flopline_worker.protocol import BatchSize, SizeBatch
from flopline.gate.record import BlockRequest, Settings
from flopline.progress import Progress
from tests.gate.support.make_projects import site, venv
from tests.gate.support.make_sides import LIGHT, make_side, make_sides
from tests.gate.support.processes import living
from tests.support.checkouts import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from flopline.gate.measure.pair import Collected
    from flopline.gate.record import Block
    from flopline.gate.sides.environment import Side

LIBRARIES = {
    "library.py": "import wave\n",
    "optional.py": "try:\n    has = __import__('subject').VALUE\n"
    "except ImportError:\n    has = 0\n",
    "needing.py": "import optional\n",
    "threaded.py": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n",
}
"""Modules of an environment: one like any other, and three that do not belong in a parent."""
TEST = """
import json, os, random, sys, tempfile
from pathlib import Path
present = sorted({"library", "needing", "optional", "threaded", "wave"} & set(sys.modules))
import library, needing, optional, subject, threaded
facts = {
    "present": present,
    "value": [subject.VALUE, optional.has],
    "path": sys.path,
    "environment": dict(os.environ),
    "places": [os.getcwd(), tempfile.gettempdir()],
    "leads": os.getsid(0) == os.getpid(),
    "parent": os.getppid(),
    "random": random.random(),
    "shown": Path("/proc/self/environ").read_text(errors="replace").split("\\0"),
}
Path(__file__).with_name("facts.json").write_text(json.dumps(facts))
def test_it(benchmark):
    benchmark(sum, range(100))
"""
BEFORE, FAULT, AFTER = (f"test_faults.py::test_{name}" for name in ("before", "fault", "after"))


def sides_with(folder: Path, python: str) -> list[Side]:
    """Two sides with a subject each."""
    sides = []
    for name, short in (("baseline", "base"), ("candidate", "cand")):
        files = {"src/subject.py": f"VALUE = {name!r}\n", "test_it.py": TEST}
        tree = folder / short
        write(tree, files)
        environment = {"PYTHONPATH": str(tree / "src")}
        sides.append(make_side(name, tree, environment, python=python))  # type: ignore[arg-type]
    return sides


def facts_of(side: Side) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((side.tree / "facts.json").read_text())
    return facts


class Seen(NamedTuple):
    """What fresh and forked workers of two sides saw, and what was learned.

    Attributes:
        fresh: What the fresh ones saw, by side.
        forked: What the forked ones saw.
        listed: What the fresh ones collected.
        collected: What the forked ones collected.
        parents: The parents, which are ended.
        layouts: Hash seed and padding of two parents.
    """

    fresh: list[dict[str, Any]]
    forked: list[dict[str, Any]]
    listed: list[Collected]
    collected: list[Collected]
    parents: Parents
    layouts: list[tuple[int, int]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("parents")
    python = venv(folder / "venv", everything=True)
    write(site(folder / "venv"), LIBRARIES)
    sides = sides_with(folder, str(python))
    with Parents(*sides) as parents:
        listed = list_benchmarks(sides, LIGHT)
        fresh = [facts_of(side) for side in sides]
        parents.learn([each.imported for each in listed])
        parent = parents.current()
        assert parent is not None
        layout = (parent.hash_seed, parent.padding)
        workers = pair(
            sides, LIGHT, hash_seed=layout[0], padding=layout[1], heap_seed=77, parent=parent
        )
        with workers as (handles, collected):
            assert [handle.forked for handle in handles] == [True, True]
        forked = [facts_of(side) for side in sides]
        parents.prepare()
        parents.renew()
        following = parents.current()
        assert following is not None
        layouts = [layout, (following.hash_seed, following.padding)]
    return Seen(fresh, forked, listed, collected, parents, layouts)


def test_forked_workers_collect_what_fresh_ones_collect(seen: Seen) -> None:
    for listed, collected in zip(seen.listed, seen.collected, strict=True):
        assert listed.items == collected.items
        assert listed.packages == collected.packages
        assert (listed.python, listed.randomised) == (collected.python, collected.randomised)


def test_each_side_loads_its_own_code(seen: Seen) -> None:
    for facts in (seen.fresh, seen.forked):
        assert [each["value"] for each in facts] == [["baseline"] * 2, ["candidate"] * 2]


def test_what_both_sides_import_of_the_environment_is_there_before_they_are_forked(
    seen: Seen,
) -> None:
    assert [each["present"] for each in seen.fresh] == [[], []]
    assert [each["present"] for each in seen.forked] == [["library", "wave"]] * 2


def test_what_asks_for_the_subject_or_starts_a_thread_is_left_to_the_workers(seen: Seen) -> None:
    assert seen.parents.spoilt.keys() == {"optional", "needing", "threaded"}
    assert seen.parents.spoilt["optional"] == "it asks for subject"
    assert seen.parents.spoilt["needing"] == "it asks for optional"
    assert seen.parents.spoilt["threaded"] == "it leaves a thread behind"
    assert seen.parents.notes == []


def test_the_import_path_and_folders_are_those_of_a_fresh_worker(seen: Seen) -> None:
    for fresh, forked in zip(seen.fresh, seen.forked, strict=True):
        assert fresh["path"] == forked["path"]
        assert fresh["places"][0] == forked["places"][0]
        assert forked["places"][1] == forked["environment"]["TMPDIR"]


def test_the_environment_is_that_of_a_fresh_worker(seen: Seen) -> None:
    drawn = {"TMPDIR", "PYTHONHASHSEED", "FLOPLINE_PADDING", "FLOPLINE_HEAP"}
    for fresh, forked in zip(seen.fresh, seen.forked, strict=True):
        environments = fresh["environment"], forked["environment"]
        assert environments[0].keys() == environments[1].keys()
        differing = {
            name for name in environments[0] if environments[0][name] != environments[1][name]
        }
        assert differing <= drawn


def test_both_sides_have_one_heap_seed_and_random_numbers_of_their_own(seen: Seen) -> None:
    first, second = seen.forked
    assert first["environment"]["FLOPLINE_HEAP"] == "0000000077"
    assert second["environment"]["FLOPLINE_HEAP"] == "0000000077"
    assert first["random"] != second["random"]


def test_a_forked_worker_is_a_child_of_the_coordinator_in_its_own_session(seen: Seen) -> None:
    for facts in seen.forked:
        assert facts["leads"]
        assert facts["parent"] == os.getpid()


def test_the_kernel_shows_the_temporary_folder_of_a_forked_worker(seen: Seen) -> None:
    for facts in seen.forked:
        assert f"TMPDIR={facts['environment']['TMPDIR']}" in facts["shown"]


def test_another_parent_has_another_hash_seed(seen: Seen) -> None:
    first, second = seen.layouts
    assert first[0] != second[0]


def test_names_that_folders_provide_are_modules_packages_and_mere_folders(tmp_path: Path) -> None:
    files = {"one.py": "", "two/__init__.py": "", "three/x.py": "", "read.me": "", "no-name.py": ""}
    write(tmp_path, files)
    (tmp_path / "four.cpython-311-x86_64-linux-gnu.so").touch()
    (tmp_path / "five.so").touch()
    provided, portions = provided_names([tmp_path, tmp_path / "nowhere"])
    assert provided - {"four"} == {"one", "two", "five"}
    assert portions == {"three"}


# Where no parent is possible


def note_of(first: Side, second: Side) -> str:
    with Parents(first, second) as parents:
        assert parents.current() is None
        (note,) = parents.notes
    return note


@pytest.mark.usefixtures("marker")
def test_two_interpreters_have_no_common_parent(tmp_path: Path) -> None:
    first, second = (make_side(name, tmp_path) for name in ("baseline", "candidate"))
    assert "two interpreters" in note_of(first, replace(second, python="/other/python"))


@pytest.mark.usefixtures("marker")
def test_a_project_that_brings_what_pytest_needs_is_not_hidden_by_it(tmp_path: Path) -> None:
    write(tmp_path, {"pluggy/__init__.py": ""})
    sides = [
        make_side(name, tmp_path, {"PYTHONPATH": str(tmp_path)})
        for name in ("baseline", "candidate")
    ]
    assert "pytest cannot be shared: it asks for pluggy" in note_of(*sides)


@pytest.mark.usefixtures("marker")
def test_code_of_a_side_that_runs_at_the_start_needs_new_processes(tmp_path: Path) -> None:
    write(tmp_path, {"sitecustomize.py": ""})
    side = make_side("baseline", tmp_path, {"PYTHONPATH": str(tmp_path)})
    assert "has a module sitecustomize" in note_of(side, side)


@pytest.mark.usefixtures("marker")
def test_an_interpreter_that_starts_with_threads_is_not_forked(tmp_path: Path) -> None:
    python = venv(tmp_path / "venv", everything=True)
    packages = {"threaded.py": LIBRARIES["threaded.py"], "zz.pth": "import threaded\n"}
    write(site(tmp_path / "venv"), packages)
    side = make_side("baseline", tmp_path, python=str(python))
    assert "starts with several threads" in note_of(side, side)


# Faults


def measured(
    parents: Parents, *names: str, report: Callable[[str], None] = lambda _name: None
) -> Block:
    request = BlockRequest("screen", names, 0.01, Progress("screen"))
    return run_block(
        parents.baseline,
        parents.candidate,
        request,
        Settings(arguments=LIGHT),
        cpus=sorted(os.sched_getaffinity(0)),
        patience=Patience(quiet=3.0),
        parents=parents,
        report=report,
    )


@pytest.fixture
def faults(tmp_path: Path, marker: str) -> Iterator[Parents]:
    """Parents of two copies of the suite of faults; nothing may be left of them."""
    assert marker
    baseline, candidate = make_sides(tmp_path, "faults", FAULT="exit")
    (candidate.tree / "candidate.txt").touch()
    with Parents(baseline, candidate) as parents:
        yield parents


def with_fault(parents: Parents, fault: str) -> Parents:
    """The same parents, whose candidate has this fault."""
    for side in (parents.baseline, parents.candidate):
        side.environment["FAULT"] = fault
    return parents


@pytest.mark.parametrize(
    ("fault", "text"),
    [("exit", "exit code 7"), ("killed", "killed by signal SIGKILL"), ("forked", "exit code 7")],
)
def test_a_forked_worker_that_ends_costs_its_benchmark(
    faults: Parents, fault: str, text: str
) -> None:
    block = measured(with_fault(faults, fault), BEFORE, FAULT, AFTER)
    assert block.forked
    assert list(block.quads) == [BEFORE]
    crash = block.lost[FAULT]
    assert (crash.side, crash.outcome) == ("candidate", "crashed")
    assert text in crash.text
    assert block.lost[AFTER].outcome == "stopped"


def test_a_forked_worker_that_hangs_tells_its_line(faults: Parents) -> None:
    block = measured(with_fault(faults, "hang"), FAULT)
    assert block.lost[FAULT].outcome == "hung"
    assert "test_faults.py" in block.lost[FAULT].text


def test_workers_outlive_their_parent_and_the_next_ones_have_another(faults: Parents) -> None:
    parent = faults.current()
    assert parent is not None
    sides = [faults.baseline, faults.candidate]
    hash_seed, padding = parent.hash_seed, parent.padding
    workers = pair(sides, LIGHT, hash_seed=hash_seed, padding=padding, parent=parent)
    with workers as (handles, _):
        os.kill(parent.process, signal.SIGKILL)
        for handle in handles:
            handle.send(SizeBatch(seconds=1e-4, at_most=None))
            assert isinstance(handle.receive(), BatchSize)
    assert not measured(faults, BEFORE).forked
    assert "has ended" in str(parent.failure)
    assert any("has ended" in note for note in faults.notes)
    block = measured(faults, BEFORE)
    assert block.forked
    assert block.hash_seed != hash_seed


def test_an_interruption_ends_parents_and_workers(
    tmp_path: Path, faults: Parents, marker: str
) -> None:
    alive = set()

    def interrupt(_name: str) -> None:
        alive.update(living(marker))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(faults, BEFORE, report=interrupt)
    assert len(alive) == 3
    (parent,) = living(marker)
    assert faults._parent is not None  # noqa: SLF001  # whose process it is
    assert parent == faults._parent.process  # noqa: SLF001
    assert len(list((tmp_path / "temporary").iterdir())) == 1


def test_two_pairs_live_side_by_side_in_two_threads(faults: Parents) -> None:
    blocks: list[Block] = []
    # Each waits in its first benchmark until the other one is there, too.
    meeting = threading.Barrier(2, timeout=60)

    def work() -> None:
        def meet(name: str) -> None:
            if name == BEFORE:
                meeting.wait()

        blocks.append(measured(with_fault(faults, ""), BEFORE, AFTER, report=meet))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [list(block.quads) for block in blocks] == [[BEFORE, AFTER]] * 2
    assert [block.forked for block in blocks] == [True, True]
