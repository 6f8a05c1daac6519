"""Shares of a suite, and the joining of their records; with simulated runs and one real one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flopline.gate import run as runs
from flopline.gate.judge.answer import why
from flopline.gate.judge.controls import noise_floor
from flopline.gate.parts import join, without_batches
from flopline.gate.record import Comparison, ExitCode, GateRecord, Loss, Part, Settings, SideFacts
from flopline.gate.run import Findings, conclude, investigate
from flopline.gate.schedule.budget import Budget
from flopline.gate.schedule.evidence import Evidence
from flopline.gate.tell import text
from flopline.gate.tell.summary import summarise
from flopline.records import RecordError
from tests.gate.support.machine import FAILED, SCHEDULE, UNLIMITED, Machine, quad_of
from tests.gate.support.make_records import RECORD, make_block
from tests.gate.support.make_sides import LIGHT, make_sides
from tests.gate.support.runs import DETECT, QUICK

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path
    from random import Random

    from flopline.gate.record import Difference, Verdict

NAMES = st.lists(st.text(st.characters(), max_size=5), min_size=1, max_size=30, unique=True)
SLOW = 0.1
"""A log-ratio far beyond suspicion."""
WHOLE = Settings(detect=0.03)


# What a part is


@given(names=NAMES, of=st.integers(1, 12))
def test_every_benchmark_is_in_exactly_one_part(names: list[str], of: int) -> None:
    shares = [Part(number, of).share(names) for number in range(1, of + 1)]
    assert sorted(name for share in shares for name in share) == sorted(names)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


@given(names=NAMES, of=st.integers(1, 5), random=st.randoms())
def test_a_share_does_not_depend_on_the_order_of_the_suite(
    names: list[str], of: int, random: Random
) -> None:
    before = Part(1, of).share(names)
    random.shuffle(names)
    assert Part(1, of).share(names) == before


def test_a_share_is_the_same_on_every_machine() -> None:
    assert Part(1, 3).share("abcdefgh") == set("cdh")
    assert Part(2, 3).share("abcdefgh") == set("bfg")
    assert Part(3, 3).share("abcdefgh") == set("ae")


def test_no_part_gets_the_same_size_of_every_test() -> None:
    sizes = ["[1]", "[16]", "[256]", "[4096]"]
    names = [f"test_{test}{size}" for test in range(12) for size in sizes]
    for number in range(1, 5):
        share = Part(number, 4).share(names)
        counts = [sum(name.endswith(size) for name in share) for size in sizes]
        assert sum(counts) == 12
        assert max(counts) < 12


def test_what_is_lost_before_it_is_measured_is_shared_as_well() -> None:
    side = SideFacts("baseline", "main")
    losses = dict.fromkeys("efgh", FAILED)
    suite = runs.Suite(side, side, [], [], tuple("abcd"), losses, [])
    shares = [suite.share(Part(number, 3)) for number in (1, 2, 3)]
    assert {share.names for share in shares} == {tuple("abcdefgh")}
    assert sorted(name for share in shares for name in share.benchmarks) == list("abcd")
    assert sorted(name for share in shares for name in share.losses) == list("efgh")
    assert suite.share(Part()) is suite


@pytest.mark.parametrize(("number", "of"), [(0, 4), (5, 4), (-1, 1), (1, 0), (1, 1001)])
def test_there_is_no_part_beyond_the_last(number: int, of: int) -> None:
    with pytest.raises(ValueError, match="there is no part"):
        Part(number, of)


def test_the_error_rates_of_all_parts_are_that_of_the_whole() -> None:
    parts = [WHOLE.for_part(Part(number, 4)) for number in range(1, 5)]
    assert sum(part.alpha for part in parts) == pytest.approx(WHOLE.alpha)
    assert {str(part.part) for part in parts} == {"1/4", "2/4", "3/4", "4/4"}
    assert parts[0].for_whole() == WHOLE


# Joining simulated runs


def record(rows: Sequence[Comparison], **facts: Any) -> GateRecord:  # noqa: ANN401  # any fact
    """Returns a record of some comparisons whose controls measured what is known."""
    blocks = [make_block("screen", 1, quads={row.id: [] for row in rows}, **RIGHT)]
    defaults: dict[str, Any] = {
        "settings": WHOLE,
        "blocks": blocks if rows else [],
        "comparisons": list(rows),
        "added": [],
        "removed": [],
        "explanations": {},
        "warnings": [],
        "result": "no regression",
        "exit_code": ExitCode.NO_REGRESSION,
    }
    return replace(RECORD, **(defaults | facts))


RIGHT: dict[str, Any] = {"canary": [quad_of(math.log1p(0.03), 0.1)], "control": [quad_of(0.0, 0.1)]}
WRONG: dict[str, Any] = {"canary": [quad_of(0.0, 0.1)], "control": [quad_of(0.0, 0.1)]}
"""Controls in which a known slowdown was not seen."""


def part_of(whole: GateRecord, part: Part) -> GateRecord:
    """Returns what a run of this part would have recorded of a whole run."""
    suite = [row.id for row in whole.comparisons]
    share = part.share(suite)

    def mine(facts: dict[str, Any]) -> dict[str, Any]:
        return {name: fact for name, fact in facts.items() if name in share}

    blocks = [
        replace(block, quads=mine(block.quads), lost=mine(block.lost)) for block in whole.blocks
    ]
    return replace(
        whole,
        settings=whole.settings.for_part(part),
        suite=suite,
        blocks=blocks if share else [],
        comparisons=[row for row in whole.comparisons if row.id in share],
        explanations=mine(whole.explanations),
    )


def parts_of(whole: GateRecord, of: int) -> list[tuple[str, GateRecord]]:
    """Returns the parts of a whole run with the names of their files."""
    parts = [Part(number, of) for number in range(1, of + 1)]
    return [(f"{part.number}.json", part_of(whole, part)) for part in parts]


LOSSES = st.builds(
    Loss,
    side=st.sampled_from(["baseline", "candidate", None]),
    phase=st.just("call"),
    outcome=st.sampled_from(["failed", "skipped", "crashed", "stopped", "missing"]),
    text=st.just(""),
)
ROWS = st.builds(
    Comparison,
    id=st.just(""),
    verdict=st.sampled_from(["regressed", "improved", "unchanged", "inconclusive"]),
    change=st.sampled_from([-0.1, 0.0, 0.1]),
    blocks=st.sampled_from([4, 12]),
    planned=st.sampled_from([0, 12]),
    limit=st.none() | st.just(0.01),
)


@st.composite
def whole_runs(draw: st.DrawFn) -> GateRecord:
    """Returns the record of a whole run with whatever verdicts and losses."""
    rows = []
    quads: list[dict[str, Any]] = [{}, {}]
    lost: list[dict[str, Loss]] = [{}, {}]
    for number in range(draw(st.integers(1, 9))):
        name = f"a.py::test[{number}]"
        block = draw(st.integers(0, 2))
        if block < 2 and number:
            lost[block][name] = draw(LOSSES)
            if block:
                quads[0][name] = []
            rows.append(Comparison(name, "not comparable", note=why(lost[block][name])))
        else:
            for measured in quads:
                measured[name] = [quad_of(0.0, 0.1)]
            rows.append(replace(draw(ROWS), id=name))
    blocks = [
        make_block("screen", 1, quads=measured, lost=losses, **RIGHT)
        for measured, losses in zip(quads, lost, strict=True)
    ]
    evidence = Evidence(WHOLE, tuple(row.id for row in rows))
    for made in blocks:
        evidence.add(made)
    result, code = conclude(evidence, Findings(rows))
    noise = noise_floor([quad_of(0.0, 0.1)])
    return record(rows, blocks=blocks, result=result, exit_code=code, noise=noise)


@given(whole=whole_runs(), of=st.integers(1, 12), random=st.randoms())
def test_the_parts_of_a_run_joined_equal_the_whole(
    whole: GateRecord, of: int, random: Random
) -> None:
    named = parts_of(whole, of)
    random.shuffle(named)
    joined = join(named)
    assert joined.comparisons == whole.comparisons
    assert joined.exit_code == whole.exit_code
    # Which of several lost benchmarks the result names depends on the order of the losses.
    assert joined.result.split(":")[0] == whole.result.split(":")[0]
    assert joined.settings.alpha == pytest.approx(whole.settings.alpha)
    assert joined.settings.part == Part()
    assert joined.noise == whole.noise


def measure(
    changes: dict[str, float], wanted: Settings, *, sigma: float = 0.002, alarming: bool = False
) -> GateRecord:
    """Returns the record of a run, or of a part of one, on a made-up machine.

    Args:
        changes: The log-ratio of every benchmark of the suite.
        wanted: What is asked of the run.
        sigma: The standard deviation of the block values.
        alarming: Whether every benchmark looks slower in the screen, so that all are tested.
    """
    share = wanted.part.share(changes)
    machine = Machine({name: changes[name] for name in changes if name in share}, sigma=sigma)
    if alarming:
        machine.values = {("screen", name): [2 * wanted.suspicion] for name in machine.changes}
    evidence = Evidence(wanted, tuple(machine.changes))
    budget = Budget(UNLIMITED, machine.clock)

    def explain(
        rows: Sequence[Comparison],
    ) -> tuple[list[Comparison], dict[str, list[Difference]]]:
        return list(rows), {row.id: [] for row in rows if row.verdict == "regressed"}

    findings = investigate(evidence, budget, SCHEDULE, measure=machine.measure, explain=explain)
    result, code = conclude(evidence, findings)
    return record(
        findings.comparisons,
        settings=wanted,
        suite=list(changes),
        blocks=evidence.blocks,
        explanations=findings.explanations,
        warnings=evidence.warnings,
        result=result,
        exit_code=code,
        seconds=machine.now,
    )


def measure_parts(
    changes: dict[str, float],
    whole: Settings,
    of: int,
    *,
    sigma: float = 0.002,
    alarming: bool = False,
) -> list[tuple[str, GateRecord]]:
    parts = [Part(number, of) for number in range(1, of + 1)]
    return [
        (str(part), measure(changes, whole.for_part(part), sigma=sigma, alarming=alarming))
        for part in parts
    ]


@pytest.mark.parametrize(
    "slow", [{}, {"c": SLOW}, {"a": -SLOW, "b": SLOW, "h": SLOW}], ids=["none", "one", "three"]
)
def test_parts_measured_apart_have_the_verdicts_of_the_whole(slow: dict[str, float]) -> None:
    changes = dict.fromkeys("abcdefgh", 0.0) | slow
    whole = measure(changes, WHOLE)
    joined = join(measure_parts(changes, WHOLE, 3))
    found = {row.id: row.verdict for row in joined.comparisons}
    assert list(found.items()) == [(row.id, row.verdict) for row in whole.comparisons]
    assert (joined.result, joined.exit_code) == (whole.result, whole.exit_code)
    assert joined.explanations.keys() == whole.explanations.keys()


def test_the_union_of_all_parts_keeps_the_error_rate() -> None:
    # At the margin, where false alarms are most frequent, and with a rate that few runs can refute.
    tried = replace(WHOLE, alpha=0.2)
    alarms = 0
    runs_made = 100
    for number in range(runs_made):
        changes = {f"{number} {name}": tried.margin for name in "abcdefgh"}
        joined = join(measure_parts(changes, tried, 4, sigma=0.01, alarming=True))
        alarms += joined.exit_code == ExitCode.REGRESSION
    assert stats.binomtest(alarms, runs_made, tried.alpha, alternative="greater").pvalue > 1e-3
    assert alarms > 0


# What else a joined record says


def row(name: str, verdict: Verdict = "unchanged") -> Comparison:
    return Comparison(name, verdict, change=0.0, stage="screen", blocks=4)


SUITE = [row(f"a.py::{name}") for name in "abcdefgh"]


def two(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, GateRecord]]:
    """Returns both halves of a suite in which nothing changed, but for these facts."""
    (one, half), (other, rest) = parts_of(record(SUITE), 2)
    return [(one, replace(half, **first)), (other, replace(rest, **second))]


def test_a_joined_record_has_the_longest_time_and_the_earliest_start() -> None:
    named = two(
        {"seconds": 20.0, "started": "2026-03-02"}, {"seconds": 30.0, "started": "2026-03-01"}
    )
    joined = join(named)
    assert (joined.seconds, joined.started) == (30.0, "2026-03-01")
    assert [(str(part.part), part.seconds) for part in joined.parts] == [("1/2", 20.0), ("2/2", 30)]


def test_what_decides_nothing_in_a_part_decides_nothing_in_the_whole() -> None:
    accepted = replace(SUITE[0], verdict="regressed", accepted="1a2b3c4")
    reported = replace(SUITE[1], verdict="regressed", report_only=True)
    joined = join(parts_of(record([accepted, reported, *SUITE[2:]], ignored=["a.py::z"]), 2))
    assert (joined.exit_code, joined.judged) == (0, 0)
    assert joined.result == (
        "no regression; 1 accepted slowdown: a.py::a; slower, and only reported: a.py::b"
    )
    assert joined.ignored == ["a.py::z"]


def test_a_whole_that_is_only_reported_keeps_what_it_would_have_been() -> None:
    settings = replace(WHOLE, report_only=True)
    regressed = replace(SUITE[0], verdict="regressed")
    joined = join(parts_of(record([regressed, *SUITE[1:]], settings=settings), 2))
    assert (joined.exit_code, joined.judged) == (0, 1)


def test_each_part_keeps_its_own_machine() -> None:
    joined = join(two({"machine": {"cpu": "one"}}, {"machine": {"cpu": "two"}}))
    assert [part.machine for part in joined.parts] == [{"cpu": "one"}, {"cpu": "two"}]


def test_of_the_controls_the_worst_is_kept() -> None:
    joined = join(two({"canary": 0.031, "control": None}, {"canary": 0.02, "control": -0.001}))
    assert (joined.canary, joined.control) == (0.02, -0.001)


def test_a_warning_of_some_parts_names_them_and_one_of_all_does_not() -> None:
    joined = join(two({"warnings": ["noisy", "old"]}, {"warnings": ["noisy"]}))
    assert joined.warnings == ["noisy", "part 1/2: old"]


def test_what_only_one_side_has_is_said_once() -> None:
    facts = {"added": ["new"], "removed": ["old", "older"]}
    joined = join(two(facts, facts))
    assert (joined.added, joined.removed) == (["new"], ["old", "older"])


def test_packages_that_differ_between_parts_are_a_warning() -> None:
    first = SideFacts("candidate", "working tree", python="3.11", packages={"numpy": "2.1"})
    second = replace(first, python="3.12", packages={"numpy": "2.2"})
    assert join(two({"candidate": first}, {"candidate": second})).warnings == [
        "the candidate of part 2/2 had other versions than that of part 1/2 of Python, numpy"
    ]


def test_a_single_record_of_a_whole_run_is_its_own_answer() -> None:
    assert join([("a.json", RECORD)]) == without_batches(RECORD)


def test_the_batches_stay_in_the_records_of_the_parts() -> None:
    named = measure_parts(dict.fromkeys("abcd", 0.0), WHOLE, 2)
    joined = join(named)
    assert len(joined.blocks) == sum(len(part.blocks) for _, part in named)
    for block in joined.blocks:
        assert block.quads
        assert not any(block.quads.values())
    assert "quads" not in text.render(summarise(joined), 100)


# What is missing, broken off or doubtful


def test_a_missing_part_ends_with_exit_code_2_and_its_name() -> None:
    joined = join(parts_of(record(SUITE), 4)[:3])
    assert joined.exit_code == ExitCode.COULD_NOT_WORK
    assert joined.result == "part 4/4 is missing; of the rest: no regression"
    (warning,) = joined.warnings
    assert warning.startswith("the missing parts have 2 benchmarks: a.py::")
    assert len(joined.comparisons) == 6


def test_several_missing_parts_are_named_together() -> None:
    joined = join(parts_of(record(SUITE), 4)[1:2])
    assert joined.result.startswith("parts 1/4, 3/4, 4/4 are missing; of the rest: ")


def test_a_regression_stays_one_whatever_is_missing() -> None:
    whole = record([row(one.id, "regressed") for one in SUITE])
    joined = join(parts_of(whole, 4)[:1])
    assert joined.exit_code == ExitCode.REGRESSION
    assert joined.result.startswith("2 confirmed regressions; parts 2/4, 3/4, 4/4 are missing")


def test_a_part_that_broke_off_is_told_like_a_missing_one() -> None:
    broken = {
        "result": "broken off after 2 blocks: interrupted",
        "exit_code": ExitCode.COULD_NOT_WORK,
    }
    joined = join(two({}, broken))
    assert joined.exit_code == ExitCode.COULD_NOT_WORK
    assert joined.result == (
        "part 2/2 was broken off after 2 blocks: interrupted; of the rest: no regression"
    )


def test_a_part_whose_controls_failed_makes_the_whole_undecided() -> None:
    (_, half), rest = parts_of(record(SUITE), 2)
    doubtful = replace(half, blocks=[replace(block, **WRONG) for block in half.blocks])
    joined = join([("1.json", doubtful), rest])
    assert joined.exit_code == ExitCode.UNDECIDED
    assert joined.result.startswith("inconclusive: part 1/2: the built-in check failed")


def test_failed_controls_of_one_part_do_not_hide_the_regression_of_another() -> None:
    whole = record([row(one.id, "regressed") for one in SUITE])
    (_, half), rest = parts_of(whole, 2)
    blocks = [replace(block, **WRONG) for block in half.blocks]
    doubtful = replace(half, blocks=blocks, comparisons=[row(one.id) for one in half.comparisons])
    joined = join([("1.json", doubtful), rest])
    assert (joined.exit_code, joined.result) == (ExitCode.REGRESSION, "4 confirmed regressions")


def test_a_benchmark_that_a_part_lost_is_lost_to_the_whole() -> None:
    lost = SUITE[0].id
    rows = [Comparison(lost, "not comparable", note=why(FAILED)), *SUITE[1:]]
    blocks = [make_block("screen", 1, quads={}, lost={lost: FAILED}, **RIGHT)]
    joined = join(parts_of(record(rows, blocks=blocks), 3))
    assert joined.exit_code == ExitCode.COULD_NOT_WORK
    assert joined.result == f"1 benchmark lost: {lost}"


def test_a_part_with_nothing_to_compare_is_no_failure_but_a_whole_of_them_is() -> None:
    skipped = Loss(None, "setup", "skipped", "")
    evidence = Evidence(WHOLE.for_part(Part(2, 2)), ("a",))
    evidence.add(make_block("screen", 1, quads={}, lost={"a": skipped}, **RIGHT))
    findings = Findings([Comparison("a", "not comparable", note=why(skipped))])
    sentence = "part 2/2 has nothing to compare"
    assert conclude(evidence, findings) == (sentence, ExitCode.NO_REGRESSION)
    named = parts_of(record(findings.comparisons, blocks=evidence.blocks), 2)
    assert join(named).exit_code == ExitCode.COULD_NOT_WORK


# What does not belong together


OTHERS = [
    ({"flopline": "0.2"}, "flopline is 0.1 and 0.2"),
    (
        {"baseline": SideFacts("baseline", "main (1a2b3c4)", "1a2b3c4d")},
        r"the baseline is origin/main \(1a2b3c4\) and main \(1a2b3c4\) 1a2b3c4d",
    ),
    ({"candidate": SideFacts("candidate", "v2")}, "the candidate is working tree and v2"),
    ({"suite": ["a.py::a"]}, r"their suites differ in a\.py::b, .* and \d+ more"),
]


@pytest.mark.parametrize(("facts", "reason"), OTHERS)
def test_parts_of_different_runs_are_refused_with_what_differs(
    facts: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RecordError, match=rf"1\.json and 2\.json are not parts .*: {reason}; join"):
        join(two({}, facts))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("detect", 0.02, r"detect is 0\.03 and 0\.02"),
        ("alpha", 0.01, r"alpha is 0\.005 and 0\.01"),
        ("arguments", ("-k", "x"), r"arguments is \(\) and \('-k', 'x'\)"),
        ("suite_from", "each", "suite_from is 'candidate' and 'each'"),
        ("alternate", True, "alternate is False and True"),
    ],
)
def test_parts_with_different_settings_are_refused(name: str, value: object, reason: str) -> None:
    one, (other, half) = parts_of(record(SUITE), 2)
    differing = replace(half, settings=replace(half.settings, **{name: value}))  # type: ignore[arg-type]
    with pytest.raises(RecordError, match=f"the setting {reason}; join"):
        join([one, (other, differing)])


def test_parts_may_have_different_budgets() -> None:
    one, (other, half) = parts_of(record(SUITE), 2)
    longer = replace(half, settings=replace(half.settings, budget=900.0))
    assert join([one, (other, longer)]).exit_code == ExitCode.NO_REGRESSION


def test_parts_of_different_divisions_are_refused() -> None:
    halves, thirds = parts_of(record(SUITE), 2), parts_of(record(SUITE), 3)
    with pytest.raises(RecordError, match="one is part 1/2, the other part 2/3"):
        join([halves[0], thirds[1]])


def test_the_same_part_twice_is_refused_with_both_files() -> None:
    (_, half), _ = parts_of(record(SUITE), 2)
    with pytest.raises(RecordError, match=r"x\.json and y\.json are both part 1/2; give each"):
        join([("x.json", half), ("y.json", half)])


def test_whole_runs_are_refused_because_each_has_its_verdict() -> None:
    with pytest.raises(RecordError, match="are no parts, but whole runs with a verdict each"):
        join([("x.json", RECORD), ("y.json", RECORD)])


def test_without_records_there_is_nothing_to_join() -> None:
    with pytest.raises(RecordError, match="there is no record to join"):
        join([])


# A real run


def measured(folder: Path, part: Part, slowdown: Collection[str] = ()) -> GateRecord:
    """Runs a part of a tiny suite on identical code, with some benchmarks twice as slow."""
    wanted = Settings(detect=DETECT, budget=60.0, arguments=LIGHT).for_part(part)
    return runs.run(
        *make_sides(folder, "spin_and_work"),
        wanted,
        schedule=QUICK,
        slowdown=dict.fromkeys(slowdown, 1.0),
    )


@pytest.mark.judges_times
def test_two_parts_joined_give_the_verdict_on_a_real_suite(tmp_path: Path) -> None:
    slower = "test_subject.py::test_work"
    named = []
    for part in (Part(1, 2), Part(2, 2)):
        folder = tmp_path / str(part.number)
        folder.mkdir()
        named.append((str(part), measured(folder, part, [slower])))
    assert sorted(record.exit_code for _, record in named) == [0, 1]
    joined = join(named)
    verdicts = {row.id: row.verdict for row in joined.comparisons}
    assert verdicts.pop(slower) == "regressed"
    assert "regressed" not in verdicts.values()
    assert (joined.result, joined.exit_code) == ("1 confirmed regression", ExitCode.REGRESSION)


def test_a_part_beyond_the_last_benchmark_measures_nothing_and_passes(tmp_path: Path) -> None:
    empty = measured(tmp_path, Part(3, 3))
    assert (empty.result, empty.exit_code) == ("part 3/3 has nothing to compare", 0)
    assert (empty.blocks, empty.comparisons, empty.warnings) == ([], [], [])
    assert len(empty.suite) == 2
