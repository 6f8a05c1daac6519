"""The chapter's commands; one of each kind is run as a program, the others in this process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flopline import cli, records
from flopline.chapter import page as chapter_page
from flopline.chapter import prediction, training
from flopline.chapter.claims.assess import ClaimsRecord
from flopline.cli import suite
from tests.support import chapter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flopline.chapter.page import ChapterRecords
    from flopline.progress import Report
    from flopline.workload import Workload

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "flopline"]


@dataclass(frozen=True)
class Done:
    """What a command left behind: its exit code and its output."""

    code: object
    out: str
    err: str


@pytest.fixture
def flopline(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Runs the command line in this process."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["flopline", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return Done(end.value.code or 0, out, err)

    return run


def test_train_prints_and_saves_what_it_was_asked_for(
    flopline: Callable[..., Done], tmp_path: Path
) -> None:
    path = tmp_path / "train.json"
    experiments = ("gd", "batch100", "--strategy", "manual", "--seeds", "3")
    done = flopline("train", *experiments, "--json", str(path))
    assert done.code == 0, done.err
    assert "training, 3 seeds" in done.out
    assert (
        "gd diverges: the learning rate 1 is above the stability limit 2/lambda_max = 0.9531"
    ) in done.out
    assert "data surrogate" in done.out
    record = records.load(path, training.TrainingRecord)
    assert [result.experiment.name for result in record.experiments] == ["gd", "batch100"]
    assert {len(result.runs) for result in record.experiments} == {3}
    assert record.loss.source == "surrogate"


@pytest.mark.parametrize("option", ["--minibatch", "--batch"])
def test_train_takes_any_minibatch_size_rate_and_number_of_epochs(
    flopline: Callable[..., Done], tmp_path: Path, option: str
) -> None:
    path = tmp_path / "train.json"
    options = ("--strategy", "autograd", "--lr", "0.3", "--epochs", "1", "--every", "500")
    done = flopline("train", "sgd", option, "64", *options, "--seeds", "1", "--json", str(path))
    assert done.code == 0, done.err
    (result,) = records.load(path, training.TrainingRecord).experiments
    assert result.examples == (0, 512, 1024, 1500)
    assert result.experiment.strategy == "autograd"
    assert result.experiment.lr == 0.3
    assert result.experiment.minibatch == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "gdd"), "no experiment 'gdd'; there are gd, sgd,"),
        (("train", "gd", "--lr", "fast"), "Invalid value for '--lr'"),
        (("train", "gd", "--lr", "nan"), "the learning rate is nan; allowed is a number above 0"),
        (("train", "gd", "--batch", "0"), "the minibatch size is 0; allowed are 1 to 1500"),
        (("train", "gd", "--batch", "1501"), "the minibatch size is 1501; allowed are 1 to 1500"),
        (("train", "gd", "--strategy", "manul"), "no strategy 'manul'. Did you mean 'manual'?"),
        (("train", "gd", "--every", "0"), "the distance between points is 0"),
        (("train", "gd", "--data", "nowhere.dat"), "names 'nowhere.dat', which is no file"),
        (("train", "gd", "--json", "no/such/folder.json"), "cannot be written"),
        (("machine", "--json", "no/such/folder.json"), "cannot be written"),
        (("claims", "--only", "C9,C99"), "no claim C99; there are C1 to C28"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_refused_in_words_and_nothing_is_written(
    flopline: Callable[..., Done],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    kept = tmp_path / "kept.json"
    kept.write_text("before")
    if "--json" not in arguments:
        arguments = (*arguments, "--json", str(kept))
    done = flopline(*arguments)
    assert done.code == 2
    assert message in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err
    assert [file.name for file in tmp_path.iterdir()] == ["kept.json"]
    assert kept.read_text() == "before"


def test_bad_input_ends_the_program_with_code_2(tmp_path: Path) -> None:
    arguments = [*COMMAND, "train", "gd", "--lr", "nan", "--json", str(tmp_path / "train.json")]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the learning rate is nan" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_training_saves_the_finished_seeds(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    arguments = [*COMMAND, "train", "batch10", "--strategy", "manual", "--seeds", "100000"]
    with subprocess.Popen(
        [*arguments, "--json", str(path)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        assert run.stderr is not None
        line = run.stderr.readline()
        while line and not re.search(rb"training, ([2-9]|\d\d+) of", line):
            line = run.stderr.readline()
        run.send_signal(signal.SIGINT)
        _, messages = run.communicate(timeout=60)
    assert run.returncode == 2, messages
    assert b"of 100000 seeds finished and are kept" in messages
    (result,) = records.load(path, training.TrainingRecord).experiments
    assert 1 <= len(result.runs) < 100_000


def test_an_interrupt_before_the_first_seed_writes_nothing(
    flopline: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "run_experiment", interrupt)
    path = tmp_path / "train.json"
    done = flopline("train", "gd", "--strategy", "manual", "--json", str(path))
    assert done.code == 2
    assert "interrupted; nothing was written" in done.err
    assert not path.exists()


def test_machine_prints_and_saves_the_prediction_of_every_product(
    flopline: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[str] = []

    def record_machine(
        workloads: Sequence[Workload], *, report: Report
    ) -> prediction.MachineRecord:
        del report
        prepared.extend(workload.case.name for workload in workloads)
        return chapter.machine_record()

    monkeypatch.setattr(prediction, "record_machine", record_machine)
    monkeypatch.chdir(ROOT)
    path = tmp_path / "machine.json"
    done = flopline("machine", "--json", str(path))
    assert done.code == 0, done.err
    tables = ROOT / "tests" / "chapter" / "tables"
    assert done.out == (tables / "machine.txt").read_text()
    assert records.load(path, prediction.MachineRecord) == chapter.machine_record()
    quick = [name for name in suite.suite_cases().QUICK if name.startswith("matmul/")]
    whole = [f"matmul/strategy=full/n={n}" for n in (512, 2048)]
    assert prepared == [*quick, *whole]
    assert "matmul/strategy=element/n=256" in prepared


TINY_SUITE = """
QUICK = ("matmul/strategy=row/n=32", "sgd/strategy=manual/batch=10")
"""


def test_machine_measures_the_products_of_a_suite(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "flopline"\n')
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "cases.py").write_text(TINY_SUITE)
    done = subprocess.run(
        [*COMMAND, "machine", "--json", "machine.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    titles = {"ceilings, threads 1", "products by their width", "predicted and measured times"}
    assert titles <= set(done.stdout.splitlines())
    record = records.load(tmp_path / "machine.json", prediction.MachineRecord)
    assert [predicted.case for predicted in record.cases] == [
        "matmul/strategy=row/n=32",
        "matmul/strategy=full/n=512",
        "matmul/strategy=full/n=2048",
    ]
    assert all(predicted.explained > 0 for predicted in record.cases)


def test_claims_prints_and_saves_those_it_was_asked_for(
    flopline: Callable[..., Done], tmp_path: Path
) -> None:
    path = tmp_path / "claims.json"
    done = flopline("claims", "--only", "C15,c10", "--json", str(path))
    assert done.code == 0, done.err
    assert "2 refuted" in done.out
    assert "2 / lambda_max" in done.out
    assert [claim.id for claim in records.load(path, ClaimsRecord).assessed] == ["C10", "C15"]


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--bench", "{", "is not JSON"),
        ("--train", '{"kind": "claims", "schema_version": 2}', "here one of `flopline train`"),
        (
            "--claims",
            '{"kind": "claims", "schema_version": 7}',
            "schema version 7; this flopline reads 2",
        ),
        ("--machine", "[]", "holds a JSON list"),
        ("--bench", '{"benchmarks": []}', "no record of flopline's"),
    ],
)
def test_a_report_refuses_a_wrong_file_before_anything_is_measured(
    flopline: Callable[..., Done], tmp_path: Path, option: str, text: str, message: str
) -> None:
    given, page = tmp_path / "given.json", tmp_path / "page.html"
    given.write_text(text)
    page.write_text("before")
    done = flopline("report", str(page), option, str(given))
    assert done.code == 2
    assert message in done.err
    assert page.read_text() == "before"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["given.json", "page.html"]


def test_a_report_needs_its_folders(
    flopline: Callable[..., Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no such folder" in flopline("report", "--figures", "nowhere").err
    assert "cannot be written" in flopline("report", "no/page.html").err


@dataclass
class Written:
    """What a report was asked to write, instead of writing it."""

    shown: list[ChapterRecords] = field(default_factory=list)
    page: Path | None = None
    folder: Path | None = None

    def write(self, shown: ChapterRecords, page: Path, folder: Path | None) -> None:
        """Stands in for `page.write`, which draws every picture."""
        self.shown.append(shown)
        self.page, self.folder = page, folder


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    stand_in = Written()
    monkeypatch.setattr(chapter_page, "write", stand_in.write)
    return stand_in


def test_a_report_of_saved_records_measures_nothing(
    flopline: Callable[..., Done], written: Written, tmp_path: Path
) -> None:
    shown = chapter.chapter_records()
    options = [f"--{name}={file}" for name, file in chapter.save(shown, tmp_path).items()]
    done = flopline("report", "page.html", *options, f"--figures={tmp_path}")
    assert done.code == 0, done.err
    assert done.out == "wrote page.html\n"
    assert (written.page, written.folder) == (Path("page.html"), tmp_path)
    assert written.shown[0].training == shown.training
    assert written.shown[0].claims == shown.claims
    assert written.shown[0].machine == shown.machine
    assert written.shown[0].bench.rows == shown.bench.rows


@pytest.mark.parametrize("missing", ["bench", "train", "claims", "machine"])
def test_a_report_measures_only_what_is_missing(
    flopline: Callable[..., Done],
    written: Written,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
) -> None:
    shown = chapter.chapter_records()
    measured = []

    def stand_in(command: str) -> Callable[..., object]:
        def measure(*_arguments: object) -> object:
            measured.append(command)
            return shown.by_command()[command]

        return measure

    monkeypatch.setattr(cli.chapter, "measure_bench", stand_in("bench"))
    monkeypatch.setattr(cli.chapter, "measure_training", stand_in("train"))
    monkeypatch.setattr(cli.chapter, "measure_claims", stand_in("claims"))
    monkeypatch.setattr(cli.chapter, "measure_machine", stand_in("machine"))
    files = chapter.save(shown, tmp_path)
    options = [f"--{command}={file}" for command, file in files.items() if command != missing]
    done = flopline("report", "page.html", *options)
    assert done.code == 0, done.err
    assert measured == [missing]
    assert written.shown[0].by_command()[missing] == shown.by_command()[missing]
