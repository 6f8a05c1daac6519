"""Tests of the machine's facts and of asv's machine file."""

from __future__ import annotations

import json
import os
import platform
import resource
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from flopline.history import machine_file
from tests.history.support.toy import FACTS, Project, speeds

if TYPE_CHECKING:
    from pathlib import Path


def described(name: str | None) -> dict[str, str]:
    return machine_file.describe(name, device="cpu", dtype="float32", threads=1, data="airfoil")


def test_facts_are_of_this_machine_and_name_it() -> None:
    facts = described(None)
    assert facts["num_cpu"] == str(os.cpu_count())
    assert facts["cpython"] == platform.python_version()
    assert facts["machine"].endswith(f"-{os.cpu_count()}")
    names = "os arch cpu ram torch blas threads device dtype data"
    assert set(facts) >= set(names.split())
    assert all(isinstance(value, str) and value for value in facts.values())


def test_a_name_that_is_given_is_the_machines_name() -> None:
    assert described("mine")["machine"] == "mine"


def test_the_machine_file_keeps_other_machines(tmp_path: Path) -> None:
    path = tmp_path / "machines.json"
    machine_file.write({"machine": "one", "cpu": "1"}, tmp_path, path)
    machine_file.write({"machine": "two", "cpu": "2"}, tmp_path, path)
    assert json.loads(path.read_text()) == {
        "one": {"machine": "one", "cpu": "1"},
        "two": {"machine": "two", "cpu": "2"},
        "version": 1,
    }


@pytest.mark.parametrize(("content", "message"), [("{", "not JSON"), ("[]", "not a JSON object")])
def test_a_broken_machine_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "machines.json"
    path.write_text(content)
    with pytest.raises(machine_file.MachineError, match=message):
        machine_file.write({"machine": "two"}, tmp_path, path)


def test_another_machine_of_the_same_name_is_refused(project: Project) -> None:
    project.record(project.commits[0], speeds())
    path = project.root / "file"
    newer_torch = {"machine": "counter", **FACTS, "torch": "2.14.0"}
    machine_file.write(newer_torch, project.results, path)
    more_cores = {"machine": "counter", **FACTS, "num_cpu": "64"}
    message = r"named counter: num_cpu was 2, is 64.*--machine"
    with pytest.raises(machine_file.MachineError, match=message):
        machine_file.write(more_cores, project.results, path)


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "machines.json"

    def enter(name: str) -> None:
        machine_file.write({"machine": name}, tmp_path, path)

    names = [f"runner-{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as writers:
        list(writers.map(enter, names))
    assert set(json.loads(path.read_text())) == {"version", *names}


def test_a_full_disk_keeps_what_the_file_held(tmp_path: Path) -> None:
    path = tmp_path / "machines.json"
    machine_file.write({"machine": "old"}, tmp_path, path)
    before = path.read_text()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), limits[1]))
    try:
        with pytest.raises(machine_file.MachineError, match=r"holds what it held.*set HOME"):
            machine_file.write({"machine": "new"}, tmp_path, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == before
    assert not list(tmp_path.glob(".machines.json.*"))


def test_a_linked_machine_file_stays_a_link_and_keeps_its_mode(tmp_path: Path) -> None:
    path, link = tmp_path / "dotfiles.json", tmp_path / "machines.json"
    machine_file.write({"machine": "one"}, tmp_path, path)
    path.chmod(0o640)
    link.symlink_to(path)
    machine_file.write({"machine": "two"}, tmp_path, link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert "two" in json.loads(path.read_text())


NAMES = ["", ".", "..", "../../evil", "a/b", "a\\b", "-x", ".git", "a\0b", "a\nb", " a", "x" * 200]


@pytest.mark.parametrize("name", [*NAMES, "version", "benchmarks.json", "\x1b[2J"])
def test_a_name_that_cannot_be_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(machine_file.MachineError, match="a machine cannot be named"):
        machine_file.write({"machine": name}, tmp_path / "results", tmp_path / "machines.json")
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_a_file_among_the_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README").touch()
    with pytest.raises(machine_file.MachineError, match="is not a folder"):
        machine_file.write({"machine": "README"}, tmp_path, tmp_path / "machines.json")
