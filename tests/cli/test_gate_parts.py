"""`flopline gate --part`, and `flopline gate join`; nothing is built or measured here."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from flopline import cli
from flopline.gate import run as procedure
from flopline.gate import storage
from flopline.gate.parts import join
from flopline.gate.record import ExitCode, GateRecord, Part, Settings
from flopline.gate.sides import environment
from flopline.gate.tell import html, junit, markdown, text
from flopline.gate.tell.summary import summarise
from tests.gate.support.make_records import RECORD

if TYPE_CHECKING:
    from collections.abc import Sequence

SUITE = [row.id for row in RECORD.comparisons]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Puts this process into an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return tmp_path


@pytest.fixture
def requested(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings of the runs that are started; nothing is measured."""
    settings: list[Settings] = []

    def run(_: object, __: object, wanted: Settings, **___: object) -> GateRecord:
        settings.append(wanted)
        return replace(RECORD, exit_code=ExitCode.NO_REGRESSION)

    monkeypatch.setattr(environment, "sides", lambda *_, **__: nullcontext(("b", "c")))
    monkeypatch.setattr(procedure, "run", run)
    return settings


@pytest.fixture
def parts(here: Path) -> list[str]:
    """The files of both halves of a run, in which there is something of everything."""
    paths = []
    for number in (1, 2):
        part = Part(number, 2)
        share = part.share(SUITE)
        half = replace(
            RECORD,
            settings=RECORD.settings.for_part(part),
            suite=SUITE,
            blocks=[],
            comparisons=[row for row in RECORD.comparisons if row.id in share],
        )
        path = here / f"{number}.json"
        storage.save(half, path)
        paths.append(path.name)
    return paths


def gate(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["gate", *arguments], env={"COLUMNS": "100"})


def main(arguments: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Returns the exit code of the program, in which errors become messages."""
    monkeypatch.setattr(sys, "argv", ["flopline", "gate", *arguments])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # typer sets its own
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert isinstance(end.value.code, int)
    return end.value.code


# ---------------------------------------------------------------------------------- --part


def test_a_part_gets_its_share_of_the_error_rate(requested: list[Settings]) -> None:
    assert gate("--baseline", "main", "--part", " 2/4", "--alpha", "2%").exit_code == 0
    (settings,) = requested
    assert settings.part == Part(2, 4)
    assert settings.alpha == pytest.approx(0.005)


def test_without_a_part_the_whole_suite_is_measured(requested: list[Settings]) -> None:
    gate("--baseline", "main")
    gate("--baseline", "main", "--part", "1/1")
    assert requested == [Settings(), Settings()]


@pytest.mark.parametrize(
    "part", ["0/4", "5/4", "x", "", "4", "1/0", "0/0", "-1/4", "1/4/4", "1.0/4", "1/1001", "²/4"]
)
def test_a_part_that_does_not_exist_is_refused_with_an_example(
    requested: list[Settings], part: str
) -> None:
    result = gate("--baseline", "main", "--part", part)
    assert (result.exit_code, result.stdout, requested) == (2, "", [])
    (message,) = result.stderr.splitlines()
    assert message.startswith(f"flopline: --part is {part!r}; allowed is K/N")


def test_a_self_check_of_a_part_is_refused(requested: list[Settings]) -> None:
    result = gate("--baseline", "main", "--part", "1/2", "--self-check", "1")
    assert (result.exit_code, requested) == (2, [])
    assert "leave --part out" in result.stderr


# ------------------------------------------------------------------------------------ join


def test_join_prints_one_report_and_ends_with_its_exit_code(parts: list[str]) -> None:
    result = gate("join", *parts)
    joined = join([(file, storage.load(Path(file))) for file in parts])
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout == text.render(summarise(joined), 100) + "\n"
    assert joined.comparisons == RECORD.comparisons


def test_join_writes_the_formats_that_are_requested(parts: list[str], here: Path) -> None:
    options = ["--json", "r.json", "--markdown", "r.md", "--junit", "r.xml", "--html", "r.html"]
    assert gate("join", *options, *parts).exit_code == 1
    joined = storage.load(here / "r.json")
    summary = summarise(joined)
    assert (here / "r.md").read_text("utf-8") == markdown.render(summary)
    assert (here / "r.xml").read_text("utf-8") == junit.render(summary)
    page = html.render(summarise(joined, joined.values))
    assert (here / "r.html").read_text("utf-8") == page
    assert gate("show", "r.json").stdout == text.render(summary, 100) + "\n"


def test_a_missing_part_leaves_a_confirmed_regression_red(parts: list[str]) -> None:
    codes = []
    for file in parts:
        result = gate("join", file)
        regressed = "regressed" in {row.verdict for row in storage.load(Path(file)).comparisons}
        assert result.exit_code == (1 if regressed else 2)
        assert "the missing parts have 4 benchmarks: " in " ".join(result.stdout.split())
        codes.append(result.exit_code)
    assert 1 in codes


def test_join_refuses_what_is_no_record_by_its_name(
    parts: list[str],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (here / "x.json").write_text("not json", "utf-8")
    assert main(["join", parts[0], "x.json"], monkeypatch) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith("flopline: x.json is not JSON")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], "there is no record to join"),
        (["1.json", "1.json"], "1.json and 1.json are both part 1/2"),
        (["1.json", "nowhere.json"], "nowhere.json"),
        (["1.json", "--verbose"], "gate join has no option --verbose"),
        (["--json", "1.json", "1.json", "2.json"], "the same file is read"),
        (["--detect", "2%", "1.json"], "gate join measures nothing; leave --detect out"),
        (["--part", "1/2", "1.json"], "gate join measures nothing; leave --part out"),
    ],
)
def test_what_join_cannot_do_is_one_sentence_and_exit_code_2(
    parts: list[str],
    files: list[str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert parts
    assert main(["join", *files], monkeypatch) == 2
    captured = capsys.readouterr()
    (message,) = captured.err.splitlines()
    assert reason in message
    assert captured.out == ""


@pytest.mark.parametrize("word", ["join", "show"])
def test_after_the_dashes_a_word_is_an_argument_of_pytest(
    requested: list[Settings], word: str
) -> None:
    gate("--baseline", "main", "--", word, "x.json")
    assert requested[0].arguments == (word, "x.json")


def test_with_a_baseline_join_is_a_folder_of_the_suite(requested: list[Settings]) -> None:
    gate("--baseline", "main", "join")
    gate("-k", "join", "--baseline", "main")
    assert [settings.arguments for settings in requested] == [("join",), ("-k", "join")]


# ----------------------------------------------------------------------------------- reports


def test_the_report_on_a_part_names_it_and_its_error_rate() -> None:
    settings = RECORD.settings.for_part(Part(2, 4))
    summary = summarise(replace(RECORD, settings=settings))
    assert "part 2/4 of the suite" in summary.heading
    assert 'name="flopline gate, part 2/4"' in junit.render(summary)
    assert summary.properties["part"] == "2/4"
    (guarantee,) = (note for note in summary.notes if note.label == "guarantee")
    sentence = "".join(guarantee.sentences[0])
    assert "is at most 0.25 %, its share of 1 % for all 4 parts, whatever" in sentence


def test_the_report_on_joined_parts_names_machines_that_differ(here: Path) -> None:
    parts = []
    for number, cpu in ((1, "EPYC 7763"), (2, "Xeon \x1b[2J")):
        part = replace(
            RECORD,
            settings=RECORD.settings.for_part(Part(number, 2)),
            machine={"cpu": cpu, "usable_cores": 4, "os": "Linux"},
            suite=SUITE,
            seconds=100.0 * number,
        )
        parts.append((str(number), part))
    summary = summarise(join(parts))
    (note,) = (note for note in summary.settings if note.label == "parts")
    assert ["".join(sentence) for sentence in note.sentences] == [
        "2 of 2 joined: the longest took 200 s, all of them 300 s",
        "the machines differ; every benchmark was compared on one of them:",
        "EPYC 7763, 4 CPUs, Linux: 1/2",
        r"Xeon \x1b[2J, 4 CPUs, Linux: 2/2",
    ]
    assert summary.properties["parts"] == "1/2, 2/2"
