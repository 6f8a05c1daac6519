"""Measures the gate's error rates on this machine and suite, and writes docs/calibration.md.

    python docs/calibrate.py RUNS [EXPERIMENT...] -- PYTEST_ARGUMENTS...

RUNS is how often identical code is compared; every other experiment has its share of that. Each run
is written as a line of docs/calibration.jsonl when it ends, so that a calibration that was
interrupted continues where it was.
"""

from __future__ import annotations

import ast
import datetime as dt
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopline import git
from flopline.gate.measure.pair import list_benchmarks
from flopline.gate.record import ExitCode, Settings
from flopline.gate.run import run
from flopline.gate.selfcheck import Trial, choose_slowed, try_slowdown
from flopline.gate.sides.environment import sides
from flopline.machine import hardware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from flopline.gate.sides.environment import Side

    Sides = tuple[Side, Side]

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "docs" / "calibration.jsonl"
PAGE = ROOT / "docs" / "calibration.md"
FIELDS = ("mean", "min", "median")
"""The statistics that pytest-benchmark can compare."""
MORE_WORK = "    torch.mm(b[: b.shape[0] // 32], c)\n"
CHANGED = ("row_block", "column_block", "tile", "full", "full_assign")
"""Strategies that get `MORE_WORK`, which is 3 % more arithmetic.

It takes 5 % more time or more, because a product of few rows is slow.
"""
COMMIT = ("-c", "user.name=calibrate", "-c", "user.email=", "commit", "-q")
BUDGET = 600.0

COLUMNS = (
    "pair",
    "asked",
    "runs",
    "runs with a false alarm (false alarms)",
    "slowed benchmarks found",
    "wall time, median",
)

Line = dict[str, Any]
"""The result of one run, as it is written to the file."""


@dataclass(frozen=True)
class Experiment:
    """A kind of run.

    Attributes:
        share: How many of these runs there are for each run on identical code.
        title: Which pair of versions is compared; empty if there are several.
    """

    share: float
    title: str = ""


EXPERIMENTS = {
    "identical": Experiment(1.0, "identical code"),
    "slowed 3": Experiment(0.5, "five benchmarks slowed by exactly 3 %"),
    "changed 5": Experiment(0.1, "five strategies changed to compute 3 % more rows"),
    "slowed 2": Experiment(0.2, "five slowed by exactly 2 %, `--detect 2%`"),
    "pytest-benchmark": Experiment(0.1),
    "asv": Experiment(0.05),
}


# The changed version


@contextmanager
def changed_checkout() -> Iterator[Path]:
    """Makes a clone of this checkout whose last commit makes five strategies do more."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "main"
        git.run(ROOT, "clone", "-q", str(ROOT), str(clone))
        file = clone / "src" / "flopline" / "matmul.py"
        file.write_text(with_more_work(file.read_text()))
        git.run(clone, *COMMIT, "-am", "Compute 3 % more rows")
        yield clone


def with_more_work(source: str) -> str:
    """Returns a module's source with `MORE_WORK` after the docstrings of the changed strategies."""
    lines = source.splitlines(keepends=True)
    ends = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name in CHANGED:
            ends[node.name] = node.body[0].end_lineno or 0
    missing = sorted(set(CHANGED) - set(ends))
    if missing:
        raise SystemExit(f"src/flopline/matmul.py has no function {', '.join(missing)}")
    for end in sorted(ends.values(), reverse=True):
        lines.insert(end, MORE_WORK)
    return "".join(lines)


def is_changed(benchmark: str) -> bool:
    """Returns whether a benchmark, by pytest's name or asv's, is of a changed strategy."""
    strategies = "|".join(CHANGED)
    return re.search(rf"(strategy=|')({strategies})['/]", benchmark) is not None


# The gate


def benchmarks_of(side: Side, arguments: Sequence[str]) -> list[str]:
    """Returns the node ids of a side's benchmarks."""
    (collected,) = list_benchmarks([side], arguments)
    return list(collected.items)


def slowed_run(pair: Sides, arguments: Sequence[str], detect: float, slowdown: float) -> Line:
    """Runs the gate with five benchmarks stretched by `slowdown`, or with none if it is zero."""
    slowed: frozenset[str] = frozenset()
    if slowdown:
        slowed = choose_slowed(benchmarks_of(pair[0], arguments))
    settings = Settings(detect=detect, arguments=tuple(arguments), budget=BUDGET)
    return line_of(try_slowdown(*pair, settings, slowed, slowdown))


def changed_run(pair: Sides, arguments: Sequence[str]) -> Line:
    """Runs the gate with the changed strategies on the candidate's side."""
    slower = frozenset(name for name in benchmarks_of(pair[0], arguments) if is_changed(name))
    settings = Settings(detect=0.03, arguments=tuple(arguments), budget=BUDGET)
    return line_of(Trial(run(*pair, settings), slower))


def line_of(trial: Trial) -> Line:
    """Returns what a run of the gate found, and what it should have found."""
    record = trial.record
    changes = {row.id: row.change for row in record.comparisons if row.id in trial.slowed}
    return {
        "seconds": round(record.seconds, 1),
        "exit": record.exit_code,
        "slowed": len(trial.slowed),
        "found": len(trial.found),
        "false": sorted(trial.false),
        "missed": {name: change for name, change in changes.items() if name in trial.missed},
        "changes": list(changes.values()),
        "inconclusive": sum(row.verdict == "inconclusive" for row in record.comparisons),
        "confirmed": sum(block.stage == "confirm" for block in record.blocks),
    }


# pytest-benchmark


def pytest_benchmark(
    side: Side, arguments: Sequence[str], *options: str
) -> tuple[dict[str, set[str]], float]:
    """Runs pytest-benchmark.

    Returns:
        The benchmarks that fail its comparison, by field, and the run's seconds.
    """
    begin = time.monotonic()
    command = [side.python, "-m", "pytest", *arguments, "-q", "-p", "no:cacheprovider"]
    # The clock rate of the processor differs between runs, and the suite makes warnings errors.
    command += ["-W", "ignore::pytest_benchmark.logger.PytestBenchmarkWarning"]
    done = subprocess.run(
        [*command, *options],
        cwd=side.tree,
        env={**os.environ, **side.environment},
        check=False,
        capture_output=True,
        text=True,
    )
    output = done.stdout + done.stderr
    if done.returncode and "Performance has regressed:" not in output:
        raise SystemExit(f"pytest-benchmark on the {side.name} did not pass:\n{output[-2000:]}")
    failed: dict[str, set[str]] = {field: set() for field in FIELDS}
    pattern = r"^\s+(\S.*) \(0001_\w*\) - Field '(\w+)' has failed"
    for name, field in re.findall(pattern, output, re.MULTILINE):
        failed[field].add(name)
    return failed, time.monotonic() - begin


def pytest_benchmark_runs(pair: Sides, arguments: Sequence[str]) -> Iterator[Line]:
    """Compares the same three pairs with pytest-benchmark's --benchmark-compare-fail at 5 %."""
    # One option with several values: if it were given several times, only the last would count.
    fail = ["--benchmark-compare-fail", *(f"{field}:5%" for field in FIELDS)]
    _, first = pytest_benchmark(pair[0], arguments, "--benchmark-save=baseline")
    # pytest-benchmark looks for it in the same place.
    (saved,) = Path(pair[0].tree, ".benchmarks").rglob("0001_*.json")
    record = saved.read_text()
    names = [entry["name"] for entry in json.loads(record)["benchmarks"]]
    drawn = choose_slowed(names)
    changed = {name for name in names if is_changed(name)}
    try:
        for experiment, side, slower in (
            ("identical", pair[0], set()),
            ("slowed 3", pair[0], drawn),
            ("changed 5", pair[1], changed),
        ):
            shortened = drawn if experiment == "slowed 3" else frozenset[str]()
            target = side.tree / saved.relative_to(pair[0].tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(with_shorter_times(record, shortened)))
            compare = ["--benchmark-compare=0001", *fail]
            failed, seconds = pytest_benchmark(side, arguments, *compare)
            for field in FIELDS:
                yield {
                    "pair": experiment,
                    "rule": f"pytest-benchmark `--benchmark-compare-fail={field}:5%`",
                    "seconds": round(first + seconds, 1),
                    "slowed": len(slower),
                    "found": len(failed[field] & slower),
                    "false": sorted(failed[field] - slower),
                }
    finally:
        for side in pair:
            shutil.rmtree(side.tree / ".benchmarks", ignore_errors=True)


def with_shorter_times(record: str, benchmarks: frozenset[str]) -> dict[str, Any]:
    """Returns a saved baseline in which some benchmarks were faster by exactly 3 %."""
    shortened: dict[str, Any] = json.loads(record)
    for entry in shortened["benchmarks"]:
        if entry["name"] in benchmarks:
            for field in FIELDS:
                entry["stats"][field] /= 1.03
    return shortened


# asv


def asv_pattern(benchmark: str) -> str:
    """Returns a pattern for asv's name of `...[family/strategy=NAME/axis=NUMBER]`."""
    case = benchmark.partition("[")[2].rstrip("]").replace("strategy=", "")
    family, strategy, *axes = case.split("/")
    sizes = [axis.partition("=")[2] for axis in axes]
    point = ", ".join([repr(strategy), *sizes])
    return rf"bench_{family}\..*\({re.escape(point)}\)"


def asv_runs(clone: Path, benchmarks: Sequence[str]) -> Iterator[Line]:
    """Compares two pairs with `asv continuous`, at its own factor and at 1.05.

    The pairs are identical code and the changed strategies.
    """
    with tempfile.TemporaryDirectory() as home:  # asv keeps there what it knows about a machine
        cache = {"PIP_CACHE_DIR": f"{Path.home()}/.cache/pip"}
        environment = {**os.environ, "HOME": home, "FLOPLINE_SCALE": "gate", **cache}

        def asv(*arguments: str) -> str:
            command = [sys.executable, "-m", "asv", *arguments]
            done = subprocess.run(
                command, cwd=clone, env=environment, check=False, capture_output=True, text=True
            )
            return done.stdout + done.stderr

        changed, base = git.run(clone, "rev-parse", "HEAD", "HEAD~1").split()
        git.run(clone, "checkout", "-q", "--detach", base)
        git.run(clone, *COMMIT, "--allow-empty", "-m", "Change nothing")
        same = git.run(clone, "rev-parse", "HEAD")
        here = ("--machine", "here")

        # This builds the environment once. `asv setup` ends with code 1 although it worked.
        output = asv("machine", "--yes", *here) + asv("setup")
        if not list((clone / ".asv" / "env").glob("*/bin/python")):
            raise SystemExit(f"asv built no environment:\n{output[-2000:]}")
        patterns = "|".join(asv_pattern(name) for name in benchmarks)
        for experiment, candidate in (("identical", same), ("changed 5", changed)):
            begin = time.monotonic()
            own = ("--factor", "1.1", "--interleave-rounds", "--bench", f"^({patterns})$")
            table = asv("continuous", *here, *own, base, candidate)
            seconds = time.monotonic() - begin
            stricter = ("--factor", "1.05", "--only-changed")
            strict = asv("compare", *here, *stricter, base, candidate)
            slower = experiment == "changed 5"
            for factor, shown in ((1.1, table), (1.05, strict)):
                yield {
                    "pair": experiment,
                    "rule": f"`asv continuous --factor {factor} --interleave-rounds`",
                    "seconds": round(seconds, 1),
                    **asv_counts(shown, benchmarks, slower=slower),
                }


def asv_counts(table: str, benchmarks: Sequence[str], *, slower: bool) -> Line:
    """Returns what one of asv's tables found; `slower` if the changed strategies are slower."""
    worse = set(re.findall(r"^\| \+ .*\| (\S.*?) +\|$", table, re.MULTILINE))
    true = {name for name in worse if slower and is_changed(name)}
    changed = [name for name in benchmarks if is_changed(name)]
    return {
        "slowed": len(changed) if slower else 0,
        "found": len(true),
        "false": sorted(worse - true),
    }


# All runs, and the page


def measure(runs: int, only: Sequence[str], arguments: Sequence[str]) -> None:
    """Runs what is missing, and writes the page after every run.

    The experiments take turns, so that all of them see the same moods of the machine.
    """
    facts = hardware()
    head = {
        "commit": git.run(ROOT, "rev-parse", "HEAD"),
        "machine": f"{facts['cpu']}, {facts['usable_cores']} CPUs, {facts['os']}",
    }
    lines = []
    if RUNS.exists():
        lines = [json.loads(line) for line in RUNS.read_text().splitlines()]
    wanted = {}
    for name, experiment in EXPERIMENTS.items():
        if not only or name in only:
            wanted[name] = round(experiment.share * runs)
    with (
        changed_checkout() as clone,
        sides(ROOT, "HEAD", "HEAD") as same,
        sides(clone, "HEAD~1", "HEAD") as changed,
    ):
        names = benchmarks_of(same[0], arguments)
        measured: dict[str, Callable[[], Iterable[Line]]] = {
            "identical": lambda: [slowed_run(same, arguments, 0.03, 0.0)],
            "slowed 3": lambda: [slowed_run(same, arguments, 0.03, 0.03)],
            "changed 5": lambda: [changed_run(changed, arguments)],
            "slowed 2": lambda: [slowed_run(same, arguments, 0.02, 0.02)],
            "pytest-benchmark": lambda: pytest_benchmark_runs(changed, arguments),
            "asv": lambda: asv_runs(clone, names),
        }
        while name := next_experiment(lines, wanted):
            for line in measured[name]():
                date = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M}"
                lines.append({"experiment": name, **head, "date": date, **line})
                with RUNS.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
                sys.stderr.write(json.dumps(line) + "\n")
            PAGE.write_text(page(lines))


def next_experiment(lines: Sequence[Line], wanted: dict[str, int]) -> str:
    """Returns the experiment of which most is missing; empty if nothing is."""
    done = {}
    for name, runs in wanted.items():
        count = runs_of(lines, name)
        if count < runs:
            done[name] = count / runs
    return min(done, key=done.__getitem__) if done else ""


def runs_of(lines: Sequence[Line], experiment: str) -> int:
    """Returns how often an experiment was run.

    A run of pytest-benchmark or asv gives a line per pair and rule.
    """
    own = [line for line in lines if line["experiment"] == experiment]
    rules = {line["rule"] for line in own if "rule" in line}
    if not rules:
        return len(own)
    identical = [line for line in own if line["pair"] == "identical"]
    return len(identical) // len(rules)


def table_rows(lines: Sequence[Line]) -> Iterator[str]:
    """Returns the table's rows: who was asked about which pair, and what was found."""
    groups: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        pair: str = line.get("pair") or line["experiment"]
        rule: str = line.get("rule", "`flopline gate`")
        groups[rule, EXPERIMENTS[pair].title].append(line)
    for (rule, title), group in groups.items():
        slowed = sum(line["slowed"] for line in group)
        found = sum(line["found"] for line in group)
        alarms = sum(bool(line["false"]) for line in group)
        false = sum(len(line["false"]) for line in group)
        seconds = [line["seconds"] for line in group]
        cells = [
            title,
            rule,
            str(len(group)),
            f"{alarms} ({false})",
            f"{found} of {slowed}" if slowed else "",
            f"{statistics.median(seconds):.0f} s ({min(seconds):.0f} to {max(seconds):.0f})",
        ]
        yield table_row(cells)


def table_row(cells: Iterable[str]) -> str:
    """Returns a row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def page(lines: Sequence[Line]) -> str:
    """Returns the page that documents the experiments."""
    machines = " and ".join(sorted({line["machine"] for line in lines}))
    commits = ", ".join(sorted({line["commit"][:12] for line in lines}))
    of_the_gate = [line for line in lines if "exit" in line]
    clean = [line for line in of_the_gate if line["experiment"] == "identical"]
    undecided = sum(line["exit"] > ExitCode.REGRESSION for line in of_the_gate)
    missed = []
    for line in of_the_gate:
        for name, change in line["missed"].items():
            case = name.rpartition("[")[2].rstrip("]")
            missed.append(f"{case} ({change:+.1%})")
    inconclusive = math.nan
    if clean:
        inconclusive = statistics.median(line["inconclusive"] for line in clean)
    table = [table_row(COLUMNS), table_row(["---"] * len(COLUMNS)), *table_rows(lines)]
    rows = "\n".join(table)
    return f"""# Calibration: the gate's error rates, measured

This page was written by `python -m nox -s calibrate`. Its runs are from {lines[0]["date"]} to
{lines[-1]["date"]} UTC, at commit {commits}.

- Machine: {machines}.
- Suite: `benchmarks/pytest_suite --flopline-scale=gate`.
- Data: every run is a line of [calibration.jsonl](calibration.jsonl).

{rows}

- *Exactly slowed* means that the candidate's readings are stretched (for pytest-benchmark, that the
  saved baseline's are shortened). Everything else is real. The five benchmarks are drawn by lot for
  every run.
- *Changed* means that {", ".join(CHANGED)} compute 3 % more rows before their own
  work, in a commit of its own. By the gate's estimates they then take {spread(lines)}
  more time.
- In the median run of `flopline gate` on identical code, the number of inconclusive benchmarks
  is {inconclusive:.0f}. Of all {len(of_the_gate)} runs of the gate, {undecided} ended without an
  answer (exit code 2 or 3).
- `flopline gate` missed: {", ".join(missed) or "none"}. The change in brackets is its estimate.
- Wall time is that of the run and does not include building. For pytest-benchmark it is two runs of
  the suite, for asv both commits in an environment that is already built.
"""


def spread(lines: Sequence[Line]) -> str:
    """Returns the smallest, largest and median change that the gate estimated for changed code."""
    changes = []
    for line in lines:
        if line["experiment"] == "changed 5":
            changes.extend(line["changes"])
    if not changes:
        return "an unknown share"
    middle = statistics.median(changes)
    return f"{min(changes):+.1%} to {max(changes):+.1%} (median {middle:+.1%})"


def main() -> None:
    """Reads the arguments."""
    split = sys.argv.index("--")
    runs, *only = sys.argv[1:split]
    measure(int(runs), only, sys.argv[split + 1 :])


if __name__ == "__main__":
    main()
