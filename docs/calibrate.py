"""Measures the gate's error rates on this machine and suite, and writes docs/calibration.md.

    python docs/calibrate.py [PART[=RUNS]...] -- PYTEST_ARGUMENTS...

Without a part all parts are measured, each as often as `PARTS` says. Every run is added to
docs/calibration.json when it ends, so that a calibration that was interrupted continues where it
was, and parts can be measured one by one. The page is made from that file, also where nothing is
missing: `PART=0` only writes the page anew.
"""

from __future__ import annotations

import ast
import datetime as dt
import json
import os
import re
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scipy import stats

from flopline import files, git
from flopline.gate.judge.bias import measure_bias
from flopline.gate.measure.pair import list_benchmarks
from flopline.gate.record import Comparison, ExitCode, Settings
from flopline.gate.run import BROKEN, run
from flopline.gate.selfcheck import (
    Trial,
    choose_slowed,
    null_edits,
    try_null_edit,
    try_slowdown,
)
from flopline.gate.sides.environment import sides
from flopline.machine import hardware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from flopline.gate.judge.bias import Bias
    from flopline.gate.selfcheck import NullEdits
    from flopline.gate.sides.environment import Side

    Sides = tuple[Side, Side]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "calibration.json"
PAGE = ROOT / "docs" / "calibration.md"
FIELDS = ("mean", "min", "median")
"""The statistics that pytest-benchmark can compare."""
MORE_WORK = "    torch.mm(b[: b.shape[0] // 32], c)\n"
CHANGED = ("row_block", "column_block", "tile", "full", "full_assign")
"""Strategies that get `MORE_WORK`, which is 3 % more arithmetic.

It takes 5 % more time or more, because a product of few rows is slow.
"""
COMMIT = ("-c", "user.name=calibrate", "-c", "user.email=", "commit", "-q")

COLUMNS = (
    "pair",
    "asked",
    "runs",
    "runs with a false alarm",
    "false alarms",
    "slowed benchmarks found",
    "wall time",
)
ESTIMATE = ("id", "verdict", "change", "low", "high", "sigma", "blocks")
"""What is kept of each comparison where the right answer is zero."""

Line = dict[str, Any]
"""The result of one run, as it is written to the file."""


@dataclass(frozen=True)
class Part:
    """A kind of run.

    Attributes:
        runs: How many there are, if nothing else is asked.
        title: Which pair of versions is compared; empty if there are several.
    """

    runs: int
    title: str = ""


PARTS = {
    "identical": Part(50, "identical code"),
    "null": Part(20, "null edits: the layout of the code changes, its work does not"),
    "slowed-3": Part(10, "five benchmarks slowed by exactly 3 %"),
    "slowed-2": Part(4, "five slowed by exactly 2 %, `--detect 2%`"),
    "changed": Part(2, "five strategies changed to compute 3 % more rows"),
    "pytest-benchmark": Part(2),
    "asv": Part(1),
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
    settings = Settings(detect=detect, arguments=tuple(arguments))
    return line_of(try_slowdown(*pair, settings, slowed, slowdown))


def null_run(side: Side, edits: NullEdits, arguments: Sequence[str], lines: Sequence[Line]) -> Line:
    """Runs the gate on a null edit, of the kind of which there are the fewest runs."""
    done = Counter(line["kind"] for line in lines if "kind" in line)
    kind = min(edits.kinds, key=done.__getitem__)
    settings = Settings(arguments=tuple(arguments))
    return line_of(try_null_edit(side, edits, kind, settings)) | {"kind": kind}


def changed_run(pair: Sides, arguments: Sequence[str]) -> Line:
    """Runs the gate with the changed strategies on the candidate's side."""
    slower = frozenset(name for name in benchmarks_of(pair[0], arguments) if is_changed(name))
    settings = Settings(arguments=tuple(arguments))
    return line_of(Trial(run(*pair, settings), slower))


def line_of(trial: Trial) -> Line:
    """Returns what a run of the gate found, and what it should have found."""
    record = trial.record
    if record.result.startswith(BROKEN):
        raise SystemExit(f"the run was {record.result}; what ended before it is kept")
    changes = {row.id: row.change for row in record.comparisons if row.id in trial.slowed}
    line: Line = {
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
    if not trial.slowed:
        rows = record.comparisons
        line["estimates"] = [{key: getattr(row, key) for key in ESTIMATE} for row in rows]
    return line


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
        for part, side, slower in (
            ("identical", pair[0], set()),
            ("slowed-3", pair[0], drawn),
            ("changed", pair[1], changed),
        ):
            shortened = drawn if part == "slowed-3" else frozenset[str]()
            target = side.tree / saved.relative_to(pair[0].tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(with_shorter_times(record, shortened)))
            compare = ["--benchmark-compare=0001", *fail]
            failed, seconds = pytest_benchmark(side, arguments, *compare)
            for field in FIELDS:
                yield {
                    "pair": part,
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


def asv_runs(clone: Path, base: str, changed: str, benchmarks: Sequence[str]) -> Iterator[Line]:
    """Compares two pairs with `asv continuous`, at its own factor and at 1.05.

    Args:
        clone: The clone with the changed version.
        base: Its commit that is compared with. The pairs are identical code and `changed`.
        changed: Its commit with the changed strategies.
        benchmarks: Node ids of the benchmarks of the suite.
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

        git.run(clone, "checkout", "-q", "--detach", base)
        git.run(clone, *COMMIT, "--allow-empty", "-m", "Change nothing")
        same = git.run(clone, "rev-parse", "HEAD")
        here = ("--machine", "here")

        # This builds the environment once. `asv setup` ends with code 1 although it worked.
        output = asv("machine", "--yes", *here) + asv("setup")
        if not list((clone / ".asv" / "env").glob("*/bin/python")):
            raise SystemExit(f"asv built no environment:\n{output[-2000:]}")
        patterns = "|".join(asv_pattern(name) for name in benchmarks)
        for part, candidate in (("identical", same), ("changed", changed)):
            begin = time.monotonic()
            own = ("--factor", "1.1", "--interleave-rounds", "--bench", f"^({patterns})$")
            table = asv("continuous", *here, *own, base, candidate)
            seconds = time.monotonic() - begin
            stricter = ("--factor", "1.05", "--only-changed")
            strict = asv("compare", *here, *stricter, base, candidate)
            slower = part == "changed"
            for factor, shown in ((1.1, table), (1.05, strict)):
                yield {
                    "pair": part,
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


# All runs


def measure(wanted: dict[str, int], arguments: Sequence[str]) -> None:
    """Runs what is missing, and writes the results and the page after every run.

    The parts take turns, so that all of them see the same moods of the machine.

    Args:
        wanted: How many runs there shall be of each part, by its name.
        arguments: Arguments for pytest.
    """
    lines: list[Line] = []
    if RESULTS.exists():
        lines = json.loads(RESULTS.read_text())["runs"]
    if next_part(lines, wanted):
        with changed_checkout() as clone:
            measure_with(clone, lines, wanted, arguments)
    if lines:
        files.write(PAGE, page(lines))


def measure_with(
    clone: Path, lines: list[Line], wanted: dict[str, int], arguments: Sequence[str]
) -> None:
    """Runs what is missing with a clone that has the changed version; adds it to the lines."""
    facts = hardware()
    head = {
        "commit": git.run(ROOT, "rev-parse", "HEAD"),
        "machine": f"{facts['cpu']}, {facts['usable_cores']} CPUs, {facts['os']}",
    }
    changed_commit, base = git.run(clone, "rev-parse", "HEAD", "HEAD~1").split()
    with sides(ROOT, "HEAD", "HEAD") as same, sides(clone, "HEAD~1", "HEAD") as changed:
        names = benchmarks_of(same[0], arguments)

        @cache
        def edits() -> NullEdits:
            settings = Settings(arguments=tuple(arguments))
            (collected,) = list_benchmarks([same[0]], arguments)
            return null_edits(same[0], collected, settings, secrets.SystemRandom())

        measured: dict[str, Callable[[], Iterable[Line]]] = {
            "identical": lambda: [slowed_run(same, arguments, 0.03, 0.0)],
            "null": lambda: [null_run(same[0], edits(), arguments, lines)],
            "slowed-3": lambda: [slowed_run(same, arguments, 0.03, 0.03)],
            "slowed-2": lambda: [slowed_run(same, arguments, 0.02, 0.02)],
            "changed": lambda: [changed_run(changed, arguments)],
            "pytest-benchmark": lambda: pytest_benchmark_runs(changed, arguments),
            "asv": lambda: asv_runs(clone, base, changed_commit, names),
        }
        while name := next_part(lines, wanted):
            # A run of several lines is kept whole or not at all.
            found = list(measured[name]())
            date = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M}"
            for line in found:
                lines.append({"part": name, **head, "date": date, **line})
                shown = {key: value for key, value in line.items() if key != "estimates"}
                sys.stderr.write(f"{name}: {json.dumps(shown)}\n")
            files.write(RESULTS, results(lines))
            files.write(PAGE, page(lines))


def results(lines: Sequence[Line]) -> str:
    """Returns all runs as JSON, each in a line of its own."""
    rows = ",\n".join(json.dumps(line) for line in lines)
    return f'{{"runs": [\n{rows}\n]}}\n'


def next_part(lines: Sequence[Line], wanted: dict[str, int]) -> str:
    """Returns the part of which most is missing; empty if nothing is."""
    done = {}
    for name, runs in wanted.items():
        count = runs_of(lines, name)
        if count < runs:
            done[name] = count / runs
    return min(done, key=done.__getitem__) if done else ""


def runs_of(lines: Sequence[Line], part: str) -> int:
    """Returns how often a part was run.

    A run of pytest-benchmark or asv gives a line per pair and rule.
    """
    own = [line for line in lines if line["part"] == part]
    rules = {line["rule"] for line in own if "rule" in line}
    if not rules:
        return len(own)
    identical = [line for line in own if line["pair"] == "identical"]
    return len(identical) // len(rules)


# The page


def table_rows(lines: Sequence[Line]) -> Iterator[str]:
    """Returns the table's rows: who was asked about which pair, and what was found.

    They are in the order of `PARTS`, whatever was run first.
    """
    groups: dict[tuple[str, str], list[Line]] = defaultdict(list)
    parts = list(PARTS)
    for line in sorted(lines, key=lambda line: parts.index(line["part"])):
        rule: str = line.get("rule", "`flopline gate`")
        groups[rule, PARTS[line.get("pair") or line["part"]].title].append(line)
    for (rule, title), group in groups.items():
        slowed = sum(line["slowed"] for line in group)
        found = sum(line["found"] for line in group)
        alarms = sum(bool(line["false"]) for line in group)
        cells = [
            title,
            rule,
            str(len(group)),
            with_bounds(alarms, len(group)),
            str(sum(len(line["false"]) for line in group)),
            with_bounds(found, slowed) if slowed else "",
            time_taken([line["seconds"] for line in group]),
        ]
        yield table_row(cells)


def table_row(cells: Iterable[str]) -> str:
    """Returns a row of a table in Markdown."""
    return f"| {' | '.join(cells)} |"


def with_bounds(count: int, total: int) -> str:
    """Returns a count with the two-sided 95 % interval of its rate (Clopper and Pearson)."""
    interval = stats.binomtest(count, total).proportion_ci()
    return f"{count} of {total} ({100 * interval.low:.3g} to {100 * interval.high:.3g} %)"


def time_taken(seconds: Sequence[float]) -> str:
    """Returns the median of run times, and where they differ their mean and extremes."""
    middle = f"{statistics.median(seconds):.0f} s"
    if f"{min(seconds):.0f}" == f"{max(seconds):.0f}":
        return middle
    spread = f"{min(seconds):.0f} to {max(seconds):.0f}"
    return f"median {middle}, mean {statistics.mean(seconds):.0f} s ({spread})"


def page(lines: Sequence[Line]) -> str:
    """Returns the page that documents the runs."""
    machines = " and ".join(sorted({line["machine"] for line in lines}))
    commits = ", ".join(sorted({line["commit"][:12] for line in lines}))
    dates = sorted(line["date"] for line in lines)
    table = [table_row(COLUMNS), table_row(["---"] * len(COLUMNS)), *table_rows(lines)]
    rows = "\n".join(table)
    facts = "\n".join(f"- {fact}" for fact in facts_of_the_gate(lines))
    return f"""# Calibration: the gate's error rates, measured

This page was written by `python -m nox -s calibrate`. Its runs are from {dates[0]} to
{dates[-1]} UTC, at commit {commits}.

- Machine: {machines}.
- Suite: `benchmarks/pytest_suite --flopline-scale=gate`.
- The options of `flopline gate` are the defaults, where nothing else is said.
- Data: every run is in [calibration.json](calibration.json).

{rows}

- In brackets behind a count stands the two-sided 95 % interval of its rate, by Clopper and Pearson,
  as if all runs, or all slowed benchmarks, were independent of each other.
- *Exactly slowed* means that the candidate's readings are stretched (for pytest-benchmark, that the
  saved baseline's are shortened). Everything else is real. The five benchmarks are drawn by lot for
  every run.
- *Changed* means that {", ".join(CHANGED)} compute 3 % more rows before their own
  work, in a commit of its own. By the gate's estimates they then take {spread(lines)}
  more time.
- A *null edit* is made to a copy of this project: unused code behind or before a module's own,
  neighbouring functions in another order, longer docstrings, or a folder with a longer name.
{facts}
- Wall time is that of the run and does not include building. For pytest-benchmark it is two runs of
  the suite, for asv both commits in an environment that is already built.
"""


def facts_of_the_gate(lines: Sequence[Line]) -> Iterator[str]:
    """Yields what the runs of `flopline gate` say beside the table, in sentences."""
    null = bias_of(lines, "null")
    if null is not None:
        kinds = sorted(Counter(line["kind"] for line in lines if "kind" in line).items())
        drawn = ", ".join(f"{kind} {count}" for kind, count in kinds)
        yield f"{null.text(Settings().detect)} These are the runs of each kind of edit: {drawn}."
    control = bias_of(lines, "identical")
    if control is not None:
        yield (
            "Identical code, on which it should be zero, gives a standard deviation of "
            f"{control.tau:.2%} in the same way (95 % interval {control.low:.2%} to "
            f"{control.high:.2%})."
        )
    of_the_gate = [line for line in lines if "exit" in line]
    undecided = sum(line["exit"] > ExitCode.REGRESSION for line in of_the_gate)
    yield (
        f"Of all {len(of_the_gate)} runs of the gate, {undecided} ended without an answer (exit "
        "code 2 or 3)."
    )
    inconclusive = [line["inconclusive"] for line in of_the_gate if line["part"] == "identical"]
    if inconclusive:
        yield (
            "On identical code the number of inconclusive benchmarks in a run is "
            f"{statistics.median(inconclusive):.0f} in the median, and "
            f"{statistics.mean(inconclusive):.1f} in the mean."
        )
    missed = []
    for line in of_the_gate:
        for name, change in line["missed"].items():
            case = name.rpartition("[")[2].rstrip("]")
            missed.append(f"{case} ({'no estimate' if change is None else f'{change:+.1%}'})")
    yield f"`flopline gate` missed: {', '.join(missed) or 'none'}. In brackets is its estimate."


def bias_of(lines: Sequence[Line], part: str) -> Bias | None:
    """Returns how far the runs of a part say that benchmarks moved, where the truth is zero."""
    own = [line for line in lines if line["part"] == part]
    return measure_bias(map(comparisons, own), Settings().margin)


def comparisons(line: Line) -> list[Comparison]:
    """Returns what is kept of a run's comparisons; nothing if it is no run of the gate."""
    return [Comparison(**row) for row in line.get("estimates", [])]


def spread(lines: Sequence[Line]) -> str:
    """Returns the smallest, largest and median change that the gate estimated for changed code."""
    changes: list[float] = []
    for line in lines:
        if line["part"] == "changed":
            changes.extend(change for change in line["changes"] if change is not None)
    if not changes:
        return "an unknown share"
    middle = statistics.median(changes)
    return f"{min(changes):+.1%} to {max(changes):+.1%} (median {middle:+.1%})"


def requested(texts: Sequence[str]) -> dict[str, int]:
    """Returns how many runs there shall be of each part.

    Args:
        texts: `PART`, or `PART=RUNS`; none stands for all parts.
    """
    wanted = {}
    for text in texts or PARTS:
        name, equals, runs = text.partition("=")
        if name not in PARTS or (equals and not runs.isdecimal()):
            raise SystemExit(f"{text!r} is no PART or PART=RUNS; the parts are {', '.join(PARTS)}")
        wanted[name] = int(runs) if equals else PARTS[name].runs
    return wanted


def main() -> None:
    """Reads the arguments."""
    split = sys.argv.index("--")
    measure(requested(sys.argv[1:split]), sys.argv[split + 1 :])


if __name__ == "__main__":
    main()
