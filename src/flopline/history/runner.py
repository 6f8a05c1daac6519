"""Measuring commits with asv, without a question at a prompt: which commits, on what machine, in which environment.

Two environments: asv's own, built once (CPU runners), or the one this program runs in (`existing`; GPU runners, where
nobody wants a second CUDA build of torch). In the second, each commit's sources are put before the installed package,
and the commits take turns, so that a drift of the machine hits all of them alike.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flopline.history import commits
from flopline.history.results import HARDWARE, Case, ResultsError, Run, read_run
from flopline.workload import Case as Name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class RunnerError(RuntimeError):
    """The commits could not be measured."""


@dataclass(frozen=True)
class Plan:
    """How commits are measured.

    Attributes:
        root: The checkout; its suite measures every commit.
        results: asv's results folder.
        names: The cases, by name.
        scale: Whose cases they are.
        device: `cpu` or a CUDA device.
        dtype: Of the operands.
        rounds: Processes per case.
        repeat: Samples per process.
        facts: Of the machine, by name; `machine` is its name.
        existing: Whether to measure in this program's environment.
    """

    root: Path
    results: Path
    names: Sequence[str]
    scale: str
    device: str
    dtype: str
    rounds: int
    repeat: int
    facts: Mapping[str, str]
    existing: bool

    @property
    def machine(self) -> str:
        """The machine's name."""
        return self.facts["machine"]


def facts(name: str | None, *, device: str, dtype: str, threads: int, data: str) -> dict[str, str]:
    """What this machine and this run are; every fact becomes a selector in the pages where machines differ in it.

    Args:
        name: Of the machine; by default made of processor, cores and GPU, so that equal machines share a history.
        device: Where cases run.
        dtype: Of the operands.
        threads: Of torch and BLAS.
        data: Which training set is in use.
    """
    import torch

    from flopline import machine

    known = machine.describe()
    found = {
        "os": _system(),
        "arch": platform.machine(),
        "cpu": str(known["cpu"]),
        "num_cpu": str(known["cores"]),
        "ram": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "cpython": platform.python_version(),
        "torch": str(known["torch"]),
        "blas": str(known["blas"]),
        "threads": str(threads),
        "device": device,
        "dtype": dtype,
        "data": data,
    }
    if device != "cpu":
        found |= {
            "gpu": torch.cuda.get_device_name(device),
            "cuda": str(torch.version.cuda),
            "driver": _driver(),
        }
    default = (
        "-".join(_slug(found[key]) for key in ("cpu", "gpu") if key in found)
        + f"-{found['num_cpu']}"
    )
    return {"machine": name or default, **found}


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _driver() -> str:
    """The NVIDIA driver's version; torch does not know it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown"
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip().partition("\n")[0] or "unknown"


def _slug(text: str) -> str:
    return re.sub(
        r"[^a-z0-9]+",
        "-",
        re.sub(r"\((R|TM)\)|processor|cpu", "", text, flags=re.IGNORECASE).lower(),
    ).strip("-")


def write_machine(found: Mapping[str, str], results: Path, path: Path | None = None) -> None:
    """Writes asv's machine file, other machines' entries kept, so that asv never asks.

    Raises:
        RunnerError: The results of this name are of other hardware, or the file is not asv's.
    """
    recorded = results / found["machine"] / "machine.json"
    if recorded.is_file():
        known = json.loads(recorded.read_text(encoding="utf-8"))
        changed = [
            key
            for key in HARDWARE
            if key in known and key in found and str(known[key]) != found[key]
        ]
        if changed:
            what = "; ".join(f"{key} was {known[key]}, is {found[key]}" for key in changed)
            raise RunnerError(
                f"another machine is named {found['machine']}: {what}. Choose a name with --machine"
            )
    target = path or Path.home() / ".asv-machine.json"
    try:
        listed = (
            json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {"version": 1}
        )
    except ValueError as error:
        raise RunnerError(f"{target} is not JSON ({error}); repair or remove it") from None
    listed[found["machine"]] = dict(found)
    target.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


def choose(root: Path, revisions: Sequence[str], newest: int) -> list[str]:
    """The commits to measure, each once: a range, tags, revisions, the word `tags` for all, or else the newest.

    Raises:
        CommitError: Git knows no such commit.
    """
    chosen: list[str] = []
    for revision in revisions:
        if revision == "tags":
            chosen += commits.tags(root).values()
        elif ".." in revision:
            chosen += commits.between(root, revision)
        else:
            chosen.append(commits.resolve(root, revision))
    return list(dict.fromkeys(chosen if revisions else commits.line(root)[: -newest - 1 : -1]))


def pattern(names: Iterable[str]) -> str:
    """The regular expression that selects cases for asv's --bench; what it leaves out is not even started."""
    points = []
    for case in map(Name.parse, names):
        values = ", ".join([repr(case.strategy), *map(str, case.axes.values())])
        points.append(rf"bench_{case.family}\..*\({re.escape(values)}\)")
    return f"^({'|'.join(points)})$"


def left(plan: Plan, commit: str) -> int:
    """How many rounds a commit still lacks here; a file that asv could not read is moved out of its way.

    A case that failed, or that the commit lacks, counts as measured.
    """
    most = plan.rounds
    wanted = {
        (case.family, (repr(case.strategy), *map(str, case.axes.values())))
        for case in map(Name.parse, plan.names)
    }
    for path in sorted((plan.results / plan.machine).glob(f"{commit[:8]}-*.json")):
        try:
            run = read_run(path)
        except ResultsError:
            path.rename(path.with_suffix(".json.unreadable"))
            continue
        if run.commit != commit or plan.facts.items() - {("machine", plan.machine)} - set(
            run.series
        ):
            continue
        if plan.existing == run_exists(run):
            most = min(most, plan.rounds - _rounds(run, wanted, plan.repeat))
    return max(0, most)


def run_exists(run: Run) -> bool:
    """Whether a run was measured in an existing environment."""
    return dict(run.series)["environment"].startswith("existing")


def _rounds(run: Run, wanted: set[tuple[str, tuple[str, ...]]], repeat: int) -> int:
    """The rounds of the selected case that has fewest; many where none has a number."""

    def asked(case: Case) -> bool:
        return (case.benchmark.partition(".")[0].removeprefix("bench_"), case.point) in wanted

    counts = [
        len(measure.samples) // repeat
        for case, measure in run.measures.items()
        if measure and asked(case)
    ]
    return min(counts, default=sys.maxsize)


def run(plan: Plan, chosen: Sequence[str]) -> None:
    """Measures what the chosen commits lack; what was measured before an interruption stays.

    Raises:
        RunnerError: asv could not work: no commit could be built, or asv itself failed.
    """
    lacking = {commit: rounds for commit in chosen if (rounds := left(plan, commit))}
    if not lacking:
        return
    if plan.existing:
        _run_here(plan, lacking)
        return
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "commits"
        listed.write_text("\n".join(lacking) + "\n", encoding="ascii")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        # In turns, round by round, so that a drift of the machine hits all of them alike.
        turns = ["--interleave-rounds"] if len(lacking) > 1 else []
        _asv(
            plan,
            {},
            "-E",
            f"virtualenv:{version}",
            "--record-samples",
            *turns,
            f"HASHFILE:{listed}",
        )


def _run_here(plan: Plan, lacking: Mapping[str, int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sources = {commit: _export(plan.root, commit, Path(folder) / commit) for commit in lacking}
        order = list(lacking)
        for turn in range(plan.rounds):
            order.reverse()
            for commit in order:
                if turn < lacking[commit]:
                    options = ("-E", f"existing:{sys.executable}", "--set-commit-hash", commit)
                    extra = {"ASV_PYTHONPATH": str(sources[commit])}
                    _asv(plan, extra, *options, "-a", "rounds=1", "--append-samples")


def _export(root: Path, commit: str, target: Path) -> Path:
    """The folder that holds a commit's package."""
    packed = subprocess.run(
        ["git", "archive", commit, "src"],
        cwd=root,
        capture_output=True,
        check=False,
    )
    if packed.returncode:
        raise RunnerError(
            f"{commit[:8]} has no folder src: {packed.stderr.decode(errors='replace').strip()}"
        )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        # As an argument it came with Python 3.11.4, which Debian 12 does not have.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(target)  # noqa: S202  # git made it, of this repository
    return target / "src"


def _asv(plan: Plan, extra: Mapping[str, str], *arguments: str) -> None:
    command = [
        *(
            sys.executable,
            "-m",
            "asv",
            "run",
            "--machine",
            plan.machine,
            "--bench",
            pattern(plan.names),
        ),
        *("--show-stderr", *arguments),
    ]
    env = {
        **os.environ,
        "FLOPLINE_SCALE": plan.scale,
        "FLOPLINE_DEVICE": plan.device,
        "FLOPLINE_DTYPE": plan.dtype,
        "OMP_NUM_THREADS": plan.facts["threads"],
        **extra,
    }
    with subprocess.Popen(
        command, cwd=plan.root, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as asv:
        assert asv.stdout is not None  # noqa: S101  # it was asked for
        for line in asv.stdout:
            if not line.rstrip().endswith(
                " n/a"
            ):  # the parameters are those of all scales: hundreds that are not run
                sys.stdout.write(line)
                sys.stdout.flush()
    if asv.returncode not in (0, 2):  # 2: a benchmark failed, which is recorded
        raise RunnerError(f"asv ended with code {asv.returncode}; what it said stands above")
