"""`flopline ci`: the gate as a step of a CI pipeline, on GitHub, GitLab and Jenkins."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flopline import FloplineError, files, git
from flopline.cli import gate as gate_command
from flopline.cli.console import complain, fail, print_text, showing, was_written
from flopline.gate.pipeline import Pipeline, PipelineError, find_baseline, read_pipeline
from flopline.gate.record import ExitCode

if TYPE_CHECKING:
    from flopline.gate.record import GateRecord

app = typer.Typer(
    no_args_is_help=True,
    help="Run the gate in a CI pipeline, which says with what its checkout is compared.",
)

RECORD, PAGE, JUNIT = "gate.json", "gate.md", "gate.xml"
"""The files that a pipeline keeps: the record, and the reports as Markdown and as JUnit XML."""
COMMENT = "comment.json"
"""What a comment on the pull request is made of, by a job that may write one."""
HIDDEN_BY_REPORT_ONLY = (ExitCode.REGRESSION, ExitCode.UNDECIDED)

# Every option can also be an environment variable, so that a workflow needs no quoting.
Suite = Annotated[
    str,
    typer.Option(
        metavar="ARGUMENTS",
        envvar="FLOPLINE_SUITE",
        help="Where the suite is, with any other arguments for pytest, as for a shell.",
    ),
]
Baseline = Annotated[
    str,
    typer.Option(
        metavar="REV",
        envvar="FLOPLINE_BASELINE",
        help="Compare with this revision or folder. Without it the pipeline says with what.",
    ),
]
Detect = Annotated[
    str, typer.Option(metavar="PERCENT", envvar="FLOPLINE_DETECT", help="As for flopline gate.")
]
Budget = Annotated[
    str, typer.Option(metavar="SECONDS", envvar="FLOPLINE_BUDGET", help="As for flopline gate.")
]
PartOfSuite = Annotated[
    str, typer.Option("--part", metavar="K/N", envvar="FLOPLINE_PART", help="As for flopline gate.")
]
Others = Annotated[
    str,
    typer.Option(
        "--options",
        metavar="OPTIONS",
        envvar="FLOPLINE_OPTIONS",
        help="Further options of flopline gate, as for a shell, for example --isolated.",
    ),
]
ReportOnly = Annotated[
    bool,
    typer.Option(
        "--report-only",
        envvar="FLOPLINE_REPORT_ONLY",
        help="End with 0 where the gate would end with 1 or 3. Everything is still reported.",
    ),
]
Folder = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        envvar="FLOPLINE_FOLDER",
        help=f"Write {RECORD}, {PAGE} and {JUNIT} into this folder.",
    ),
]
Join = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        envvar="FLOPLINE_JOIN",
        help=f"Measure nothing: give one verdict over every {RECORD} below this folder, the "
        "records of all parts.",
    ),
]
DEFAULT_FOLDER = Path("flopline-gate")


@app.command("baseline")
def baseline() -> None:
    """Print the commit with which this pipeline's checkout is compared.

    For a pull or merge request that is where its branch left the target, for a push the commit
    before it. Commits that a shallow clone lacks are fetched from origin.
    """
    print_text(f"{base_of_pipeline()}\n")


@app.command("gate")
def gate(
    *,
    suite: Suite = "",
    baseline: Baseline = "",
    detect: Detect = "",
    budget: Budget = "",
    part: PartOfSuite = "",
    options: Others = "",
    report_only: ReportOnly = False,
    join: Join = None,
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Find out whether a pipeline's checkout is slower than what it is compared with.

    Exit codes are those of flopline gate. In GitHub Actions the report is also shown in the summary
    of the job, and regressions beside the lines that call more than before.
    """
    pytest_arguments = split("--suite", suite)
    further = split("--options", options)
    clear(folder)
    given = {"--json": str(folder / RECORD), "--markdown": str(folder / PAGE)}
    given |= {"--junit": str(folder / JUNIT)}
    if join is None:
        base = baseline or git.run(Path(), "rev-parse", "--short", base_of_pipeline())
        given |= {"--baseline": base, "--detect": detect, "--budget": budget, "--part": part}
        operands = [*further, "--", *pytest_arguments]
    else:
        operands = ["join", *(str(record) for record in sorted(join.rglob(RECORD)))]
    code = run_gate([*(f"{name}={value}" for name, value in given.items() if value), *operands])
    end_in_github(folder, code, report_only=report_only)
    hidden = report_only and code in HIDDEN_BY_REPORT_ONLY
    raise typer.Exit(0 if hidden else code)


def clear(folder: Path) -> None:
    """Makes the folder for the files, without what an earlier run left in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (RECORD, PAGE, JUNIT, COMMENT):
            folder.joinpath(name).unlink(missing_ok=True)
    except OSError as error:
        fail(f"--folder is {folder}, which cannot be used ({error.strerror}); give another folder")


def split(option: str, text: str) -> list[str]:
    """Returns the arguments in an option's text; ends the command if a quotation mark is open."""
    try:
        return shlex.split(text)
    except ValueError as error:
        fail(f"{option} is {text!r}, which no shell could read ({error}); close what was opened")


def base_of_pipeline() -> str:
    """Returns the full hash of the commit with which the pipeline compares its checkout."""
    return find_baseline(Path(), read_pipeline(os.environ))


def run_gate(arguments: list[str]) -> int:
    """Runs `flopline gate` and returns its exit code; its message is shown if it could not work."""
    try:
        gate_command.app(args=arguments, prog_name="flopline gate")
    except SystemExit as end:
        return int(end.code or 0)
    except (FloplineError, OSError) as error:
        complain(str(error))
        return ExitCode.COULD_NOT_WORK
    return ExitCode.NO_REGRESSION


def end_in_github(folder: Path, code: int, *, report_only: bool) -> None:
    """Tells GitHub Actions, if it runs this, what a run has found.

    Args:
        folder: Where the record and the reports lie.
        code: The exit code of the run.
        report_only: Whether regressions do not fail the job.
    """
    from flopline.gate import storage
    from flopline.gate.tell import annotations

    file = folder / RECORD
    record = storage.load(file) if file.is_file() else None
    passes = report_only or code == ExitCode.NO_REGRESSION
    # What was found is told although the job passes; a run that could not do its work does not.
    if record and passes and code != ExitCode.COULD_NOT_WORK:
        code = record.found
    # What one part found is told with the whole, which has a verdict about all of the suite.
    in_github = os.environ.get("GITHUB_ACTIONS") == "true"
    if in_github and record and record.settings.part.of == 1:
        with showing(file):
            level: annotations.Level = "warning" if passes else "error"
            for line in annotations.render(record, repository_files(), level):
                print_text(f"{line}\n")
        write_comment(folder, record)
    if output := os.environ.get("GITHUB_OUTPUT"):
        facts = {"exit-code": str(int(code)), "result": ExitCode(code).word, "folder": str(folder)}
        text = "".join(f"{name}={value}\n" for name, value in facts.items())
        was_written(Path(output), lambda: files.append(Path(output), text))


def repository_files() -> frozenset[str]:
    """Returns the files of the checkout that git tracks, as paths from its root."""
    root = git.ask(Path(), "rev-parse", "--show-toplevel")
    if not root:
        return frozenset()
    return frozenset(git.ask(Path(root), "ls-files", "-z").split("\0"))


def write_comment(folder: Path, record: GateRecord) -> None:
    """Writes what a comment is made of, if the pipeline is one of a pull request.

    Of a report that is too long for a comment, that is only its first paragraph, the answer.
    """
    from flopline.gate.tell import markdown

    try:
        pipeline = read_pipeline(os.environ)
    except PipelineError:
        pipeline = Pipeline("")
    page = folder / PAGE
    if pipeline.pull_request is None or not page.is_file():
        return
    text = page.read_text("utf-8")
    if len(text) > markdown.COMMENT:
        text = text.partition("\n\n")[0]
    verdicts = [row.verdict for row in record.comparisons]
    facts = {
        "pull_request": pipeline.pull_request,
        "exit_code": int(record.found),
        "regressed": verdicts.count("regressed"),
        "improved": verdicts.count("improved"),
        "page": text,
    }
    comment = folder / COMMENT
    was_written(comment, lambda: files.write(comment, json.dumps(facts)))
