"""A run as a whole: on a made-up machine, and with real projects, workers and times.

The real functions take a few microseconds.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flopline.gate import run as runs
from flopline.gate import storage
from flopline.gate.judge.betting import fewest_to_reject
from flopline.gate.measure.handle import WorkerError
from flopline.gate.measure.pair import Collected, CollectedSource
from flopline.gate.measure.worker.flopline_worker.protocol import CollectionError
from flopline.gate.record import Comparison, Difference, ExitCode, GateRecord, Loss, Part, Settings
from flopline.gate.rules import Rule
from flopline.gate.run import Findings, GateError, conclude, investigate, share_suite
from flopline.gate.schedule.budget import Budget
from flopline.gate.schedule.evidence import Evidence
from flopline.gate.sides.acceptance import Acceptance
from flopline.gate.sides.environment import interpreters
from flopline.gate.sides.environment import sides as built
from flopline.git import GitError
from tests.gate.support.machine import FAILED, SCHEDULE, UNLIMITED, Machine
from tests.gate.support.make_projects import PLAIN, PROJECT, SLOWER, site, venv
from tests.gate.support.make_sides import LIGHT, make_side
from tests.gate.support.processes import SUITES, living
from tests.gate.support.runs import DETECT, QUICK, SUITE
from tests.support.checkouts import checkout, world, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from flopline.gate.sides.environment import Side
    from flopline.progress import Progress

    Sides = tuple[Side, Side]

judges_times = pytest.mark.judges_times
SLOW = 0.1
"""A log-ratio far beyond suspicion."""
FEWEST = fewest_to_reject(1, Settings())


# What is found out, on a made-up machine


def found_out(
    machine: Machine, *, seconds: float = UNLIMITED, explained: list[str] | None = None
) -> tuple[Findings, Evidence]:
    """Returns what a run on a made-up machine finds, and its evidence.

    Args:
        machine: Measures the blocks.
        seconds: The budget.
        explained: Receives the benchmarks that are explained; an error is raised if it is None.
    """

    def explain(
        rows: Sequence[Comparison],
    ) -> tuple[list[Comparison], dict[str, list[Difference]]]:
        if explained is None:
            raise KeyboardInterrupt
        failing = [row.id for row in rows if row.verdict == "regressed"]
        explained.extend(failing)
        return list(rows), {name: [] for name in failing}

    evidence = Evidence(Settings(detect=0.03), tuple(machine.changes))
    budget = Budget(seconds, machine.clock)
    findings = investigate(evidence, budget, SCHEDULE, measure=machine.measure, explain=explain)
    return findings, evidence


def verdicts_of(findings: Findings) -> dict[str, str]:
    return {row.id: row.verdict for row in findings.comparisons}


def test_identical_benchmarks_are_unchanged_and_nothing_is_explained() -> None:
    explained: list[str] = []
    findings, evidence = found_out(Machine({"a": 0.0, "b": 0.0}), explained=explained)
    assert verdicts_of(findings) == {"a": "unchanged", "b": "unchanged"}
    assert explained == []
    assert conclude(evidence, findings) == ("no regression", ExitCode.NO_REGRESSION)


def test_what_is_regressed_is_explained_and_ends_with_exit_code_1() -> None:
    explained: list[str] = []
    machine = Machine({"a": 0.0, "b": SLOW, "c": -SLOW})
    findings, evidence = found_out(machine, explained=explained)
    assert verdicts_of(findings) == {"a": "unchanged", "b": "regressed", "c": "improved"}
    assert explained == ["b"]
    assert findings.explanations == {"b": []}
    assert conclude(evidence, findings) == ("1 confirmed regression", ExitCode.REGRESSION)


def test_every_regressed_benchmark_is_explained() -> None:
    explained: list[str] = []
    found_out(Machine(dict.fromkeys("abcdefg", SLOW)), explained=explained)
    assert explained == list("abcdefg")


def test_an_improvement_leaves_the_exit_code_0() -> None:
    findings, evidence = found_out(Machine({"a": 0.0, "b": -SLOW}))
    assert verdicts_of(findings)["b"] == "improved"
    assert conclude(evidence, findings)[1] == ExitCode.NO_REGRESSION


def test_a_missed_canary_ends_with_exit_code_3_and_never_with_a_regression() -> None:
    machine = Machine({"a": SLOW}, canary=0.0)
    findings, evidence = found_out(machine)
    assert verdicts_of(findings) == {"a": "inconclusive"}
    assert {request.stage for request in machine.requests} == {"screen", "check"}
    result, code = conclude(evidence, findings)
    assert result == "inconclusive: " + evidence.controls().problems[0]
    assert code == ExitCode.UNDECIDED


def test_a_suspicion_that_the_budget_cannot_confirm_ends_with_exit_code_3() -> None:
    findings, evidence = found_out(Machine({"a": SLOW, "b": 0.0}), seconds=20.0)
    (row, _) = findings.comparisons
    assert row.verdict == "inconclusive"
    assert row.note == f"looked slower; the budget ended after 0 of about {row.planned} blocks"
    assert row.stage == "screen"
    assert row.planned >= FEWEST
    result, code = conclude(evidence, findings)
    assert result.endswith("and a regression may be in a")
    assert code == ExitCode.UNDECIDED
    assert [warning for warning in evidence.warnings if "--budget" in warning]


def test_a_budget_that_ends_while_confirming_leaves_it_inconclusive() -> None:
    machine = Machine({"a": SLOW}, pauses={SCHEDULE.blocks + 2: 100.0})
    findings, evidence = found_out(machine, seconds=100.0)
    (row,) = findings.comparisons
    assert (row.verdict, row.blocks) == ("inconclusive", 3)
    assert row.note == f"looked slower; the budget ended after 3 of about {row.planned} blocks"
    assert conclude(evidence, findings)[1] == ExitCode.UNDECIDED


def test_what_is_lost_is_not_comparable_and_tells_why() -> None:
    machine = Machine({"a": 0.0, "b": 0.0}, losses={0: {"b": FAILED}})
    findings, evidence = found_out(machine)
    row = findings.comparisons[-1]
    assert (row.id, row.verdict) == ("b", "not comparable")
    assert row.note == "failed on the candidate (call): ValueError: no"
    assert conclude(evidence, findings) == ("1 benchmark lost: b", ExitCode.COULD_NOT_WORK)


def test_what_is_lost_while_confirming_is_not_comparable() -> None:
    machine = Machine({"a": SLOW, "b": SLOW}, losses={SCHEDULE.blocks: {"b": FAILED}})
    findings, evidence = found_out(machine, explained=[])
    assert verdicts_of(findings) == {"a": "regressed", "b": "not comparable"}
    assert conclude(evidence, findings)[1] == ExitCode.REGRESSION


STOPS = [
    pytest.param(KeyboardInterrupt(), "interrupted", id="ctrl-c"),
    pytest.param(WorkerError("baseline: exit code 9"), "baseline: exit code 9", id="dead side"),
]


@pytest.mark.parametrize(("error", "reason"), STOPS)
def test_a_run_that_stops_in_the_screen_keeps_what_it_measured(
    error: BaseException, reason: str
) -> None:
    findings, evidence = found_out(Machine({"a": 0.0, "b": SLOW}, stops={2: error}))
    assert len(evidence.blocks) == 2
    assert verdicts_of(findings) == {"a": "inconclusive", "b": "inconclusive"}
    assert findings.comparisons[0].note == "2 of 4 blocks of the screen were run"
    result = f"broken off after 2 blocks: {reason}"
    assert conclude(evidence, findings) == (result, ExitCode.COULD_NOT_WORK)


@pytest.mark.parametrize(("error", "reason"), STOPS)
def test_a_run_that_stops_while_confirming_keeps_what_is_not_decided(
    error: BaseException, reason: str
) -> None:
    findings, evidence = found_out(
        Machine({"a": 0.0, "b": SLOW}, stops={SCHEDULE.blocks + 4: error})
    )
    assert verdicts_of(findings) == {"a": "unchanged", "b": "inconclusive"}
    result = f"broken off after {SCHEDULE.blocks + 4} blocks: {reason}"
    assert conclude(evidence, findings) == (result, ExitCode.COULD_NOT_WORK)


@pytest.mark.parametrize(("error", "reason"), STOPS)
def test_a_run_that_stops_after_a_regression_does_not_hide_it(
    error: BaseException, reason: str
) -> None:
    stops: dict[int, BaseException] = {SCHEDULE.blocks + FEWEST: error}
    machine = Machine({"a": -SLOW, "b": SLOW}, stops=stops)
    findings, evidence = found_out(machine)
    assert verdicts_of(findings) == {"a": "unchanged", "b": "regressed"}
    result = f"broken off after {SCHEDULE.blocks + FEWEST} blocks: {reason}"
    before = "; before that 1 confirmed regression"
    assert conclude(evidence, findings) == (result + before, ExitCode.COULD_NOT_WORK)


def test_a_run_that_stops_while_it_explains_keeps_its_verdicts() -> None:
    findings, evidence = found_out(Machine({"a": SLOW}))
    assert verdicts_of(findings) == {"a": "regressed"}
    assert findings.explanations == {}
    result, code = conclude(evidence, findings)
    assert result.endswith("interrupted; before that 1 confirmed regression")
    assert code == ExitCode.COULD_NOT_WORK


@pytest.mark.parametrize(("error", "reason"), STOPS)
def test_a_run_that_stops_in_its_first_block_has_nothing_to_keep(
    error: BaseException, reason: str
) -> None:
    assert reason
    with pytest.raises(type(error)):
        found_out(Machine({"a": 0.0}, stops={0: error}))


def test_nothing_measurable_is_an_error_that_names_every_benchmark_and_why() -> None:
    losses = {
        "one": Loss(None, "setup", "skipped", "Skipped: not today"),
        "two": Loss(None, "call", "failed", "E   Failed: never"),
    }
    findings, evidence = found_out(Machine({"one": 0.0, "two": 0.0}, losses={0: losses}))
    with pytest.raises(GateError) as error:
        conclude(evidence, findings)
    assert str(error.value).splitlines() == [
        "none of 2 benchmarks could be measured on both sides:",
        "  one: skipped (setup): Skipped: not today",
        "  two: failed (call): Failed: never",
    ]


# The suite that both sides run

SPIN, WORK, EXACT = (
    f"benchmarks/test_subject.py::test_{name}" for name in ("spin", "work", "exact")
)


def collected(digests: dict[str, str], errors: Sequence[CollectionError] = ()) -> Collected:
    """Returns what a made-up side has: benchmarks with the hash of their source, broken files."""
    items = {name: CollectedSource("f.py", digest) for name, digest in digests.items()}
    return Collected(items, list(errors), "3.11", {}, randomised=False)


def shared(
    monkeypatch: pytest.MonkeyPatch, baseline: Collected, candidate: Collected, settings: Settings
) -> runs.Suite:
    """Shares the suite of two made-up sides, which lie in one tree."""
    monkeypatch.setattr(runs, "list_benchmarks", lambda *_, **__: [baseline, candidate])
    tree = Path("nowhere")
    return share_suite(make_side("baseline", tree), make_side("candidate", tree), settings)


def test_no_benchmark_is_an_error_that_tells_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GateError, match=r"no benchmark found.*name the suite after --"):
        shared(monkeypatch, collected({}), collected({}), Settings())


def test_if_a_broken_file_is_why_there_is_no_benchmark_the_error_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = collected(
        {}, [CollectionError("tests/test_a.py", "ModuleNotFoundError: nosuchmodule")]
    )
    with pytest.raises(GateError, match=r"(?s)no benchmark found.*nosuchmodule"):
        shared(monkeypatch, broken, broken, Settings())


def test_what_only_one_side_has_is_added_or_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    baseline = collected({"old": "1", "both": "2"})
    candidate = collected({"both": "2", "new": "3"})
    suite = shared(monkeypatch, baseline, candidate, Settings())
    assert (suite.added, suite.removed) == (["new"], ["old"])
    assert suite.benchmarks == ("both", "new")
    suite = shared(monkeypatch, baseline, candidate, Settings(suite_from="baseline"))
    assert suite.benchmarks == ("old", "both")


def test_with_suite_from_each_a_benchmark_whose_source_changed_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    baseline = collected({"a": "1", "b": "2", "old": "3"})
    candidate = collected({"a": "1", "b": "changed"})
    suite = shared(monkeypatch, baseline, candidate, Settings(suite_from="each"))
    assert suite.benchmarks == ("a",)
    changed = Loss(None, "collect", "changed", "the benchmark's source changed")
    assert suite.losses == {"b": changed}


def test_what_is_ignored_is_not_measured_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    both = collected({"x.py::a": "1", "x.py::b": "2", "x.py::c": "3"})
    settings = Settings(rules=(Rule("?", ignore=True), Rule("x.py::b", ignore=False)))
    suite = shared(monkeypatch, both, both, settings)
    assert suite.benchmarks == ("x.py::b",)
    assert suite.ignored == ("x.py::a", "x.py::c")
    assert suite.warnings == []
    half = shared(monkeypatch, both, both, replace(settings, part=Part(1, 2)))
    assert half.names == ("x.py::b",)


def test_a_pattern_that_names_no_benchmark_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    both = collected({"x.py::a": "1"})
    suite = shared(monkeypatch, both, both, Settings(rules=(Rule("b"), Rule("a"), Rule("c"))))
    (warning,) = suite.warnings
    assert warning.endswith("benchmarks that these arguments do not name: b, c")


def test_to_ignore_everything_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    both = collected({"x.py::a": "1"})
    with pytest.raises(GateError, match=r"pyproject\.toml ignores all of 1 benchmark "):
        shared(monkeypatch, both, both, Settings(rules=(Rule("*", ignore=True),)))


def test_the_newest_commit_that_accepts_a_slowdown_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    both = collected({"x.py::a[1]": "1", "x.py::b": "2"})
    suite = shared(monkeypatch, both, both, Settings())
    found = [Acceptance("a", "new"), Acceptance("x.py::*", "old"), Acceptance("z", "old")]
    monkeypatch.setattr(runs, "acceptances", lambda *_: found)
    sides = make_side("baseline", tmp_path), make_side("candidate", tmp_path)
    accepted, warnings = runs.accepted_slowdowns(sides, suite)
    assert accepted == {"x.py::a[1]": "new", "x.py::b": "old"}
    assert warnings == ["Perf-Accepted of commit old names 'z', which is no benchmark of this run"]


def test_commits_that_git_cannot_read_accept_nothing_and_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    both = collected({"x.py::a": "1"})
    suite = shared(monkeypatch, both, both, Settings())

    def refuse(*_: object) -> list[Acceptance]:
        raise GitError("bad object")

    monkeypatch.setattr(runs, "acceptances", refuse)
    sides = make_side("baseline", tmp_path), make_side("candidate", tmp_path)
    accepted, (warning,) = runs.accepted_slowdowns(sides, suite)
    assert accepted == {}
    assert warning.startswith("no slowdown counts as accepted, because git cannot say")


def test_what_is_accepted_or_only_reported_is_marked() -> None:
    rows = [Comparison("x.py::a", "regressed"), Comparison("x.py::b", "unchanged")]
    settings = Settings(rules=(Rule("b", report_only=True),))
    first, second = runs.regard(rows, settings, {"x.py::a": "1a2b3c4"})
    assert (first.accepted, first.report_only) == ("1a2b3c4", False)
    assert (second.accepted, second.report_only) == ("", True)


# Real runs


@pytest.fixture(scope="module", autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No network, no user's settings, and a temporary folder that can be looked through."""
    with world(tmp_path_factory.mktemp("world")) as folder:
        yield folder


def run(sides: Sides, **how: object) -> GateRecord:
    """Runs the gate with the quick schedule."""
    settings = Settings(detect=DETECT, arguments=LIGHT)
    return runs.run(*sides, settings, schedule=QUICK, **how)  # type: ignore[arg-type]


def compare(
    folder: Path, before: dict[str, str], after: dict[str, str], **how: object
) -> GateRecord:
    with built(checkout(folder, before, after), "HEAD") as sides:
        return run(sides, **how)


def rows(record: GateRecord) -> dict[str, Comparison]:
    """Returns the comparisons by the name of the test function."""
    return {row.id.rpartition("::")[2]: row for row in record.comparisons}


def verdicts(record: GateRecord) -> dict[str, str]:
    return {name: row.verdict for name, row in rows(record).items()}


def suite_of(**bodies: str) -> str:
    """Returns a benchmark file with a test per name."""
    tests = [f"def test_{name}(benchmark):\n    {body}\n" for name, body in bodies.items()]
    return "\n\n".join(["import os\nimport pytest\nimport subject\n", *tests])


@pytest.fixture(scope="module")
def identical(tmp_path_factory: pytest.TempPathFactory) -> GateRecord:
    """Identical code on both sides, which is not installed but imported from the tree."""
    skipped = suite_of(skipped="benchmark(subject.work)").replace(
        "def test_skipped", "@pytest.mark.skip(reason='not here')\ndef test_skipped"
    )
    files = {
        "subject.py": PLAIN,
        "benchmarks/test_subject.py": SUITE,
        "benchmarks/test_skipped.py": skipped,
        "benchmarks/test_unreadable.py": "raise ImportError('no such library')\n",
    }
    return compare(tmp_path_factory.mktemp("identical") / "p", files, files)


@judges_times
def test_identical_code_ends_with_exit_code_0(identical: GateRecord) -> None:
    assert (identical.exit_code, identical.result) == (0, "no regression")


@judges_times
def test_of_identical_code_no_benchmark_is_called_regressed(identical: GateRecord) -> None:
    found = verdicts(identical)
    assert set(found) == {"test_spin", "test_work", "test_skipped"}
    assert {found["test_spin"], found["test_work"]} <= {"unchanged", "inconclusive"}


@judges_times
def test_what_is_skipped_on_both_sides_is_not_comparable_and_no_fault(
    identical: GateRecord,
) -> None:
    row = rows(identical)["test_skipped"]
    assert row.verdict == "not comparable"
    assert row.note.startswith("skipped (setup)")
    assert "not here" in row.note
    assert identical.exit_code == 0


@judges_times
def test_a_file_that_cannot_be_collected_is_a_warning_with_side_and_reason(
    identical: GateRecord,
) -> None:
    for side in ("baseline", "candidate"):
        (warning,) = [text for text in identical.warnings if text.startswith(f"{side}: ")]
        assert "benchmarks/test_unreadable.py could not be collected" in warning
        assert "no such library" in warning


@judges_times
def test_both_controls_were_measured_and_in_range(identical: GateRecord) -> None:
    assert identical.canary is not None
    assert DETECT / 2 <= identical.canary <= 2 * DETECT
    assert identical.control is not None
    assert abs(identical.control) <= DETECT / 2
    assert identical.noise is not None


@judges_times
def test_every_benchmark_is_screened_in_as_many_blocks_as_planned(identical: GateRecord) -> None:
    assert {block.stage for block in identical.blocks} <= {"screen", "again"}
    assert QUICK.blocks <= len(identical.blocks) <= 4 * QUICK.blocks
    assert all({SPIN, WORK} <= set(block.quads) for block in identical.blocks[: QUICK.blocks])


@judges_times
def test_the_record_tells_what_ran(identical: GateRecord) -> None:
    assert (identical.baseline.name, identical.candidate.name) == ("baseline", "candidate")
    assert re.fullmatch(r"[0-9a-f]{40}", identical.baseline.commit)
    assert identical.baseline.commit == identical.candidate.commit
    assert "pytest-benchmark" in identical.candidate.packages
    assert identical.machine["usable_cores"] == len(os.sched_getaffinity(0))
    assert identical.explanations == {}


FASTER = "\n\ndef quick(n=1000):\n    return spin({})\n"
BEFORE = {
    "pyproject.toml": PROJECT,
    "src/subject/__init__.py": PLAIN + FASTER.format("n"),
    "benchmarks/test_subject.py": SUITE
    + "\n\n"
    + suite_of(
        exact="benchmark(subject.spin, 500)",
        quick="benchmark(subject.quick)",
        larger="benchmark(subject.spin, 500)",
        old="benchmark(subject.spin, 300)",
    ),
}
AFTER = {
    "pyproject.toml": PROJECT,
    "src/subject/__init__.py": SLOWER
    + FASTER.format("7 * n // 10")
    + "\n\ndef novelty():\n    return spin(100)\n",
    "benchmarks/test_subject.py": SUITE
    + "\n\n"
    + suite_of(
        exact="benchmark(subject.spin, 500)",
        quick="benchmark(subject.quick)",
        larger="benchmark(subject.spin, 1000)",
        novel="benchmark(subject.novelty)",
    ),
}


@pytest.fixture(scope="module")
def stages() -> list[Progress]:
    """Returns the progress that the run of `changed` reported."""
    return []


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory, stages: list[Progress]) -> GateRecord:
    """A project that pip builds, with a candidate that differs in every way.

    One function is 30 % slower, one 30 % faster, one new; a benchmark is stretched by exactly 20 %,
    one has a source of its own on either side, and one exists on the baseline only.
    """
    folder = tmp_path_factory.mktemp("changed") / "my project"
    return compare(folder, BEFORE, AFTER, report=stages.append, slowdown={EXACT: 0.2})


@judges_times
def test_a_subject_slowed_by_30_percent_is_regressed_with_exit_code_1(changed: GateRecord) -> None:
    assert verdicts(changed)["test_work"] == "regressed"
    assert (changed.exit_code, changed.result) == (1, "2 confirmed regressions")


@judges_times
def test_a_slowdown_of_exactly_20_percent_is_found(changed: GateRecord) -> None:
    row = rows(changed)["test_exact"]
    assert row.verdict == "regressed"
    assert row.change == pytest.approx(0.2, abs=0.06)


@judges_times
def test_the_interval_of_a_change_is_around_its_estimate(changed: GateRecord) -> None:
    for name in ("test_work", "test_exact"):
        row = rows(changed)[name]
        assert row.low is not None
        assert row.high is not None
        assert row.change is not None
        assert row.low <= row.change <= row.high


@judges_times
def test_if_the_calls_are_equal_the_explanation_is_an_empty_list(changed: GateRecord) -> None:
    assert changed.explanations[EXACT] == []


@judges_times
def test_beside_a_regression_what_did_not_change_is_not_flagged(changed: GateRecord) -> None:
    assert verdicts(changed)["test_spin"] in {"unchanged", "inconclusive"}


@judges_times
def test_the_change_of_a_regression_is_within_a_factor_of_two_of_the_truth(
    changed: GateRecord,
) -> None:
    change = rows(changed)["test_work"].change
    assert change is not None
    assert 0.15 < change < 0.6


@judges_times
def test_the_explanation_names_the_additional_call_with_file_and_line(
    changed: GateRecord,
) -> None:
    explanation = changed.explanations[WORK]
    (difference,) = [call for call in explanation if call.function == "padding"]
    line = 1 + AFTER["src/subject/__init__.py"].splitlines().index("    padding(3 * n // 10)")
    assert difference.where == f"subject/__init__.py:{line}"
    assert (difference.baseline, difference.candidate) == (0, 1)


@judges_times
def test_a_regression_is_judged_by_the_confirming_blocks_alone(changed: GateRecord) -> None:
    row = rows(changed)["test_work"]
    confirming = [block for block in changed.blocks if block.stage == "confirm"]
    measured = sum(WORK in block.quads for block in confirming)
    assert measured >= FEWEST
    assert (row.stage, row.blocks) == ("confirm", measured)
    assert row.p is not None
    assert row.limit is not None
    assert row.p <= row.limit <= changed.settings.alpha


@judges_times
def test_only_what_was_suspicious_is_confirmed(changed: GateRecord) -> None:
    confirming = [block for block in changed.blocks if block.stage == "confirm"]
    measured = {name for block in confirming for name in block.quads}
    assert {WORK, EXACT} <= measured
    row = rows(changed)["test_spin"]
    assert (row.stage == "confirm") == (SPIN in measured)


@judges_times
def test_coins_choose_the_slot_of_a_block_and_the_seed_of_a_parent(changed: GateRecord) -> None:
    # With 14 blocks all slots are equal once in 8 000 runs.
    assert {block.candidate_first for block in changed.blocks} == {True, False}
    seeds: dict[str, set[int]] = {"screen": set(), "confirm": set()}
    for block in changed.blocks:
        seeds["confirm" if block.stage == "confirm" else "screen"].add(block.hash_seed)
    assert len(seeds["screen"]) == 1
    assert len(seeds["confirm"]) > 1
    assert seeds["screen"].isdisjoint(seeds["confirm"])
    assert len({block.padding for block in changed.blocks}) > 1


@judges_times
@pytest.mark.usefixtures("changed")
def test_progress_names_every_stage_its_blocks_and_the_benchmark_at_work(
    stages: list[Progress],
) -> None:
    order = list(dict.fromkeys(progress.stage for progress in stages))
    assert order[:2] == ["collecting", "screen"]
    assert order[-1] == "explaining"
    assert order[-2].startswith("confirm")
    screening = [progress for progress in stages if progress.stage == "screen"]
    assert {SPIN, WORK, EXACT} <= {progress.detail for progress in screening}
    done = [progress.done for progress in screening]
    assert done == sorted(done)
    assert {progress.of for progress in screening} == {QUICK.blocks}
    assert screening[0].seconds_left is None
    assert screening[-1].seconds_left is not None


@judges_times
def test_a_record_of_a_run_is_the_same_after_saving_and_loading(
    changed: GateRecord, tmp_path: Path
) -> None:
    storage.save(changed, tmp_path / "record.json")
    assert storage.load(tmp_path / "record.json") == changed


@judges_times
def test_a_function_that_became_faster_is_improved(changed: GateRecord) -> None:
    row = rows(changed)["test_quick"]
    assert row.verdict == "improved"
    assert row.change is not None
    assert -0.45 < row.change < -0.15


@judges_times
def test_what_fails_on_the_baseline_only_is_not_comparable_and_no_fault(
    changed: GateRecord,
) -> None:
    row = rows(changed)["test_novel"]
    assert row.verdict == "not comparable"
    assert row.note.startswith("failed on the baseline (call)")
    assert "AttributeError" in row.note
    assert "lost" not in changed.result


@judges_times
def test_what_exists_on_one_side_only_is_listed_as_added_or_removed(changed: GateRecord) -> None:
    assert changed.added == ["benchmarks/test_subject.py::test_novel"]
    assert changed.removed == ["benchmarks/test_subject.py::test_old"]


@judges_times
def test_a_benchmark_that_changed_is_measured_with_the_candidates_file(
    changed: GateRecord,
) -> None:
    row = rows(changed)["test_larger"]  # with a file of its own for each, twice as slow
    assert row.verdict in {"unchanged", "inconclusive"}
    assert row.change == pytest.approx(0, abs=DETECT)


def test_with_suite_from_baseline_both_sides_have_the_baselines_file(tmp_path: Path) -> None:
    changed = SUITE.replace("800", "1600").replace("test_work", "test_job")
    before = {"subject.py": PLAIN, "benchmarks/test_subject.py": SUITE}
    after = before | {"benchmarks/test_subject.py": changed}
    settings = Settings(arguments=LIGHT, suite_from="baseline")
    with built(checkout(tmp_path / "p", before, after), "HEAD") as sides:
        suite = share_suite(*sides, settings)
        files = {(side.tree / "benchmarks/test_subject.py").read_text("utf-8") for side in sides}
    assert files == {SUITE}
    assert suite.benchmarks == (SPIN, WORK)
    assert (suite.added, suite.removed) == (["benchmarks/test_subject.py::test_job"], [WORK])


@judges_times
def test_with_suite_from_each_a_changed_benchmark_is_not_run_and_no_fault(tmp_path: Path) -> None:
    before = {"subject.py": PLAIN, "benchmarks/test_subject.py": SUITE}
    after = before | {"benchmarks/test_subject.py": SUITE.replace("800", "1600")}
    settings = Settings(detect=DETECT, arguments=LIGHT, suite_from="each")
    with built(checkout(tmp_path / "p", before, after), "HEAD") as sides:
        record = runs.run(*sides, settings, schedule=QUICK)
    assert verdicts(record)["test_spin"] == "not comparable"
    assert "the benchmark's source changed" in rows(record)["test_spin"].note
    assert verdicts(record)["test_work"] in {"unchanged", "inconclusive"}
    assert all(SPIN not in block.quads for block in record.blocks)
    assert record.exit_code == 0


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> GateRecord:
    """A candidate that ends its process in the middle of the suite, and raises later in it."""
    tests = suite_of(
        first="benchmark(subject.work)",
        middle="if subject.ENDS:\n        os._exit(7)\n    benchmark(subject.work)",
        raising="benchmark(subject.raising)",
        last="benchmark(subject.work)",
    )
    subject = PLAIN + "\n\nENDS = {}\n\n\ndef raising():\n    {}\n"
    before = {
        "subject.py": subject.format(False, "return spin(800)"),  # noqa: FBT003  # it is source
        "benchmarks/test_subject.py": tests,
    }
    raising = "raise RuntimeError('not any more')"
    after = before | {"subject.py": subject.format(True, raising)}  # noqa: FBT003
    return compare(tmp_path_factory.mktemp("crashed") / "p", before, after)


MIDDLE, RAISING, LAST = (
    f"benchmarks/test_subject.py::test_{name}" for name in ("middle", "raising", "last")
)


@judges_times
def test_a_crash_loses_the_benchmark_in_which_it_happened_with_exit_code_2(
    crashed: GateRecord,
) -> None:
    row = rows(crashed)["test_middle"]
    assert row.verdict == "not comparable"
    assert row.note.startswith("crashed on the candidate (process)")
    assert (crashed.exit_code, crashed.result) == (2, f"2 benchmarks lost: {MIDDLE}, {RAISING}")


@judges_times
def test_the_note_of_a_crash_tells_how_the_process_ended(crashed: GateRecord) -> None:
    assert "exit code 7" in rows(crashed)["test_middle"].note


@judges_times
def test_what_raises_on_the_candidate_is_not_comparable_and_names_it(
    crashed: GateRecord,
) -> None:
    row = rows(crashed)["test_raising"]
    assert row.verdict == "not comparable"
    assert row.note.startswith("failed on the candidate (call)")
    assert row.note.endswith("RuntimeError: not any more")


@judges_times
def test_after_a_crash_the_others_are_judged_on_as_many_blocks_as_else(
    crashed: GateRecord,
) -> None:
    for name in ("test_first", "test_last"):
        row = rows(crashed)[name]
        assert row.verdict in {"unchanged", "inconclusive"}
        assert row.blocks >= QUICK.blocks


@judges_times
def test_the_block_of_a_crash_is_replaced_and_stays_in_the_record(crashed: GateRecord) -> None:
    first, second, *others = crashed.blocks
    assert (first.lost[MIDDLE].side, first.lost[MIDDLE].outcome) == ("candidate", "crashed")
    assert first.lost[MIDDLE].text.startswith("exit code 7; ")
    assert first.lost[LAST].outcome == "stopped"
    assert set(second.lost) == {RAISING}
    assert 1 + len(others) >= QUICK.blocks
    assert not any(block.lost or MIDDLE in block.quads for block in others)


def interpreter(folder: Path, distributions: dict[str, str]) -> str:
    """Makes a virtual environment that sees this one's packages, and has some more."""
    python = venv(folder, everything=True)
    for name, version in distributions.items():
        write(
            site(folder, f"{name}-{version}.dist-info"),
            {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"},
        )
    return str(python)


@judges_times
def test_of_two_interpreters_the_packages_that_differ_are_listed(tmp_path: Path) -> None:
    project = write(tmp_path / "p", {"subject.py": PLAIN, "benchmarks/test_subject.py": SUITE})
    before = interpreter(tmp_path / "one", {"same": "3.0", "library": "1.0", "gone": "0.1"})
    after = interpreter(tmp_path / "two", {"same": "3.0", "library": "2.0", "extra": "5.0"})
    with interpreters(project, before, after) as sides:
        record = run(sides)
    assert record.exit_code == 0
    assert record.warnings[-1] == (
        "the sides' packages differ: extra absent -> 5.0, gone 0.1 -> absent, library 1.0 -> 2.0"
    )
    assert record.baseline.packages["library"] == "1.0"
    assert record.candidate.packages["library"] == "2.0"


def test_a_side_that_no_longer_starts_ends_the_run_and_keeps_its_blocks(
    tmp_path: Path,
) -> None:
    mortal = (SUITES / "mortal" / "conftest.py").read_text("utf-8")
    files = {"subject.py": PLAIN, "conftest.py": mortal, "benchmarks/test_subject.py": SUITE}
    record = compare(tmp_path / "p", files, files)
    assert (record.exit_code, len(record.blocks)) == (2, 1)
    assert record.result.startswith("broken off after 1 block: ")
    assert "exit code 9" in record.result
    assert set(verdicts(record).values()) == {"inconclusive"}


@judges_times
@pytest.mark.usefixtures("identical", "changed", "crashed")
def test_no_run_leaves_a_folder_or_a_worker_behind(temporary: Path) -> None:
    assert list(temporary.glob("flopline-*")) == []
    assert living("FLOPLINE_SLOT=", f"TMPDIR={temporary}") == set()
