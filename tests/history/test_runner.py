"""Measuring commits: with asv itself, on a package of one function."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from asv import util

from benchmarks import cases
from flopline.history import commits, results, runner
from tests.history.support import toy
from tests.history.support.toy import FACTS, Project, git, speeds

ROOT = Path(__file__).parents[2]
NAMES = [f"toy/strategy={strategy}/n={n}" for strategy, n in toy.POINTS]


def plan(project: Project, **changes: object) -> runner.Plan:
    facts = {"machine": "counter", **FACTS}
    given = runner.Plan(
        project.root, project.results, NAMES, "quick", "cpu", "float32", 4, 2, facts, existing=True
    )
    return replace(given, **changes)  # type: ignore[arg-type]  # fields of the plan


def test_the_newest_commits_are_chosen_unless_others_are_named(project: Project) -> None:
    first, second, third = project.commits
    git(project.root, "tag", "v1", first)
    assert runner.choose(project.root, [], 2) == [third, second]
    assert runner.choose(project.root, [], 9) == [third, second, first]
    assert runner.choose(project.root, ["v1..HEAD"], 1) == [third, second]
    assert runner.choose(project.root, ["tags"], 1) == [first]
    assert runner.choose(project.root, ["HEAD", "v1", third[:9]], 1) == [third, first]
    with pytest.raises(commits.CommitError, match="no commit 'v2'"):
        runner.choose(project.root, ["v2"], 1)


def test_what_a_commit_lacks_is_counted_in_rounds(project: Project) -> None:
    commit = project.commits[0]
    assert runner.left(plan(project), commit) == 4
    project.record(commit, speeds(), samples=4)  # as after an interruption
    assert runner.left(plan(project), commit) == 2
    project.record(commit, speeds())
    assert runner.left(plan(project), commit) == 0
    assert runner.left(plan(project, existing=False), commit) == 4
    assert runner.left(plan(project, facts={**plan(project).facts, "torch": "2.14.0"}), commit) == 4


def test_what_failed_was_measured(project: Project) -> None:
    project.record(project.commits[0], [None, *speeds()[1:]])
    assert runner.left(plan(project), project.commits[0]) == 0


def test_a_file_that_asv_cannot_read_is_moved_out_of_its_way(project: Project) -> None:
    path = project.record(project.commits[0], speeds())
    path.write_text("{")
    assert runner.left(plan(project), project.commits[0]) == 4
    assert not path.exists()
    assert path.with_suffix(".json.unreadable").read_text() == "{"


def test_the_pattern_selects_exactly_the_cases() -> None:
    pattern = re.compile(runner.pattern(cases.GATE))
    for name in {*cases.QUICK, *cases.FULL, *cases.GATE}:
        family, strategy, *sizes = name.split("/")
        values = ", ".join(
            [repr(strategy.partition("=")[2]), *(size.partition("=")[2] for size in sizes)]
        )
        assert bool(pattern.search(f"bench_{family}.Any.sampled_any({values})")) == (
            name in cases.GATE
        )


def test_facts_are_of_this_machine_and_name_it_without_being_asked() -> None:
    found = runner.facts(None, device="cpu", dtype="float32", threads=1, data="airfoil")
    assert found["num_cpu"] == str(os.cpu_count())
    assert found["cpython"] == ".".join(map(str, sys.version_info[:3]))
    assert found["machine"].endswith(f"-{os.cpu_count()}")
    assert set(found) >= {
        "os",
        "arch",
        "cpu",
        "ram",
        "torch",
        "blas",
        "threads",
        "device",
        "dtype",
        "data",
    }
    assert all(isinstance(value, str) and value for value in found.values())
    assert (
        runner.facts("mine", device="cpu", dtype="float32", threads=1, data="airfoil")["machine"]
        == "mine"
    )


def test_the_machine_file_keeps_other_machines(tmp_path: Path) -> None:
    path = tmp_path / "machines.json"
    runner.write_machine({"machine": "one", "cpu": "1"}, tmp_path, path)
    runner.write_machine({"machine": "two", "cpu": "2"}, tmp_path, path)
    expected = {
        "one": {"machine": "one", "cpu": "1"},
        "two": {"machine": "two", "cpu": "2"},
        "version": 1,
    }
    assert json.loads(path.read_text()) == expected
    path.write_text("{")
    with pytest.raises(runner.RunnerError, match="not JSON"):
        runner.write_machine({"machine": "two"}, tmp_path, path)


def test_another_machine_of_the_same_name_is_refused(project: Project) -> None:
    project.record(project.commits[0], speeds())
    runner.write_machine(
        {"machine": "counter", **FACTS, "torch": "2.14.0"}, project.results, project.root / "file"
    )
    with pytest.raises(runner.RunnerError, match=r"named counter: num_cpu was 2, is 64.*--machine"):
        runner.write_machine(
            {"machine": "counter", **FACTS, "num_cpu": "64"}, project.results, project.root / "file"
        )


SUITE = """
import time
from benchmarks import cases
import toy

class Toy:
    param_names, params = ["strategy", "n"], [["counted", "absent", "wrong", "endless"], [50, 100]]
    version, rounds, repeat, warmup_time, sample_time = "1", cases.ROUNDS, cases.REPEAT, 0, 0.001
    flops = staticmethod(lambda strategy, n: n)
    timeout = 0.5

    def setup(self, strategy, n):
        if not hasattr(toy, strategy):
            raise NotImplementedError
        self.work = getattr(toy, strategy)

    def sampled_toy(self, strategy, n):
        self.work(n)
"""
CASES = """
ROUNDS, REPEAT = 4, 2
CASES = {"quick": [f"toy/strategy={s}/n={n}" for s in ("counted", "absent", "wrong", "endless") for n in (50, 100)],
         "gate": ["toy/strategy=counted/n=50", "toy/strategy=counted/n=100"]}
"""
PLAIN = "def counted(n):\n    return sum(i * i for i in range(n))\n"
SLOWED = "def counted(n):\n    return sum(i * i for i in range(3 * n))\n"
FAULTY = (
    PLAIN
    + "import time\ndef wrong(n):\n    raise ArithmeticError\ndef endless(n):\n    time.sleep(60)\n"
)


def packaged(root: Path) -> Project:
    """A package without commits, and its suite."""
    project = toy.create(root)
    suite, source = project.root / "benchmarks", project.root / "src" / "toy"
    suite.mkdir()
    source.mkdir(parents=True)
    (project.results / "benchmarks.json").unlink()
    (suite / "__init__.py").write_text((ROOT / "benchmarks" / "__init__.py").read_text())
    (suite / "bench_toy.py").write_text(SUITE)
    (suite / "cases.py").write_text(CASES)
    git(project.root, "add", "benchmarks")
    project.commits.clear()
    return project


def develop(project: Project, *versions: str) -> Project:
    """A commit per version of the package."""
    for text in versions:
        (project.root / "src" / "toy" / "__init__.py").write_text(text)
        git(project.root, "add", "src")
        project.commit()
    return project


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The package: a plain commit, a slowed one, and a faulty one."""
    return develop(packaged(tmp_path_factory.mktemp("package") / "toy"), PLAIN, SLOWED, FAULTY)


def environment(project: Project) -> dict[str, str]:
    """A home of its own, and training data that nobody has to download."""
    home = project.root.parent / "home"
    home.mkdir(exist_ok=True)
    return os.environ | {"HOME": str(home), "FLOPLINE_DATA": "surrogate"}


def flopline(
    project: Project, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """`flopline history` in a package, with nobody to answer a question."""
    command = [sys.executable, "-m", "flopline", "history", *arguments]
    return subprocess.run(
        command,
        cwd=project.root,
        env=environment(project) | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.judges_times
def test_an_existing_environment_measures_commits_in_turns_under_another_name(
    package: Project,
) -> None:
    plain, slowed, _ = package.commits
    asked = ("run", plain, slowed, "--existing", "--machine", "gpu-stand-in", "--scale", "gate")
    done = flopline(package, *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = {run.commit: run for run in results.read(package.results).runs}
    assert set(runs) == {plain, slowed}
    for run in runs.values():
        assert run.machine == "gpu-stand-in"
        assert dict(run.series)["environment"].startswith("existing")
        counts = {
            case.point: len(measure.samples) for case, measure in run.measures.items() if measure
        }
        assert counts == {("'counted'", "50"): 8, ("'counted'", "100"): 8}

    compared = flopline(package, "compare", plain, slowed, "--json")
    record = json.loads(compared.stdout)
    assert compared.returncode == record["exit_code"] == 1
    assert [row["verdict"] for row in record["cases"]] == ["regressed", "regressed"]
    assert all(row["base_gflops"] > 2 * row["head_gflops"] for row in record["cases"])

    before = {path: path.read_bytes() for path in package.results.rglob("*-existing*.json")}
    again = flopline(package, *asked)
    assert again.returncode == 0
    assert "Benchmarking" not in again.stdout
    assert {path: path.read_bytes() for path in package.results.rglob("*-existing*.json")} == before


def test_what_fails_what_hangs_and_what_is_lacking_is_recorded_and_the_run_goes_on(
    package: Project,
) -> None:
    faulty = package.commits[2]
    done = flopline(package, "run", faulty, "--existing", "--machine", "cpu")
    assert done.returncode == 1, done.stdout + done.stderr
    for strategy in ("wrong", "endless"):
        assert f"failed at {faulty[:8]}: bench_toy.Toy.sampled_toy('{strategy}', 50)" in done.stderr
    (run,) = (run for run in results.read(package.results).runs if run.machine == "cpu")
    measured = {case.point[0] for case, measure in run.measures.items() if measure}
    failed = {case.point[0] for case, measure in run.measures.items() if measure is None}
    assert (measured, failed) == ({"'counted'"}, {"'wrong'", "'endless'"})


def test_a_suite_that_cannot_be_imported_is_no_result(package: Project) -> None:
    path = package.root / "benchmarks" / "bench_broken.py"
    path.write_text("import nothing_of_this_name")
    try:
        done = flopline(package, "run", package.commits[0], "--existing", "--machine", "fresh")
    finally:
        path.unlink()
    assert done.returncode == 2
    assert "asv ended with code 1" in done.stderr


BACKEND = '''
import pathlib, zipfile

def build_wheel(folder, settings=None, metadata=None):
    """A wheel of src/toy; a source that does not compile has none."""
    name = "toy-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        for path in pathlib.Path("src").rglob("*.py"):
            compile(path.read_text(), str(path), "exec")
            wheel.write(path, path.relative_to("src"))
        wheel.writestr("toy-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: toy\\nVersion: 1\\n")
        wheel.writestr("toy-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("toy-1.dist-info/RECORD", "")
    return name
'''
BUILD = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def wheel_of(name: str, folder: Path) -> None:
    """A wheel made of an installed distribution, so that asv's environment needs no index."""
    found = metadata.distribution(name)
    with zipfile.ZipFile(folder / f"{name}-{found.version}-py3-none-any.whl", "w") as wheel:
        for file in found.files or []:
            if "__pycache__" not in file.parts and ".." not in file.parts:
                wheel.write(str(file.locate()), str(file))


@pytest.fixture(scope="module")
def buildable(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, str]]:
    """The package with its commits plain, broken, slowed, which asv builds; and what it needs to do so offline."""
    root = tmp_path_factory.mktemp("buildable")
    project = packaged(root / "toy")
    (project.root / "backend.py").write_text(BACKEND)
    (project.root / "pyproject.toml").write_text(BUILD)
    ours = util.load_json(str(ROOT / "asv.conf.json"), js_comments=True)
    configuration = toy.CONFIGURATION | {
        "env_dir": ".asv/env",
        "pythons": [f"{sys.version_info.major}.{sys.version_info.minor}"],
        **{name: ours[name] for name in ("build_command", "install_command", "launch_method")},
    }
    (project.root / "asv.conf.json").write_text(json.dumps(configuration))
    git(project.root, "add", "backend.py", "pyproject.toml", "asv.conf.json")
    develop(project, PLAIN, "def counted(n:\n", SLOWED)
    for name in ("asv_runner", "build", "packaging", "pympler", "pyproject_hooks", "wheel"):
        wheel_of(name, root)
    return project, {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(root)}


def test_a_commit_that_does_not_build_is_recorded_and_an_interrupted_run_goes_on_where_it_was(
    buildable: tuple[Project, dict[str, str]],
) -> None:
    project, offline = buildable
    plain, broken, slowed = project.commits
    asked = ("run", plain, broken, slowed, "--machine", "cpu", "--scale", "gate")
    process = subprocess.Popen(
        [sys.executable, "-m", "flopline", "history", *asked],
        cwd=project.root, env=environment(project) | offline, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    with process:
        heard = []
        for line in process.stdout:
            heard.append(line)
            if list(project.results.glob(f"cpu/{plain[:8]}-*.json")):
                os.killpg(process.pid, signal.SIGINT)
                break
        heard += process.stdout
    assert process.returncode == 2, "".join(heard)
    assert "what was measured is kept, and the next call goes on" in "".join(heard)

    done = flopline(project, *asked, **offline)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"failed at {broken[:8]}" in done.stderr
    runs = {run.commit: run for run in results.read(project.results).runs}
    assert set(runs) == {plain, broken, slowed}
    for commit in (plain, slowed):
        measured = {case.point: len(m.samples) for case, m in runs[commit].measures.items() if m}
        assert measured == {("'counted'", "50"): 8, ("'counted'", "100"): 8}
    assert not any(runs[broken].measures.values())

    again = flopline(project, *asked, **offline)
    assert "Building" not in again.stdout
    assert again.returncode == 1
    assert flopline(project, "compare", plain, slowed).returncode == 1
