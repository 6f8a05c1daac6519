"""A small project with a history: real commits, and results that asv itself wrote."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from asv import results as asv_results
from asv import runner as asv_runner
from asv import util

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NAME = "bench_toy.Toy.sampled_product"
STRATEGIES, SIZES = ["slowed", "quickened", "steady"], [64, 128]
POINTS = list(itertools.product(STRATEGIES, SIZES))
FLOPS = [2 * n**3 for _, n in POINTS]
SECONDS = 1e-4
PLANTED = 9
"""Where `plant` changes the speeds: the index of the first changed commit."""
FACTS = {
    "os": "Linux",
    "arch": "x86_64",
    "cpu": "Counter 1",
    "num_cpu": "2",
    "ram": "8 GiB",
    "torch": "2.13.0",
}


IDENTITY = {"NAME": "Ada", "EMAIL": "ada@example.org"}


def git(folder: Path, *arguments: str, date: str = "2026-01-01T12:00:00") -> str:
    """What git prints; commits are Ada's, of a given date."""
    who = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in IDENTITY.items()
    }
    env = {**os.environ, **who, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    command = ["git", "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(
        command, cwd=folder, env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


CONFIGURATION = {
    "version": 1,
    "project": "toy",
    "repo": ".",
    "branches": ["HEAD"],
    "plugins": [".flopline.history.publish"],
    "environment_type": "virtualenv",
    "benchmark_dir": "benchmarks",
    "results_dir": ".asv/results",
    "html_dir": ".asv/html",
    "regressions_thresholds": {r"bench_toy\.": 0.05},
}


@dataclass
class Project:
    """A checkout with a results folder.

    Attributes:
        root: The checkout.
        commits: Hashes, oldest first.
    """

    root: Path
    commits: list[str] = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.root / ".asv" / "results"

    def commit(self, name: str = "") -> str:
        """One commit more, on a day of its own."""
        (self.root / "change").write_text(f"{name} {len(self.commits)}")
        git(self.root, "add", "change")
        git(
            self.root,
            "commit",
            "-qm",
            f"change {name}",
            date=f"2026-01-{len(self.commits) + 1:02}T12:00:00",
        )
        self.commits.append(git(self.root, "rev-parse", "HEAD"))
        return self.commits[-1]

    def record(
        self,
        commit: str,
        times: Sequence[float | None],
        *,
        machine: str = "counter",
        facts: Mapping[str, str] = FACTS,
        samples: int = 8,
        spread: float = 0.01,
        version: str = "1",
    ) -> Path:
        """Lets asv write the results of a commit: medians near `times`; None is a failure, NaN is n/a."""
        generator = np.random.default_rng(zlib.crc32(f"{commit} {machine}".encode()))
        taken = [
            None
            if time is None or math.isnan(time)
            else (time * generator.lognormal(0, spread, samples)).tolist()
            for time in times
        ]
        done = asv_runner.BenchmarkResult(
            result=[None if time is None else time for time in times],
            samples=taken,
            number=[None if sample is None else 1 for sample in taken],
            errcode=0,
            stderr="",
            profile=None,
        )
        machine_facts = {"machine": machine, **facts}
        folder = self.results / machine
        folder.mkdir(parents=True, exist_ok=True)
        util.write_json(str(folder / "machine.json"), machine_facts, 1)
        date = 1000 * int(git(self.root, "show", "-s", "--format=%ct", commit))
        params = {**machine_facts, "python": "3.11"}
        found = asv_results.Results(
            params, {}, commit, date, "3.11", "existing", {"OMP_NUM_THREADS": "1"}
        )
        found.add_result({**BENCHMARK, "version": version}, done, record_samples=True)
        found.save(str(self.results))
        (path,) = folder.glob(f"{commit[:8]}-*.json")
        return path


BENCHMARK = {
    "name": NAME,
    "param_names": ["strategy", "n"],
    "params": [[repr(name) for name in STRATEGIES], [str(n) for n in SIZES]],
    "code": "def sampled_product(...)",
    "type": "time",
    "unit": "seconds",
    "version": "1",
    "flops_per_call": FLOPS,
}


def speeds(**factors: float) -> list[float | None]:
    """The seconds of every combination, those of some strategies times a factor."""
    return [SECONDS * (n / 64) ** 3 * factors.get(strategy, 1.0) for strategy, n in POINTS]


def create(root: Path) -> Project:
    """A checkout with three commits, a configuration, and no results of a commit."""
    root.mkdir()
    git(root, "init", "-q")
    found = Project(root)
    (root / "asv.conf.json").write_text("// asv takes comments\n" + json.dumps(CONFIGURATION))
    found.results.mkdir(parents=True)
    util.write_json(str(found.results / "benchmarks.json"), {NAME: BENCHMARK}, 2)
    for _ in range(3):
        found.commit()
    return found


def plant(project: Project) -> Project:
    """Fourteen measured commits, the seventh tagged; the last five are slower in `slowed`, faster in `quickened`."""
    while len(project.commits) < 14:
        project.commit()
    git(project.root, "tag", "v1", project.commits[6])
    for i, commit in enumerate(project.commits):
        project.record(commit, speeds(slowed=1.4, quickened=0.7) if i >= PLANTED else speeds())
    return project
