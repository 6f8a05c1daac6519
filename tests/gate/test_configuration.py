from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flopline.gate.configuration import Configuration, ConfigurationError, Text, read
from flopline.gate.rules import Rule
from flopline.gate.sides.place import Place

if TYPE_CHECKING:
    from pathlib import Path

BENCHMARK = "[tool.flopline.gate.benchmark]\n"


def read_text(folder: Path, text: str) -> Configuration:
    (folder / "pyproject.toml").write_text(text, "utf-8")
    return read(Place(folder, None, folder))


def read_gate(folder: Path, lines: str) -> Configuration:
    return read_text(folder, f"[tool.flopline.gate]\n{lines}")


def refusal(folder: Path, text: str) -> str:
    """Returns what is said against a file, without the folder of the file."""
    with pytest.raises(ConfigurationError) as error:
        read_text(folder, text)
    message = str(error.value)
    assert message.startswith(f"{folder}/pyproject.toml")
    return message.removeprefix(f"{folder}/")


def test_a_project_without_a_file_or_table_has_no_configuration(tmp_path: Path) -> None:
    assert read(Place(tmp_path, None, tmp_path)) == Configuration()
    assert read_text(tmp_path, "") == Configuration()
    assert read_text(tmp_path, "[tool.flopline.gate]") == Configuration()


def test_options_have_the_values_of_the_command_line(tmp_path: Path) -> None:
    lines = (
        'detect = "2%"\nbudget = "60"\nisolated = true\nsuite-from = "each"\nreport-only = false'
    )
    assert read_gate(tmp_path, lines).options == {
        "detect": "2%",
        "budget": "60",
        "isolated": True,
        "suite-from": "each",
        "report-only": False,
    }


@pytest.mark.parametrize(
    ("value", "arguments"),
    [
        ("\"bench -k 'a or b'\"", ("bench", "-k", "a or b")),
        ('["a b/x.py", "-q"]', ("a b/x.py", "-q")),
        ('""', ()),
        ("[]", ()),
    ],
)
def test_a_suite_is_a_command_line_or_a_list_of_arguments(
    tmp_path: Path, value: str, arguments: tuple[str, ...]
) -> None:
    assert read_gate(tmp_path, f"suite = {value}").suite == arguments


def test_paths_of_a_suite_are_relative_to_the_project(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "docs").mkdir()
    suite = 'suite = "bench bench::test_a missing --benchmark-enable"'
    (tmp_path / "pyproject.toml").write_text(f"[tool.flopline.gate]\n{suite}", "utf-8")
    elsewhere = Place(tmp_path / "docs", tmp_path, tmp_path)
    expected = ("../bench", "../bench::test_a", "missing", "--benchmark-enable")
    assert read(elsewhere).suite == expected


def test_a_text_that_is_a_path_is_relative_to_the_project(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / "docs").mkdir()
    elsewhere = Place(tmp_path / "docs", tmp_path, tmp_path)
    read_path = Text().read
    assert read_path("key", ".venv", elsewhere) == "../.venv"
    assert read_path("key", "python3.12", elsewhere) == "python3.12"
    with pytest.raises(ConfigurationError, match="key must be a text, and is 3"):
        read_path("key", 3, elsewhere)


def test_tables_of_benchmarks_are_rules_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        '[tool.flopline.gate.benchmark."test_z[*"]\ndetect = "10%"\nreport-only = true\n'
        "[tool.flopline.gate.benchmark.test_a]\nignore = false\n"
        '[tool.flopline.gate.benchmark."x/y.py::*"]\n'
    )
    assert read_text(tmp_path, text).rules == (
        Rule("test_z[*", detect=0.1, report_only=True),
        Rule("test_a", ignore=False),
        Rule("x/y.py::*"),
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('detct = "3%"', "tool.flopline.gate has no key 'detct'; did you mean 'detect'? (k"),
        ('suite_from = "each"', "has no key 'suite_from'; did you mean 'suite-from'? (known: "),
        ("x = 1", "tool.flopline.gate has no key 'x'; known: suite, detect, alpha, budget, "),
        (
            "detect = 0.03",
            "gate.detect is 0.03; write it as on the command line, as a text ",
        ),
        (
            "budget = 60",
            "is 60; write it as on the command line, as a text with its unit, for exam",
        ),
        ('alpha = "99%"', "gate.alpha is '99%'; allowed is a number from 0.0001% to"),
        ("isolated = 1", "tool.flopline.gate.isolated must be true or false, and is 1"),
        ('inconclusive = "pas"', "must be one of fail, pass, and is 'pas'; did you mean 'pass'?"),
        ("suite-from = 3", "suite-from must be one of candidate, baseline, each, and is 3"),
        ("suite = 3", "tool.flopline.gate.suite must be a text or a list of texts, and is 3"),
        ('suite = ["a", 3]', "must be a text or a list of texts, and is ['a', 3]"),
        ('suite = "-k \'a"', "which cannot be split into arguments (no closing quotation)"),
        ("benchmark = 3", "tool.flopline.gate.benchmark must be a table, and is 3"),
    ],
)
def test_what_is_unknown_or_wrong_is_refused_with_file_and_key(
    tmp_path: Path, lines: str, message: str
) -> None:
    said = refusal(tmp_path, f"[tool.flopline.gate]\n{lines}")
    assert said.startswith("pyproject.toml: ")
    assert message in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a = 3", 'tool.flopline.gate.benchmark."a" must be a table, and is 3'),
        (
            "a.detect = 3",
            'tool.flopline.gate.benchmark."a".detect is 3; write it as on',
        ),
        (
            'a.detect = "0%"',
            "benchmark.\"a\".detect is '0%'; allowed is a number from 0.1% to 100%",
        ),
        ('a.ignore = "yes"', "benchmark.\"a\".ignore must be true or false, and is 'yes'"),
        ("a.report_only = true", "has no key 'report_only'; did you mean 'report-only'? ("),
        (
            "a.py.detect = 3",
            "benchmark.\"a\" has no key 'py'; put a pattern with dots in quotes (kn",
        ),
        ("'' = {}", 'benchmark."" names no benchmark; give a node id or a pattern'),
    ],
)
def test_a_table_of_benchmarks_is_refused_with_its_pattern(
    tmp_path: Path, lines: str, message: str
) -> None:
    said = refusal(tmp_path, BENCHMARK + lines)
    assert message in said
    assert "\n" not in said


def test_a_misspelt_table_is_refused_too(tmp_path: Path) -> None:
    said = refusal(tmp_path, "[tool.flopline.gates]\n")
    assert "tool.flopline has no key 'gates'; did you mean 'gate'?" in said
    assert "tool.flopline must be a table" in refusal(tmp_path, "[tool]\nflopline = 3")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "is no TOML: " in refusal(tmp_path, "[tool.flopline.gate]\ndetect = \n")
    (tmp_path / "pyproject.toml").unlink()
    (tmp_path / "pyproject.toml").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(Place(tmp_path, None, tmp_path))
