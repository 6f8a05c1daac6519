from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given

from flopline.gate.record import Comparison, Difference, ExitCode, Loss, Settings
from flopline.gate.rules import Rule
from flopline.gate.tell.columns import COLUMNS
from flopline.gate.tell.summary import Note, Summary, summarise
from tests.gate.support.make_records import (
    CONFIRMED_SAME,
    FEW,
    FILE,
    HOSTILE,
    IMPROVED,
    NOISY,
    QUAD,
    RECORD,
    REGRESSED,
    REGRESSED_MORE,
    SAME,
    changed,
    make_block,
    make_unchanged,
    record_of,
    reworded,
)


def notes(summary: Summary) -> dict[str, str]:
    """Returns what the notes and the settings say, by label."""
    said = {}
    for note in (*summary.settings, *summary.notes):
        said[note.label] = "\n".join("".join(sentence) for sentence in note.sentences)
    return said


def strings(value: object) -> list[str]:
    """Returns every string in a summary, however deep."""
    if isinstance(value, str):
        return [value]
    if dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, dict):
        value = list(value.values())
    found: list[str] = []
    if isinstance(value, list | tuple):
        for inner in value:
            found += strings(inner)
    return found


def test_every_column_has_a_cell_in_every_row() -> None:
    summary = summarise(RECORD)
    names = [column.name for column in COLUMNS]
    assert len(set(names)) == len(names)
    for cells in [summary.unchanged.cells, *(row.cells for row in summary.rows)]:
        assert list(cells) == names


def test_the_detectable_slowdown_is_explained() -> None:
    (column,) = (column for column in COLUMNS if column.name == "detectable")
    assert column.legend == (
        "the smallest slowdown that would have been called regressed, with a probability of 90 %"
    )


def test_the_largest_regression_then_the_largest_improvement_come_first() -> None:
    regressed = [
        dataclasses.replace(REGRESSED, id=f"a.py::{n}", change=n / 100) for n in (5, 30, 20)
    ]
    improved = dataclasses.replace(IMPROVED, id="a.py::most", change=-0.4)
    rows = [*regressed, SAME, IMPROVED, improved, make_unchanged("a.py::other", 0.009)]
    shown = [row.cells["change"] for row in summarise(record_of(rows)).rows]
    assert shown == ["+30.0 %", "+20.0 %", "+5.0 %", "-40.0 %", "-27.0 %", "+0.9 %", "+0.1 %"]


def test_a_tested_benchmark_shows_its_evidence() -> None:
    (row,) = summarise(record_of([REGRESSED])).rows
    assert row.evidence == ("11/12 blocks above +1 %, p = 0.00049",)
    (row,) = summarise(record_of([CONFIRMED_SAME])).rows
    assert row.evidence == ("0/12 blocks below -1 %, p = 0.31, where Holm's limit is 0.005",)


def test_noise_is_the_reason_only_where_nothing_else_is() -> None:
    sentence = "too noisy: a slowdown of 3.0 % might not have been found"
    near = "a slowdown of 3.0 % is not ruled out"
    noted = dataclasses.replace(NOISY, note="only one block")
    quiet = dataclasses.replace(NOISY, detectable=0.02)
    rows = summarise(record_of([NOISY, noted, quiet])).rows
    assert [row.evidence for row in rows] == [(sentence,), ("only one block",), (near,)]


def test_what_only_one_side_calls_has_no_second_number() -> None:
    calls = summarise(RECORD).rows[1].calls
    assert ["".join(sentence) for sentence in calls] == [
        "+256 calls of Tensor.contiguous from matmul.py:88 (roughly 40 us)",
        "+1 call of len from matmul.py:90 (3 instead of 2, roughly 1 us)",
        "-1 call of abs from matmul.py:91",
    ]
    assert summarise(RECORD).rows[0].calls == (("no difference in calls",),)
    assert summarise(record_of([REGRESSED])).rows[0].calls == ()


def test_unchanged_benchmarks_together_have_the_largest_values() -> None:
    rows = [make_unchanged(f"a.py::test[{n}]", -0.001 * n) for n in range(11)]
    rows[3] = dataclasses.replace(rows[3], detectable=0.0234, clock="wall")
    unchanged = summarise(record_of([*rows, NOISY])).unchanged
    assert unchanged.count == 11
    assert unchanged.cells["change"] == "±1.0 %"
    assert unchanged.cells["detectable"] == "+2.4 %"
    assert unchanged.cells["clock"] == "cpu, wall"
    assert unchanged.words == "11 unchanged: change at most ±1.0 %, detectable at most +2.4 %"


def test_names_are_shown_without_the_file_or_folder_they_share() -> None:
    summary = summarise(RECORD)
    assert notes(summary)["ids in"] == FILE
    assert summary.rows[0].name == "test_a[loader]"
    assert summary.rows[0].id == f"{FILE}::test_a[loader]"
    assert notes(summary)["removed"] == "2 only on the baseline: test_old, test_older"


def test_there_is_no_guarantee_where_the_gate_could_not_do_its_work() -> None:
    assert "guarantee" in notes(summarise(RECORD))
    record = changed(exit_code=ExitCode.COULD_NOT_WORK)
    assert "guarantee" not in notes(summarise(record))


def test_the_guarantee_says_alpha_and_margin_as_they_are() -> None:
    summary = summarise(changed(settings=Settings(detect=0.02, alpha=0.005)))
    covered, _, not_covered = notes(summary)["guarantee"].partition(". ")
    assert "at most 0.5 %" in covered
    assert "up to 0.67 % of that is tolerated" in not_covered


def test_benchmarks_with_the_same_reason_stand_in_one_paragraph() -> None:
    rows = [dataclasses.replace(NOISY, id=f"a.py::test[{n}]") for n in range(12)]
    (explanation,) = summarise(record_of(rows)).explanations
    assert len(explanation.names) == 12
    assert explanation.title.endswith("test[9] and 2 more")


def test_fewer_calls_are_never_the_first_explanation() -> None:
    fewer = Difference("list.append", "a.py:1", 100, 0, 0.1)
    record = dataclasses.replace(record_of([REGRESSED]), explanations={REGRESSED.id: [fewer]})
    calls = ["".join(sentence) for sentence in summarise(record).rows[0].calls]
    assert calls == [
        "no additional calls, so calls do not explain it",
        "-100 calls of list.append from a.py:1",
    ]


@pytest.mark.parametrize(
    ("randomised", "said"), [(0, "off"), (1, "on in 1 of 4 blocks"), (4, "on")]
)
def test_it_is_said_in_how_many_blocks_addresses_were_random(randomised: int, said: str) -> None:
    blocks = [make_block("screen", 3, randomised=n < randomised) for n in range(4)]
    noise = notes(summarise(changed(blocks=blocks)))["noise"]
    assert f"ASLR {said}   " in noise


def test_a_loss_names_its_side_and_in_how_many_blocks() -> None:
    skipped = {"a.py::x": Loss(None, "setup", "skipped", "no file")}
    hung = {"a.py::y": Loss("baseline", "call", "hung", "")}
    blocks = [
        make_block("screen", 3, lost=skipped, quads={}),
        make_block("screen", 3, quads={"a.py::x": [QUAD]}),
        make_block("screen", 3, lost=hung, quads={}),
    ]
    record = dataclasses.replace(record_of([make_unchanged("a.py::x")]), blocks=blocks)
    first, second = summarise(record).lost
    assert (first.name, first.why) == ("x", "skipped on both sides (setup) in 1 of 2 blocks")
    assert first.output == ("no file",)
    assert (second.name, second.why) == ("y", "hung on the baseline (call) in 1 of 1 blocks")


def test_a_loss_of_its_own_explains_more_than_one_by_anothers_fault() -> None:
    stopped = {"a.py::x": Loss("baseline", "process", "stopped", "after a.py::y crashed")}
    failed = {"a.py::x": Loss("candidate", "call", "failed", "ValueError")}
    blocks = [make_block("screen", 3, lost=lost, quads={}) for lost in (stopped, failed)]
    (lost,) = summarise(dataclasses.replace(record_of([]), blocks=blocks)).lost
    assert lost.why == "failed on the candidate (call) in 2 of 2 blocks"


def test_what_anothers_fault_stopped_is_lost_only_if_never_measured() -> None:
    stopped = Loss(None, "process", "stopped", "after a.py::x crashed")
    lost = {"a.py::y": stopped, "a.py::z": stopped}
    blocks = [
        make_block("screen", 3, lost=lost, quads={}),
        make_block("screen", 3, quads={"a.py::y": [QUAD]}),
    ]
    record = dataclasses.replace(record_of([make_unchanged("a.py::y")]), blocks=blocks)
    assert [lost.name for lost in summarise(record).lost] == ["z"]


def test_many_losses_and_long_ones_are_cut() -> None:
    output = "\n".join(f"line {n}" for n in range(30))
    lost = {f"a.py::t{n}": Loss("candidate", "call", "failed", output) for n in range(13)}
    blocks = [make_block("screen", 3, lost=lost)]
    summary = summarise(dataclasses.replace(record_of([]), blocks=blocks))
    assert len(summary.lost) == 10
    assert summary.more_lost == 3
    for benchmark in summary.lost:
        assert benchmark.output == tuple(f"line {n}" for n in range(20, 30))


def test_many_names_on_one_side_are_cut() -> None:
    summary = summarise(changed(added=list("abcdefghijkl")))
    said = "12 only on the candidate: a, b, c, d, e, f, g, h, i, j and 2 more"
    assert notes(summary)["added"] == said


def test_every_warning_is_a_note_that_keeps_its_lines() -> None:
    summary = summarise(changed(warnings=["two\nlines", "one"]))
    assert Note("warning", (("two",), ("lines",))) in summary.notes
    assert Note("warning", (("one",),)) in summary.notes


@pytest.mark.parametrize("code", list(ExitCode))
def test_the_answer_says_what_the_exit_code_means(code: ExitCode) -> None:
    answer = summarise(changed(result="so it is", exit_code=code)).answer
    assert answer == f"so it is (exit code {int(code)}: {code.meaning})"


def test_a_result_that_is_the_meaning_is_not_said_twice() -> None:
    record = changed(result="no regression", exit_code=ExitCode.NO_REGRESSION)
    assert summarise(record).answer == "no regression (exit code 0)"


@pytest.mark.parametrize(
    ("settings", "cause"),
    [(Settings(report_only=True), "report-only"), (Settings(inconclusive="pass"), "pass")],
)
def test_the_answer_says_what_the_exit_code_would_have_been(settings: Settings, cause: str) -> None:
    record = changed(settings=settings, exit_code=ExitCode(0), judged=ExitCode(3))
    answer = summarise(record).answer
    assert answer.startswith("2 confirmed regressions (exit code 0 because of ")
    assert answer.endswith(f"{cause}; otherwise 3: {ExitCode(3).meaning})")


def test_an_accepted_regression_comes_after_the_others_with_its_commit() -> None:
    accepted = dataclasses.replace(REGRESSED_MORE, accepted="1a2b3c4")
    first, second = summarise(record_of([accepted, REGRESSED])).rows
    assert (first.id, second.id) == (REGRESSED.id, REGRESSED_MORE.id)
    assert (first.is_binding, second.is_binding) == (True, False)
    assert (first.cells["verdict"], second.cells["verdict"]) == ("regressed", "accepted")
    assert second.evidence[0] == "the commit message of 1a2b3c4 accepts a slowdown"


def test_what_is_asked_of_some_benchmarks_is_said() -> None:
    rules = (Rule("test_a", detect=0.1), Rule("test_same", detect=0.05), Rule("test_lost"))
    reported = dataclasses.replace(NOISY, report_only=True)
    rows = [reported, SAME, CONFIRMED_SAME]
    record = record_of(rows, settings=Settings(rules=rules), ignored=["z.py::test_z"])
    said = notes(summarise(record))
    assert said["settings"] == (
        "detect 5.0 %: test_same[1], test_same[2]\ndetect 10.0 %: test_a[naive]\n"
        "report-only: test_a[naive]"
    )
    assert said["ignored"] == "1 not measured: z.py::test_z"
    assert "up to 1 % (a third of its own detect where it has one)" in said["guarantee"]


def test_the_reason_names_the_benchmarks_own_detect() -> None:
    settings = Settings(rules=(Rule("test_a", detect=0.1),))
    (row,) = summarise(record_of([NOISY], settings=settings)).rows
    assert row.evidence == ("a slowdown of 10.0 % is not ruled out",)
    (row,) = summarise(record_of([REGRESSED], settings=settings)).rows
    assert row.evidence == ("11/12 blocks above +3.3 %, p = 0.00049",)


def test_a_run_that_measured_nothing_has_heading_and_result() -> None:
    summary = summarise(
        record_of(
            [],
            canary=None,
            control=None,
            noise=None,
            warnings=[],
            result="no benchmark found",
            exit_code=ExitCode.COULD_NOT_WORK,
        )
    )
    assert summary.heading == (
        "baseline origin/main (1a2b3c4)",
        "candidate working tree",
        "0 benchmarks",
        "168 s",
    )
    assert (summary.settings, summary.rows, summary.lost, summary.notes) == ((), (), (), ())
    assert summary.result == ("no benchmark found",)


def test_one_benchmark_is_not_benchmarks() -> None:
    assert "1 benchmark" in summarise(record_of([FEW])).heading


@given(HOSTILE)
@example("\x1b]0;title\x07")
@example("two\nlines")
def test_every_string_is_one_line_of_printable_characters(words: str) -> None:
    for string in strings(summarise(reworded(words))):
        assert string.isprintable()


def test_what_both_sides_of_an_asv_suite_skip_is_one_note() -> None:
    lost = {
        "bench.time_x(1)": Loss(None, "setup", "skipped", "says so"),
        "bench.time_x(2)": Loss("candidate", "setup", "skipped", "says so"),
    }
    rows = [Comparison(name, "not comparable") for name in lost]
    blocks = [make_block("screen", 3, lost=lost)] * 2
    for asv, count in (("bench", 1), ("", 2)):
        settings = Settings(asv=asv)
        summary = summarise(changed(comparisons=rows, blocks=blocks, settings=settings))
        assert len(summary.rows) == len(summary.lost) == count
        told = notes(summary).get("skipped", "")
        assert told == ("1 do not apply, as they say on both sides: bench.time_x(1)" * bool(asv))


def explained(*differences: Difference, **facts: float) -> list[str]:
    """Returns what is said of the calls of one benchmark with these differences."""
    row = dataclasses.replace(REGRESSED, **facts)  # type: ignore[arg-type]  # numbers only
    record = dataclasses.replace(record_of([row]), explanations={row.id: list(differences)})
    return ["".join(sentence) for sentence in summarise(record).rows[0].calls]


def test_an_explanation_has_at_most_five_more_and_two_fewer_calls() -> None:
    more = [Difference(f"f{n}", "a.py:1", 0, 1, 1.0) for n in range(9)]
    fewer = [Difference(f"g{n}", "a.py:1", 1, 0, 1.0) for n in range(9)]
    said = explained(*more, *fewer)
    assert [line.split()[3] for line in said if line.startswith("+")] == [
        "f0",
        "f1",
        "f2",
        "f3",
        "f4",
    ]
    assert "and additional calls from 4 other lines" in said
    assert [line for line in said if line.startswith("-")] == [
        "-1 call of g0 from a.py:1",
        "-1 call of g1 from a.py:1",
    ]


def test_calls_that_take_far_less_than_is_lost_hardly_explain_it() -> None:
    little, much = (Difference("f", "a.py:1", 0, 1, seconds) for seconds in (1e-6, 1e-3))
    hint = "so hardly explain it"
    assert explained(little, seconds=1.0, change=0.1)[0].endswith(hint)
    assert not explained(much, little, seconds=1e-3, change=0.1)[0].endswith(hint)


def test_the_same_lines_explain_several_benchmarks_in_one_paragraph() -> None:
    rows = [dataclasses.replace(REGRESSED, id=f"a.py::test[{n}]", beyond=n) for n in (10, 12)]
    differences = [Difference("f", "x.py:3", 0, n, 1e-3 * n) for n in (10, 1000)]
    explanations = {row.id: [it] for row, it in zip(rows, differences, strict=True)}
    record = dataclasses.replace(record_of(rows), explanations=explanations)
    (explanation,) = summarise(record).explanations
    assert explanation.names == ("test[10]", "test[12]")
    assert ["".join(sentence) for sentence in explanation.sentences] == [
        "test[10]: 10/12 blocks above +1 %, p = 0.00049",
        "test[12]: 12/12 blocks above +1 %, p = 0.00049",
        "+10 to +1000 calls of f from x.py:3 (at most roughly 1 s)",
    ]


@pytest.mark.parametrize(
    ("baseline", "candidate", "cell"),
    [
        (None, None, ""),
        (7, 7, "="),
        (7, 10, "+3"),
        (1000, 1004, "+0.4 %"),
        (100_000, 99_999, "-1"),
        (0, 2, "+2"),
    ],
)
def test_calls_are_compared_exactly(baseline: int | None, candidate: int | None, cell: str) -> None:
    row = dataclasses.replace(NOISY, calls_baseline=baseline, calls_candidate=candidate)
    summary = summarise(record_of([row]))
    assert summary.rows[0].cells["calls"] == cell
    assert ("calls" in [column.name for column in summary.columns]) == bool(cell)


def test_more_calls_stand_out_only_if_they_fail_the_run() -> None:
    more = dataclasses.replace(SAME, id="a.py::more", calls_candidate=133)
    rows = [SAME, more, IMPROVED]
    asked, not_asked = (
        summarise(record_of(rows, settings=Settings(calls=calls))) for calls in (True, False)
    )
    assert asked.rows[0].id == more.id
    assert (asked.unchanged.count, not_asked.unchanged.count) == (1, 2)
    assert asked.rows[0].evidence == ("3 more calls (133 instead of 130)",)
    assert not_asked.unchanged.cells["calls"] == "+3"
    assert not_asked.unchanged.words.endswith("equally many calls in 1")
    assert asked.unchanged.words.endswith("equally many calls in all")


def test_what_was_not_counted_is_named() -> None:
    said = notes(summarise(record_of([SAME, CONFIRMED_SAME, NOISY])))["calls"]
    assert said == (
        "equal in 1 of 3 benchmarks, varying in 1; not counted (slow, or limited in calls): "
        "test_a[naive]"
    )
    assert "calls" not in notes(summarise(record_of([NOISY])))
