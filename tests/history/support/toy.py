"""A small project with a history: real commits, and results that asv itself wrote."""

from __future__ import annotations

import itertools
import json
import math
import os
import shutil
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
COMBINATIONS = list(itertools.product(STRATEGIES, SIZES))
FLOPS = [2 * n**3 for _, n in COMBINATIONS]
SECONDS = 1e-4
PLANTED = 9
"""Where `plant` changes the speeds: the index of the first changed commit."""

SLOWER, FASTER = 1.4, 0.7
"""The factors by which `plant` changes the seconds of `slowed` and `quickened`."""

FACTS = {
    "os": "Linux",
    "arch": "x86_64",
    "cpu": "Counter 1",
    "num_cpu": "2",
    "ram": "8 GiB",
    "torch": "2.13.0",
}

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


def git(folder: Path, *arguments: str, date: str = "2026-01-01T12:00:00") -> str:
    """Returns what git prints; commits are Ada's, of a given date."""
    environment = {**os.environ, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    for role in ("AUTHOR", "COMMITTER"):
        environment[f"GIT_{role}_NAME"] = "Ada"
        environment[f"GIT_{role}_EMAIL"] = "ada@example.org"
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *arguments],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@dataclass
class Project:
    """A checkout with a results folder.

    Attributes:
        root: The checkout.
        commits: The full hashes of its commits, the oldest first.
    """

    root: Path
    commits: list[str] = field(default_factory=list)

    @property
    def results(self) -> Path:
        return self.root / ".asv" / "results"

    def copy(self, root: Path) -> Project:
        """Returns a copy of the checkout, in which anything may be changed."""
        shutil.copytree(self.root, root)
        return Project(root, list(self.commits))

    def commit(self, name: str = "") -> str:
        """Adds a commit, on a day of its own."""
        (self.root / "change").write_text(f"{name} {len(self.commits)}")
        git(self.root, "add", "change")
        date = f"2026-01-{len(self.commits) + 1:02}T12:00:00"
        git(self.root, "commit", "-qm", f"change {name}", date=date)
        self.commits.append(git(self.root, "rev-parse", "HEAD"))
        return self.commits[-1]

    def record(
        self,
        commit: str,
        seconds: Sequence[float | None],
        *,
        machine: str = "counter",
        facts: Mapping[str, str] = FACTS,
        samples: int = 8,
        spread: float = 0.01,
        version: str = "1",
    ) -> Path:
        """Lets asv write the results of a commit, and returns their file.

        Args:
            commit: The commit.
            seconds: The medians of all combinations, roughly. None stands for a failure, NaN for
                a combination that is not available.
            machine: The machine's name.
            facts: The machine's facts.
            samples: How many samples there are of each combination.
            spread: The standard deviation of the samples' logarithms.
            version: The benchmark's version.
        """
        generator = np.random.default_rng(zlib.crc32(f"{commit} {machine}".encode()))
        taken: list[list[float] | None] = []
        for median in seconds:
            if median is None or math.isnan(median):
                taken.append(None)
            else:
                taken.append((median * generator.lognormal(0, spread, samples)).tolist())
        measured = asv_runner.BenchmarkResult(
            result=list(seconds),
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
        stored = asv_results.Results(
            {**machine_facts, "python": "3.11"},
            {},
            commit,
            1000 * int(git(self.root, "show", "-s", "--format=%ct", commit)),
            "3.11",
            "existing",
            {"OMP_NUM_THREADS": "1"},
        )
        stored.add_result({**BENCHMARK, "version": version}, measured, record_samples=True)
        stored.save(str(self.results))
        (path,) = folder.glob(f"{commit[:8]}-*.json")
        return path


def speeds(**factors: float) -> list[float | None]:
    """Returns the seconds of every combination, those of some strategies times a factor."""
    return [SECONDS * (n / 64) ** 3 * factors.get(strategy, 1.0) for strategy, n in COMBINATIONS]


def create(root: Path) -> Project:
    """Makes a checkout with three commits, a configuration, and no results of a commit."""
    root.mkdir()
    git(root, "init", "-q")
    project = Project(root)
    (root / "asv.conf.json").write_text("// asv takes comments\n" + json.dumps(CONFIGURATION))
    project.results.mkdir(parents=True)
    util.write_json(str(project.results / "benchmarks.json"), {NAME: BENCHMARK}, 2)
    for _ in range(3):
        project.commit()
    return project


def plant(project: Project) -> Project:
    """Measures fourteen commits, the seventh of which is tagged.

    In the last five `slowed` is slower and `quickened` is faster.
    """
    while len(project.commits) < 14:
        project.commit()
    git(project.root, "tag", "v1", project.commits[6])
    for index, commit in enumerate(project.commits):
        changed = index >= PLANTED
        seconds = speeds(slowed=SLOWER, quickened=FASTER) if changed else speeds()
        project.record(commit, seconds)
    return project
