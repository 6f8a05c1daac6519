"""The chapter's commands, run as a program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flopline import records
from flopline.chapter import training
from flopline.chapter.claims import assess

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "flopline"]


def flopline(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"FLOPLINE_DATA": "surrogate", "COLUMNS": "200"}
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_train_prints_and_saves_what_it_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    done = flopline(
        "train", "gd", "batch100", "--strategy", "manual", "--seeds", "3", "--json", str(path)
    )
    assert done.returncode == 0, done.stderr
    assert "training, 3 seeds" in done.stdout
    assert (
        "gd diverges: the learning rate 1 is above the stability limit 2/lambda_max = 0.9531"
        in done.stdout
    )
    assert "data surrogate" in done.stdout
    found = records.load(path, training.Training)
    assert [trained.experiment.name for trained in found.experiments] == ["gd", "batch100"]
    assert {len(trained.runs) for trained in found.experiments} == {3}
    assert found.problem.source == "surrogate"


def test_train_takes_any_batch_size_rate_and_number_of_epochs(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    options = (
        "--strategy",
        "autograd",
        "--batch",
        "64",
        "--lr",
        "0.3",
        "--epochs",
        "1",
        "--every",
        "500",
    )
    assert flopline("train", "sgd", *options, "--seeds", "1", "--json", str(path)).returncode == 0
    (found,) = records.load(path, training.Training).experiments
    assert found.examples == (0, 512, 1024, 1500)
    assert (found.experiment.strategy, found.experiment.lr) == ("autograd", 0.3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "gdd"), "no experiment 'gdd'; there are gd, sgd,"),
        (("train", "gd", "--lr", "fast"), "Invalid value for '--lr'"),
        (("train", "gd", "--lr", "nan"), "the learning rate is nan; allowed is a number above 0"),
        (("train", "gd", "--batch", "0"), "the batch size is 0; allowed are 1 to 1500"),
        (("train", "gd", "--batch", "1501"), "the batch size is 1501; allowed are 1 to 1500"),
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
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text("before")
    if "--json" not in arguments:
        arguments = (*arguments, "--json", str(kept))
    done = flopline(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["kept.json"]
    assert kept.read_text() == "before"


def test_an_interrupted_training_saves_the_finished_seeds(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    arguments = [*COMMAND, "train", "batch10", "--seeds", "100000", "--json", str(path)]
    environment = os.environ | {"FLOPLINE_DATA": "surrogate"}
    with subprocess.Popen(
        arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as run:
        time.sleep(
            15
        )  # long enough for some seeds, however busy the machine; far too short for all
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 0, said
    assert b"of 100000 seeds finished and are kept" in said
    (found,) = records.load(path, training.Training).experiments
    assert 1 <= len(found.runs) < 100_000


def test_machine_prints_the_ceilings_and_explains_every_product(tmp_path: Path) -> None:
    path = tmp_path / "machine.json"
    done = flopline("machine", "--json", str(path))
    assert done.returncode == 0, done.stderr
    titles = {
        "ceilings, threads 1",
        "products by their width",
        "max(flops/as narrow, bytes/read) + calls x overhead",
    }
    assert titles <= set(done.stdout.splitlines())
    found = json.loads(path.read_text())
    assert (found["kind"], found["schema_version"]) == ("machine", 2)
    cases = {row["case"] for row in found["cases"]}
    assert {
        "matmul/strategy=element/n=256",
        "matmul/strategy=full/n=512",
        "matmul/strategy=full/n=2048",
    } <= cases
    assert all(row["explained"] > 0 for row in found["cases"])


def test_claims_prints_and_saves_those_it_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    done = flopline("claims", "--only", "C15,c10", "--json", str(path))
    assert done.returncode == 0, done.stderr
    assert "2 refuted" in done.stdout
    assert "2 / lambda_max" in done.stdout
    assert [each.id for each in records.load(path, assess.ClaimsRecord).assessed] == ["C10", "C15"]


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--bench", "{", "is not JSON"),
        ("--train", '{"kind": "claims", "schema_version": 1}', "here one of `flopline train`"),
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
    tmp_path: Path, option: str, text: str, said: str
) -> None:
    (tmp_path / "given.json").write_text(text)
    (tmp_path / "page.html").write_text("before")
    done = flopline("report", "page.html", option, "given.json", cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert (tmp_path / "page.html").read_text() == "before"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["given.json", "page.html"]


def test_a_report_needs_its_folders(tmp_path: Path) -> None:
    assert (
        "there is no such folder" in flopline("report", "--figures", "nowhere", cwd=tmp_path).stderr
    )
    assert "cannot be written" in flopline("report", "no/page.html", cwd=tmp_path).stderr
