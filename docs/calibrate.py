"""Measures the gate's own error rates on this machine and suite, and writes them to docs/calibration.md.

    python docs/calibrate.py RUNS [EXPERIMENT...] -- PYTEST_ARGUMENTS...

RUNS is how often identical code is compared; the other experiments take their share of it. Every run is a line in
docs/calibration.jsonl, written when it ends: an interrupted calibration goes on where it was.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flopline.gate import run as procedure
from flopline.gate.measure.pair import list_benchmarks
from flopline.gate.record import Settings
from flopline.gate.sides import environment as environments
from flopline.machine import hardware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from flopline.gate.record import GateRecord
    from flopline.gate.sides.environment import Side

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "docs" / "calibration.jsonl"
PAGE = ROOT / "docs" / "calibration.md"
SLOWED = 5
FIELDS = ("mean", "min", "median")
EXTRA = "    torch.mm(b[: b.shape[0] // 32], c)\n"
CHANGED = ("row_block", "column_block", "tile", "full", "full_assign")
"""Strategies to which `EXTRA` adds 3 % of arithmetic, which takes 5 % more time or more: few rows are slow."""

EXPERIMENTS = {
    "identical": (1.0, "identical code"),
    "slowed 3": (0.5, "five benchmarks slowed by exactly 3 %"),
    "changed 5": (0.1, "five strategies changed to compute 3 % more rows"),
    "slowed 2": (0.2, "five slowed by exactly 2 %, `--detect 2%`"),
    "pytest-benchmark": (0.1, ""),
    "asv": (0.05, ""),
}
"""Name: how many runs for each on identical code, and its title."""

Line = dict[str, Any]


@contextmanager
def changed_checkout() -> Iterator[Path]:
    """A clone of this checkout whose last commit makes five strategies do more."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "main"
        git(ROOT, "clone", "-q", str(ROOT), str(clone))
        file = clone / "src" / "flopline" / "matmul.py"
        text = file.read_text()
        for name in CHANGED:
            text, found = re.subn(rf'(\ndef {name}\(.*\n    """.*"""\n)', rf"\1{EXTRA}", text)
            if not found:
                raise SystemExit(f"{name} is not in {file} as this script expects it")
        file.write_text(text)
        git(
            clone,
            "-c",
            "user.name=calibrate",
            "-c",
            "user.email=",
            "commit",
            "-qam",
            "Compute 3 % more rows",
        )
        yield clone


def touched(name: str) -> bool:
    """Whether a benchmark, by pytest's name or asv's, is of a changed strategy."""
    return bool(re.search(rf"(strategy=|')({'|'.join(CHANGED)})['/]", name))


def git(folder: Path, *arguments: str) -> str:
    """What git prints."""
    return subprocess.run(
        ["git", "-C", folder, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()  # a list, no shell; git as the user has it


def gated(record: GateRecord, slowed: set[str]) -> Line:
    """What a run of the gate says, and what it should have said."""
    red = {row.id for row in record.comparisons if row.verdict == "regressed"}
    return {
        "seconds": round(record.seconds, 1),
        "exit": record.exit_code,
        "slowed": len(slowed),
        "found": len(red & slowed),
        "false": sorted(red - slowed),
        "missed": {row.id: row.change for row in record.comparisons if row.id in slowed - red},
        "changes": [row.change for row in record.comparisons if row.id in slowed],
        "inconclusive": sum(row.verdict == "inconclusive" for row in record.comparisons),
        "confirmed": sum(block.stage == "confirm" for block in record.blocks),
    }


def gate(sides: Sequence[Side], arguments: Sequence[str], detect: float, slowdown: float) -> Line:
    """One run with five benchmarks, chosen by lot, stretched by `slowdown`, or with none."""
    names = list(list_benchmarks([sides[0]], arguments)[0].items)
    slowed = set(random.SystemRandom().sample(names, SLOWED)) if slowdown else set()
    settings = Settings(detect=detect, arguments=tuple(arguments), budget=600)
    return gated(
        procedure.run(sides[0], sides[1], settings, slowdown=dict.fromkeys(slowed, slowdown)),
        slowed,
    )


def changed(sides: Sequence[Side], arguments: Sequence[str]) -> Line:
    """One run with the changed strategies on the candidate's side."""
    names = list(list_benchmarks([sides[0]], arguments)[0].items)
    slowed = {name for name in names if touched(name)}
    settings = Settings(detect=0.03, arguments=tuple(arguments), budget=600)
    return gated(procedure.run(sides[0], sides[1], settings), slowed)


def benchmark(
    side: Side, arguments: Sequence[str], *options: str
) -> tuple[dict[str, set[str]], float]:
    """A run of pytest-benchmark: the benchmarks that fail its comparison, by field; and the run's seconds."""
    begin = time.monotonic()
    done = subprocess.run(
        [
            side.python,
            "-m",
            "pytest",
            *arguments,
            "-q",
            "-p",
            "no:cacheprovider",
            "-W",  # that the processor's clock rate differs between the runs, which the suite would take for an error
            "ignore::pytest_benchmark.logger.PytestBenchmarkWarning",
            *options,
        ],
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
    for name, field in re.findall(
        r"^\s+(\S.*) \(0001_\w*\) - Field '(\w+)' has failed", output, re.MULTILINE
    ):
        failed[field].add(name)
    return failed, time.monotonic() - begin


def peer(sides: Sequence[Side], arguments: Sequence[str]) -> Iterator[Line]:
    """The same three pairs through pytest-benchmark's --benchmark-compare-fail at 5 %."""
    fail = [
        "--benchmark-compare-fail",
        *(f"{field}:5%" for field in FIELDS),
    ]  # given twice, the last would count
    _, first = benchmark(sides[0], arguments, "--benchmark-save=baseline")
    (saved,) = Path(sides[0].tree, ".benchmarks").rglob(
        "0001_*.json"
    )  # where pytest-benchmark looks for it, too
    record = saved.read_text()
    names = [one["name"] for one in json.loads(record)["benchmarks"]]
    chosen = set(random.SystemRandom().sample(names, SLOWED))
    try:
        for pair, side, slowed in (
            ("identical", 0, set()),
            ("slowed 3", 0, chosen),
            ("changed 5", 1, {name for name in names if touched(name)}),
        ):
            shown = json.loads(record)
            for one in shown["benchmarks"]:
                if (
                    pair == "slowed 3" and one["name"] in chosen
                ):  # a baseline that was faster by exactly that
                    one["stats"] |= {field: one["stats"][field] / 1.03 for field in FIELDS}
            target = sides[side].tree / saved.relative_to(sides[0].tree)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(shown))
            failed, seconds = benchmark(sides[side], arguments, "--benchmark-compare=0001", *fail)
            for field in FIELDS:
                yield {
                    "pair": pair,
                    "rule": f"pytest-benchmark `--benchmark-compare-fail={field}:5%`",
                    "seconds": round(first + seconds, 1),
                    "slowed": len(slowed),
                    "found": len(failed[field] & slowed),
                    "false": sorted(failed[field] - slowed),
                }
    finally:
        for one in sides:
            shutil.rmtree(one.tree / ".benchmarks", ignore_errors=True)


def asv_name(name: str) -> str:
    """A pattern for asv's name of a benchmark that pytest names as `...[family/strategy=NAME/axis=NUMBER]`."""
    family, strategy, *sizes = (
        name.partition("[")[2].rstrip("]").replace("strategy=", "").split("/")
    )
    point = ", ".join([repr(strategy), *(size.partition("=")[2] for size in sizes)])
    return rf"bench_{family}\..*\({re.escape(point)}\)"


def asv(clone: Path, names: Sequence[str]) -> Iterator[Line]:
    """Identical code and the changed strategies through `asv continuous`, at its own factor and at 1.05."""
    with tempfile.TemporaryDirectory() as home:  # asv keeps what it knows of a machine there
        environment = {
            **os.environ,
            "HOME": home,
            "FLOPLINE_SCALE": "gate",
            "PIP_CACHE_DIR": f"{Path.home()}/.cache/pip",
        }

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "asv", *arguments]
            return subprocess.run(
                command, cwd=clone, env=environment, check=False, capture_output=True, text=True
            )

        changed, base = git(clone, "rev-parse", "HEAD", "HEAD~1").split()
        git(clone, "checkout", "-q", "--detach", base)
        git(
            clone,
            "-c",
            "user.name=calibrate",
            "-c",
            "user.email=",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "Nothing",
        )
        same = git(clone, "rev-parse", "HEAD")
        wanted = f"^({'|'.join(map(asv_name, names))})$"
        # Builds the environment once. asv setup ends with code 1 although it worked: it exits with its list of them.
        outputs = [
            done.stdout + done.stderr
            for done in (run("machine", "--yes", "--machine", "here"), run("setup"))
        ]
        if not list((clone / ".asv" / "env").glob("*/bin/python")):
            raise SystemExit("asv built no environment:\n" + "\n".join(outputs)[-2000:])
        for pair, candidate in (("identical", same), ("changed 5", changed)):
            begin = time.monotonic()
            options = (
                "--machine",
                "here",
                "--interleave-rounds",
                "--factor",
                "1.1",
                "--bench",
                wanted,
            )
            table = run("continuous", *options, base, candidate)
            seconds = time.monotonic() - begin
            strict = run(
                "compare",
                "--machine",
                "here",
                "--factor",
                "1.05",
                "--only-changed",
                base,
                candidate,
            )
            for factor, shown in ((1.1, table), (1.05, strict)):
                worse = re.findall(r"^\| \+ .*\| (\S.*?) +\|$", shown.stdout, re.MULTILINE)
                slowed = [name for name in worse if pair == "changed 5" and touched(name)]
                yield {
                    "pair": pair,
                    "rule": f"`asv continuous --factor {factor} --interleave-rounds`",
                    "seconds": round(seconds, 1),
                    "slowed": sum(touched(name) for name in names) if pair == "changed 5" else 0,
                    "found": len(slowed),
                    "false": sorted({*worse} - {*slowed}),
                }


def measure(runs: int, only: Sequence[str], arguments: Sequence[str]) -> None:
    """Runs what is missing, in turns so that the machine's moods are shared; writes the page after every run."""
    commit, machine = (
        git(ROOT, "rev-parse", "HEAD"),
        "{cpu}, {usable_cores} CPUs, {os}".format(**hardware()),
    )
    lines = [json.loads(line) for line in RUNS.read_text().splitlines()] if RUNS.exists() else []
    wanted = {
        name: round(share * runs)
        for name, (share, _) in EXPERIMENTS.items()
        if not only or name in only
    }
    with (
        changed_checkout() as clone,
        environments.sides(ROOT, "HEAD", "HEAD") as same,
        environments.sides(clone, "HEAD~1", "HEAD") as other,
    ):
        kinds: dict[str, Callable[[], Iterable[Line]]] = {
            "identical": lambda: [gate(same, arguments, 0.03, 0.0)],
            "slowed 3": lambda: [gate(same, arguments, 0.03, 0.03)],
            "changed 5": lambda: [changed(other, arguments)],
            "slowed 2": lambda: [gate(same, arguments, 0.02, 0.02)],
            "pytest-benchmark": lambda: peer(other, arguments),
            "asv": lambda: asv(clone, list(list_benchmarks([same[0]], arguments)[0].items)),
        }
        while left := [name for name, n in wanted.items() if counted(lines, name) < n]:
            name = min(left, key=lambda name: counted(lines, name) / wanted[name])
            for line in kinds[name]():
                when = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M}"
                lines.append(
                    {"experiment": name, "commit": commit, "machine": machine, "date": when, **line}
                )
                with RUNS.open("a") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
                sys.stderr.write(json.dumps(line) + "\n")
            PAGE.write_text(page(lines))


def counted(lines: Sequence[Line], experiment: str) -> int:
    """How often an experiment has run; one of the peers gives a line per pair and rule."""
    own = [line for line in lines if line["experiment"] == experiment]
    rules = {line["rule"] for line in own if "rule" in line}
    return sum(line["pair"] == "identical" for line in own) // len(rules) if rules else len(own)


def rows(lines: Sequence[Line]) -> Iterator[str]:
    """The table: who was asked about which pairs, and what it said."""
    groups: dict[tuple[str, str], list[Line]] = defaultdict(list)
    for line in lines:
        pair: str = line.get("pair") or line["experiment"]
        groups[line.get("rule", "`flopline gate`"), EXPERIMENTS[pair][1]].append(line)
    for (who, pair), group in groups.items():
        slowed, found = (sum(line[key] for line in group) for key in ("slowed", "found"))
        alarms, false = (
            sum(bool(line["false"]) for line in group),
            sum(len(line["false"]) for line in group),
        )
        seconds = [line["seconds"] for line in group]
        yield (
            f"| {pair} | {who} | {len(group)} | {alarms} ({false}) | {f'{found} of {slowed}' if slowed else ''} | "
            f"{statistics.median(seconds):.0f} s ({min(seconds):.0f} to {max(seconds):.0f}) |"
        )


def page(lines: Sequence[Line]) -> str:
    """The page that documents the experiments."""
    machines = " and ".join(sorted({line["machine"] for line in lines}))
    own = [line for line in lines if "exit" in line]
    clean = [line for line in own if line["experiment"] == "identical"]
    undecided = sum(line["exit"] > 1 for line in own)
    missed = [
        f"{name.rpartition('[')[2].rstrip(']')} ({change:+.1%})"
        for line in own
        for name, change in line["missed"].items()
    ]
    commits = ", ".join(sorted({line["commit"][:12] for line in lines}))
    inconclusive = statistics.median(line["inconclusive"] for line in clean) if clean else math.nan
    return f"""# Calibration: the gate's error rates, measured

Written by `python -m nox -s calibrate`, {lines[0]["date"]} to {lines[-1]["date"]} UTC, commit {commits}.
Machine: {machines}.
Suite: `benchmarks/pytest_suite --flopline-scale=gate`. Every run is a line of [calibration.jsonl](calibration.jsonl).

| pair | asked | runs | runs with a false alarm (false alarms) | slowed benchmarks found | wall time, median |
|---|---|---|---|---|---|
{chr(10).join(rows(lines))}

- Exactly slowed: the candidate's readings are stretched (for pytest-benchmark, the saved baseline's shortened);
  everything else is real. Which five is drawn by lot for every run.
- Changed: {", ".join(CHANGED)} compute 3 % more rows before their own work,
  in a commit of its own. What they take more, by the gate's estimates: {spread(lines)}.
- Identical code, `flopline gate`: in the median {inconclusive:.0f} benchmarks of a run are inconclusive. Of all
  {len(own)} runs of the gate {undecided} ended without an answer (exit code 2 or 3).
- Missed by `flopline gate`, with its estimate: {", ".join(missed) or "none"}.
- Wall time is that of the run, building not included; of pytest-benchmark it is two runs of the suite, of asv
  both commits in an environment that stands.
"""


def spread(lines: Sequence[Line]) -> str:
    """The smallest, median and largest estimate of what the changed strategies take more."""
    found = [
        change for line in lines if line["experiment"] == "changed 5" for change in line["changes"]
    ]
    return (
        f"{min(found):+.1%}, {statistics.median(found):+.1%}, {max(found):+.1%} (least, median, most)"
        if found
        else "-"
    )


def main() -> None:
    """Reads the arguments."""
    split = sys.argv.index("--")
    measure(int(sys.argv[1]), sys.argv[2:split], sys.argv[split + 1 :])


if __name__ == "__main__":
    main()
