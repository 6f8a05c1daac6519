"""`flopline history`: measure commits, compare two, list lasting regressions.

Exit codes: 0 no regression, 1 a regression (or, of `run`, a case that failed), 2 the command could not do its work,
3 most cases are undecided.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from flopline.chapter.sheets import plain, seconds
from flopline.cli.console import Json, fail, print_json, stdout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flopline.history.compare import Comparison
    from flopline.history.results import History, Problem

app = typer.Typer(
    no_args_is_help=True, help="The speed of every commit: measure, compare, list regressions."
)

Machine = Annotated[str | None, typer.Option(metavar="NAME", help="Only this machine's results.")]
CONFIG = Path("asv.conf.json")


def _config() -> dict[str, Any]:
    """asv.conf.json of this folder."""
    try:
        util = importlib.import_module("asv.util")
    except ModuleNotFoundError as error:
        fail(f"this needs {error.name}, which the history brings: pip install 'flopline[history]'")
    if not CONFIG.is_file():
        fail(f"there is no {CONFIG} in {Path.cwd()}; run this in the checkout whose history it is")
    config: dict[str, Any] = util.load_json(str(CONFIG), js_comments=True)
    return config


def _history(config: dict[str, Any], machine: str | None) -> History:
    from flopline.history import results

    try:
        found = results.read(Path(config["results_dir"]))
    except results.ResultsError as error:
        fail(str(error))
    if machine is None:
        return found
    names = sorted(
        {run.machine for run in found.runs}
        | {problem.path.parent.name for problem in found.problems}
    )
    if machine not in names:
        fail(f"no results of a machine {machine!r}; there are: {', '.join(names) or 'none'}")
    return dataclasses.replace(
        found,
        runs=[run for run in found.runs if run.machine == machine],
        problems=[problem for problem in found.problems if problem.path.parent.name == machine],
    )


def _named(problems: Iterable[Problem], hashes: Iterable[str]) -> bool:
    """Names every file that was left out; whether one of them is of these commits."""
    shown = list(problems)
    for problem in shown:
        Console(stderr=True, soft_wrap=True).print(
            f"left out: {problem}", markup=False, highlight=False
        )
    return any(problem.path.name.startswith(commit[:8]) for problem in shown for commit in hashes)


@app.command("compare")
def compare_commits(
    base: Annotated[str, typer.Argument(help="Commit, branch or tag.")],
    head: Annotated[str, typer.Argument(help="And the one to judge.")],
    *,
    machine: Machine = None,
    as_json: Json = False,
) -> None:
    """Compares the stored results of two commits, case by case, by its threshold and its samples.

    Exit codes: 0 no regression, 1 a regression, 2 nothing compared or a case lost, 3 most cases undecided.
    """
    config = _config()
    from flopline.history import commits, compare

    history = _history(config, machine)
    try:
        hashes = [commits.resolve(Path.cwd(), name) for name in (base, head)]
    except commits.CommitError as error:
        fail(str(error))
    hurt = _named(history.problems, hashes)
    found = compare.compare(history, hashes[0], hashes[1], config.get("regressions_thresholds", {}))
    if not found and not as_json:
        fail(_nothing(history, dict(zip((base, head), hashes, strict=True))))
    code = compare.exit_code(found)
    code = 2 if hurt and code != 1 else code
    if as_json:
        print_json(
            {
                "base": hashes[0],
                "head": hashes[1],
                "exit_code": code,
                "cases": [_record(row) for row in found],
            }
        )
    else:
        _print_comparisons(found)
    raise typer.Exit(code)


def _nothing(history: History, asked: dict[str, str]) -> str:
    for name, commit in asked.items():
        if not any(run.commit == commit for run in history.runs):
            return f"no results of {name} ({commit[:8]}); measure it: nox -s history -- {name}"
    return f"{' and '.join(asked)} were measured, but never on one machine in one environment; measure both on one"


def _record(row: Comparison) -> dict[str, object]:
    from flopline.history import compare

    base, head = (side.seconds if side else None for side in (row.base, row.head))
    return {
        "case": str(row.case),
        "machine": row.machine,
        "environment": dict(row.series),
        "verdict": row.verdict,
        "reason": row.reason,
        "threshold": row.threshold,
        "base_seconds": base,
        "head_seconds": head,
        "ratio": row.ratio,
        "base_gflops": compare.gflops(row.flops, base),
        "head_gflops": compare.gflops(row.flops, head),
    }


ORDER = ("regressed", "not comparable", "inconclusive", "improved", "unchanged")


def _print_comparisons(found: list[Comparison]) -> None:
    console = stdout()
    for machine in dict.fromkeys(row.machine for row in found):
        rows = [row for row in found if row.machine == machine]
        table = plain(title=machine, title_justify="left")
        for name in ("case", "base", "head", "GFLOPS", "time", "verdict"):
            table.add_column(
                name, justify="left" if name in ("case", "verdict") else "right", overflow="fold"
            )
        for row in sorted(rows, key=lambda row: (ORDER.index(row.verdict), -(row.ratio or 0))):
            record = _record(row)
            cells = (seconds(side.seconds) if side else "-" for side in (row.base, row.head))
            rates = " to ".join(
                f"{record[key]:.3g}" if record[key] else "-"
                for key in ("base_gflops", "head_gflops")
            )
            change = f"{row.ratio - 1:+.1%}" if row.ratio else ""
            table.add_row(
                str(row.case), *cells, rates, change, f"{row.verdict} {row.reason}".strip()
            )
        console.print(table)


@app.command("regressions")
def list_regressions(*, machine: Machine = None, as_json: Json = False) -> None:
    """Lists the slowdowns that the newest commits of this branch still have, by asv's step detection.

    Exit codes: 0 none, 1 some, 2 there was nothing to search, or the newest commit's file cannot be read.
    """
    config = _config()
    from flopline.history import commits, compare

    history = _history(config, machine)
    try:
        line = commits.line(Path.cwd(), (config.get("branches") or ["HEAD"])[0])
    except commits.CommitError as error:
        fail(str(error))
    known = {run.commit for run in history.runs} & set(line)
    broken = {problem.path.name[:8] for problem in history.problems}
    newest = next(
        (commit for commit in reversed(line) if commit in known or commit[:8] in broken), ""
    )
    hurt = _named(history.problems, [newest] if newest else [])
    elsewhere = sorted({run.commit[:8] for run in history.runs} - {commit[:8] for commit in line})
    if elsewhere:
        message = f"not on this branch, so not searched: {', '.join(elsewhere)}"
        Console(stderr=True, soft_wrap=True).print(message, markup=False, highlight=False)
    if not known:
        fail(
            "no commit of this branch has results that can be read; measure some: nox -s history -- --commits 5"
        )
    found = compare.regressions(history, line, config.get("regressions_thresholds", {}))
    code = 1 if found else 2 if hurt else 0
    if as_json:
        steps = [
            {
                "case": str(step.case),
                "machine": step.machine,
                "environment": dict(step.series),
                "after": step.after,
                "at": step.at,
                "base_seconds": step.base,
                "head_seconds": step.head,
                "base_gflops": compare.gflops(step.flops, step.base),
                "head_gflops": compare.gflops(step.flops, step.head),
            }
            for step in found
        ]
        print_json({"exit_code": code, "commits": len(known), "regressions": steps})
        raise typer.Exit(code)
    if not found:
        sys.stdout.write(f"no lasting regression in {len(known)} commits\n")
        raise typer.Exit(code)
    table = plain()
    for name in ("case", "machine", "after", "at", "base", "head", "time"):
        table.add_column(
            name, justify="left" if name in ("case", "machine") else "right", overflow="fold"
        )
    for step in found:
        cells = (
            step.after[:8],
            step.at[:8],
            seconds(step.base),
            seconds(step.head),
            f"{step.head / step.base - 1:+.1%}",
        )
        table.add_row(str(step.case), step.machine, *cells)
    stdout().print(table)
    raise typer.Exit(code)


@app.command("run")
def run_commits(
    revisions: Annotated[
        list[str] | None,
        typer.Argument(help="A range (v1..HEAD), commits, tags, or the word tags for all of them."),
    ] = None,
    *,
    newest: Annotated[
        int, typer.Option("--commits", metavar="N", min=1, help="The newest N, if none is named.")
    ] = 1,
    machine: Annotated[
        str | None, typer.Option(metavar="NAME", help="A name for this machine.")
    ] = None,
    scale: Annotated[Literal["quick", "full", "gate"], typer.Option(help="Which cases.")] = "quick",
    device: Annotated[
        str, typer.Option(help="cpu, cuda or cuda:N; cuda implies --existing.")
    ] = "cpu",
    dtype: Annotated[
        Literal["float32", "float64", "bfloat16", "tf32"], typer.Option(help="Of the operands.")
    ] = "float32",
    existing: Annotated[
        bool, typer.Option("--existing", help="Measure in this environment, not in asv's own.")
    ] = False,
) -> None:
    """Measures commits that have no results here yet; asv keeps them, and nothing is asked.

    Exit codes: 0 done, 1 a case failed and is recorded as failed, 2 nothing could be measured.
    """
    config = _config()
    from flopline import data
    from flopline.history import commits, results, runner

    sys.path.insert(0, str(Path.cwd()))
    cases = importlib.import_module("benchmarks.cases")
    try:
        source = data.resolve().source
        if source.kind == "surrogate":  # or every process would try to download it again
            os.environ["FLOPLINE_DATA"] = data.SURROGATE
        threads = int(
            config.get("matrix", {}).get("env_nobuild", {}).get("OMP_NUM_THREADS", ["1"])[0]
        )
        found = runner.facts(machine, device=device, dtype=dtype, threads=threads, data=source.name)
        folder = Path(config["results_dir"])
        runner.write_machine(found, folder)
        plan = runner.Plan(
            Path.cwd(), folder, cases.CASES[scale], scale, device, dtype, cases.ROUNDS, cases.REPEAT, found,
            existing or device != "cpu",
        )  # fmt: skip
        chosen = runner.choose(Path.cwd(), revisions or [], newest)
        runner.run(plan, chosen)
    except (runner.RunnerError, commits.CommitError, data.DataError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted; what was measured is kept, and the next call goes on")
    failed = [
        f"{run.commit[:8]}: {case}"
        for run in results.read(folder).runs
        if run.commit in chosen and run.machine == plan.machine
        for case, measure in run.measures.items()
        if measure is None
    ]
    for line in failed[:20]:
        Console(stderr=True, soft_wrap=True).print(
            f"failed at {line}", markup=False, highlight=False
        )
    if len(failed) > 20:  # noqa: PLR2004  # a screenful
        Console(stderr=True).print(f"and {len(failed) - 20} more", highlight=False)
    raise typer.Exit(1 if failed else 0)
