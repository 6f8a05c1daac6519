"""Measures the gate's own error rates on this machine and suite, and writes them to docs/calibration.md.

    python docs/calibrate.py RUNS -- PYTEST_ARGUMENTS...

Four experiments, in turns so that the machine's moods are shared: identical code; five benchmarks slowed by exactly 3 %
(the candidate's readings are stretched); five slowed by exactly 2 % with --detect 2%; and identical code through
pytest-benchmark's own comparison.
"""

from __future__ import annotations

import datetime as dt
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from flopline.gate import child, environments, procedure
from flopline.gate.record import Record, Settings

ROOT = Path(__file__).parents[1]
SLOWED = 5
THRESHOLDS = ("mean:5%", "min:5%", "median:5%")


@dataclass
class Tally:
    """What an experiment has found so far."""

    title: str
    slowed: int = 0
    found: int = 0
    alarms: int = 0
    undecided: int = 0
    seconds: list[float] = field(default_factory=list)
    benchmarks: list[int] = field(default_factory=list)

    def add(self, record: Record, slowed: set[str]) -> None:
        """Counts one run; an alarm is a run in which anything was flagged that was not slowed."""
        red = {row.id for row in record.comparisons if row.verdict == "regressed"}
        self.slowed += len(slowed)
        self.found += len(red & slowed)
        self.alarms += bool(red - slowed)
        self.undecided += record.exit_code > 1
        self.seconds.append(record.seconds)
        self.benchmarks.append(sum(row.verdict == "inconclusive" for row in record.comparisons))

    def row(self) -> str:
        """As a row of Markdown."""
        found = f"{self.found} of {self.slowed}" if self.slowed else ""
        return (
            f"| {self.title} | {len(self.seconds)} | {self.alarms} | {found} | {self.undecided} | "
            f"{statistics.median(self.benchmarks):.0f} | {statistics.median(self.seconds):.0f} s |"
        )


def peers(arguments: list[str]) -> tuple[dict[str, bool], float]:
    """Whether pytest-benchmark's own comparison of two runs of this checkout fails, by threshold; and its seconds."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        common = [
            sys.executable,
            "-m",
            "pytest",
            *arguments,
            "-q",
            f"--benchmark-storage={folder}",
            "-p",
            "no:cacheprovider",
        ]
        subprocess.run([*common, "--benchmark-save=first"], cwd=ROOT, check=True, capture_output=True)  # noqa: S603
        failed = {}
        for threshold in THRESHOLDS:
            compare = ["--benchmark-compare=0001", f"--benchmark-compare-fail={threshold}"]
            done = subprocess.run([*common, *compare], cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603
            failed[threshold] = "PerformanceRegression" in done.stdout + done.stderr
    return failed, (time.monotonic() - begin) / 2


def main() -> None:
    """Runs the experiments and writes the page anew after every round, so that an interrupted run is not lost."""
    runs, arguments = int(sys.argv[1]), sys.argv[sys.argv.index("--") + 1 :]
    three = Settings(detect=0.03, arguments=tuple(arguments), budget=600)
    two = Settings(detect=0.02, arguments=tuple(arguments), budget=600)
    tallies = [Tally("identical code"), Tally("five slowed by 3 %"), Tally("five slowed by 2 %, `--detect 2%`")]
    alarms, peer_seconds = dict.fromkeys(THRESHOLDS, 0), []
    with environments.sides(ROOT, "HEAD", "HEAD") as (baseline, candidate):
        names = list(child.collect([baseline], arguments)[0].items)
        for number in range(runs):
            for tally, settings, slowdown in zip(tallies, (three, three, two), (0, 0.03, 0.02), strict=True):
                slowed = set(random.SystemRandom().sample(names, SLOWED)) if slowdown else set()
                stretch = dict.fromkeys(slowed, float(slowdown))
                tally.add(procedure.run(baseline, candidate, settings, slowdown=stretch), slowed)
                sys.stderr.write(f"round {number + 1} of {runs}: {tally.row()}\n")
            failed, seconds = peers(arguments)
            peer_seconds.append(seconds)
            alarms = {threshold: alarms[threshold] + failed[threshold] for threshold in THRESHOLDS}
            text = page(tallies, alarms, peer_seconds, len(names), baseline.version.commit)
            (ROOT / "docs" / "calibration.md").write_text(text)


def page(tallies: list[Tally], alarms: dict[str, int], seconds: list[float], benchmarks: int, commit: str) -> str:
    """The page that documents the experiments."""
    machine = procedure.machine()
    rows = [tally.row() for tally in tallies]
    rows += [
        f"| identical code, pytest-benchmark `--benchmark-compare-fail={threshold}` | {len(seconds)} | {count} | | | | "
        f"{statistics.median(seconds):.0f} s |"
        for threshold, count in alarms.items()
    ]
    return f"""# Calibration: the gate's error rates, measured

Written by `python -m nox -s calibrate -- {len(seconds)}` on {dt.datetime.now(dt.UTC):%Y-%m-%d}, commit {commit[:12]}:
{machine["cpu"]}, {machine["cpus"]} CPUs, {machine["os"]}; {benchmarks} benchmarks of the scale `gate`.

| experiment | runs | runs with a false alarm | slowed benchmarks found | runs without an answer | inconclusive \
benchmarks, median | wall time, median |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}

A slowdown is exact: the candidate's readings are stretched, everything else is real. Seconds of pytest-benchmark are
those of one run and its comparison.
"""


if __name__ == "__main__":
    main()
