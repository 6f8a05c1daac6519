"""Tests of measuring commits with asv itself, on a package of one function."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from flopline import git
from flopline.history import results, runner
from tests.history.support import toy
from tests.history.support.command import Done, history

if TYPE_CHECKING:
    from flopline.history.record import AsvRun, Values
    from tests.history.support.package import Package

MEASURED = {("'counted'", "50"): 8, ("'counted'", "100"): 8}
"""How many samples each case of the gate's scale has at the end."""


def test_the_newest_commits_are_chosen_unless_others_are_named(project: toy.Project) -> None:
    first, second, third = project.commits
    toy.git(project.root, "tag", "v1", first)
    assert runner.choose(project.root, [], 2) == [third, second]
    assert runner.choose(project.root, [], 9) == [third, second, first]
    assert runner.choose(project.root, ["v1..HEAD"], 1) == [third, second]
    assert runner.choose(project.root, ["tags"], 1) == [first]
    assert runner.choose(project.root, ["HEAD", "v1", third[:9]], 1) == [third, first]
    with pytest.raises(git.CommitError, match="no commit 'v2'"):
        runner.choose(project.root, ["v2"], 1)


def flopline(package: Package, *arguments: str) -> Done:
    return history(package.root, *arguments, **package.environment)


def runs_of(package: Package, machine: str) -> dict[str, AsvRun]:
    runs = results.read(package.results).of_machine(machine).runs
    return {run.commit: run for run in runs}


def samples(run: AsvRun) -> dict[Values, int]:
    """Returns how many samples there are of each case that has a number."""
    counts = {}
    for case, measurement in run.measurements.items():
        if measurement is not None:
            counts[case.values] = len(measurement.samples)
    return counts


@pytest.mark.judges_times
def test_an_existing_environment_measures_commits_in_turns(package: Package) -> None:
    plain, _, slowed, _ = package.commits
    arguments = ["run", plain, slowed, "--existing", "--machine", "gpu-stand-in", "--scale", "gate"]
    done = flopline(package, *arguments)
    assert done.code == 0, done.stdout + done.stderr
    runs = runs_of(package, "gpu-stand-in")
    assert set(runs) == {plain, slowed}
    for run in runs.values():
        assert dict(run.conditions)["environment"].startswith("existing")
        assert samples(run) == MEASURED

    compared = flopline(package, "compare", plain, slowed, "--machine", "gpu-stand-in", "--json")
    record = json.loads(compared.stdout)
    assert compared.code == record["exit_code"] == 1
    assert [row["verdict"] for row in record["cases"]] == ["regressed", "regressed"]
    assert all(row["base_gflops"] > 2 * row["head_gflops"] for row in record["cases"])

    files = {run.path: run.path.read_bytes() for run in runs.values()}
    again = flopline(package, *arguments)
    assert again.code == 0
    assert "Benchmarking" not in again.stdout
    assert {path: path.read_bytes() for path in files} == files


def test_failures_and_hangs_are_recorded_and_the_run_goes_on(package: Package) -> None:
    faulty = package.commits[3]
    done = flopline(package, "run", faulty, "--existing", "--machine", "faults")
    assert done.code == 1, done.stdout + done.stderr
    for case in ("Toy.sampled_toy('wrong', 50)", "Endless.sampled_toy('endless', 50)"):
        assert f"failed at {faulty[:8]}: bench_toy.{case}" in done.stderr
    (run,) = runs_of(package, "faults").values()
    assert set(samples(run)) == set(MEASURED)
    failed = {case.values[0] for case, result in run.measurements.items() if result is None}
    assert failed == {"'wrong'", "'endless'"}, "what the commit lacks did not fail"


def test_a_suite_that_cannot_be_imported_gives_no_result(package: Package) -> None:
    path = package.root / "benchmarks" / "bench_broken.py"
    path.write_text("import nothing_of_this_name")
    try:
        done = flopline(package, "run", package.commits[0], "--existing", "--machine", "fresh")
    finally:
        path.unlink()
    assert done.code == 2
    assert "asv ended with code 1" in done.stderr


def interrupt_after_first_result(package: Package, commit: str, arguments: list[str]) -> str:
    """Presses Ctrl-C when asv has written a commit's first results; returns what was printed."""
    with subprocess.Popen(
        [sys.executable, "-m", "flopline", "history", *arguments],
        cwd=package.root,
        env=os.environ | package.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if list(package.results.glob(f"built/{commit[:8]}-*.json")):
                os.killpg(process.pid, signal.SIGINT)
                break
        lines += process.stdout
    output = "".join(lines)
    assert process.returncode == 2, output
    return output


@pytest.mark.judges_times
def test_asvs_own_environment_outlasts_a_broken_build_and_ctrl_c(package: Package) -> None:
    plain, broken, slowed, _ = package.commits
    arguments = ["run", plain, broken, slowed, "--machine", "built", "--scale", "gate"]
    output = interrupt_after_first_result(package, plain, arguments)
    assert "what was measured is kept, and the next call goes on" in output

    done = flopline(package, *arguments)
    assert done.code == 1, done.stdout + done.stderr
    assert f"failed at {broken[:8]}" in done.stderr
    runs = runs_of(package, "built")
    assert set(runs) == {plain, broken, slowed}
    assert samples(runs[plain]) == samples(runs[slowed]) == MEASURED
    assert not any(runs[broken].measurements.values())

    again = flopline(package, *arguments)
    assert "Building" not in again.stdout
    assert again.code == 1
    assert flopline(package, "compare", plain, slowed, "--machine", "built").code == 1
