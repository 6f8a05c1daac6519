"""Regressions beside the lines that cause them, as GitHub's runner reads them."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given

from flopline.gate.record import Difference, ExitCode
from flopline.gate.tell.annotations import MOST, render
from tests.gate.support.make_records import (
    FILE,
    HOSTILE,
    RECORD,
    REGRESSED,
    REGRESSED_MORE,
    changed,
    record_of,
    reworded,
)


def test_a_regression_is_shown_at_the_line_that_calls_more_than_before() -> None:
    (line,) = [line for line in render(RECORD, ["matmul.py"], "error") if "file=" in line]
    assert line == (
        "::error file=matmul.py,line=88,title=test_a[tile] is 3.2 %25 slower::"
        "256 more calls of Tensor.contiguous in a run (0 before).%0A"
        f"{FILE}::test_a[tile] takes 3.2 %25 more time (95 %25 interval +2.9 %25 to +3.5 %25)."
    )


def test_a_regression_without_such_a_line_is_shown_beside_none_and_says_so() -> None:
    first = render(RECORD, ["matmul.py"], "warning")[0]
    assert first.startswith("::warning title=test_a[loader] is 11.2 %25 slower::No line of the")
    assert "file=" not in first


def test_installed_code_is_found_where_the_repository_has_it() -> None:
    assert "file=python/src/matmul.py," in render(RECORD, ["python/src/matmul.py"], "error")[1]


def test_a_path_outside_the_repository_or_of_two_files_gets_no_line() -> None:
    for files in ([], ["other.py", "xmatmul.py"], ["a/matmul.py", "b/matmul.py"]):
        assert not any("file=" in line for line in render(RECORD, files, "error"))
    distant = [Difference("f", "/usr/lib/python3/matmul.py:3", 0, 9, 1.0)]
    record = changed(explanations={REGRESSED.id: distant})
    assert not any("file=" in line for line in render(record, ["matmul.py"], "error"))


def test_a_line_that_calls_less_is_the_baselines_and_gets_no_annotation() -> None:
    record = changed(explanations={REGRESSED.id: [Difference("f", "matmul.py:3", 9, 0, 1.0)]})
    assert not any("file=" in line for line in render(record, ["matmul.py"], "error"))


def test_regressions_with_the_same_line_are_one_annotation() -> None:
    same = [Difference("f", "matmul.py:3", 0, 9, 1.0)]
    names = [f"{FILE}::test_{number}" for number in range(6)]
    rows = [replace(REGRESSED, id=name, change=0.5 - 0.01 * n) for n, name in enumerate(names)]
    record = replace(record_of(rows), explanations=dict.fromkeys(names, same))
    (line,) = render(record, ["matmul.py"], "error")
    assert "title=test_0 is 50.0 %25 slower%2C and 5 more::9 more calls of f" in line
    assert line.endswith("and so do 3 more.")


def test_a_regression_that_does_not_fail_the_run_is_a_warning() -> None:
    rows = [REGRESSED_MORE, replace(REGRESSED, accepted="385a50c")]
    record = replace(record_of(rows), explanations=RECORD.explanations)
    failing, accepted = render(record, ["matmul.py"], "error")
    assert failing.startswith("::error title=test_a[loader]")
    assert accepted.startswith("::warning file=matmul.py,line=88,title=test_a[tile]")


def test_there_are_no_more_annotations_than_github_shows() -> None:
    names = [f"{FILE}::test_{number}" for number in range(2 * MOST)]
    calls = {
        name: [Difference("f", f"matmul.py:{n + 1}", 0, 9, 1.0)] for n, name in enumerate(names)
    }
    record = replace(record_of([replace(REGRESSED, id=name) for name in names]), explanations=calls)
    assert len(render(record, ["matmul.py"], "error")) == MOST


def test_a_run_without_an_answer_says_why_and_one_that_passed_says_nothing() -> None:
    for code in (ExitCode.COULD_NOT_WORK, ExitCode.UNDECIDED):
        (line,) = render(record_of([], result="a: b, c", exit_code=code), [], "error")
        assert line == f"::error title=flopline gate%3A {code.word}::a: b, c"
    assert render(record_of([], exit_code=ExitCode.NO_REGRESSION), [], "error") == []


@given(HOSTILE)
def test_names_cannot_end_an_annotation_or_begin_another_command(words: str) -> None:
    record = reworded(words)
    regressed = [replace(REGRESSED_MORE, id=f"x.py::{words}"), replace(REGRESSED, id=words)]
    for line in render(replace(record, comparisons=regressed), [words, "a.py"], "error"):
        assert line.isprintable()
        command = re.fullmatch(r"::error (?P<properties>[^:]*)::(?P<message>.*)", line)
        assert command
        for pair in command["properties"].split(","):
            assert pair.partition("=")[0] in {"file", "line", "title"}
