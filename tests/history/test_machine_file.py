"""Tests of the machine's facts and of asv's machine file."""

from __future__ import annotations

import json
import os
import platform
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
