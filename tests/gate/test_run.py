"""The gate's run as a whole: real git projects, real workers, real times of functions of a few microseconds."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from flopline.gate import run as procedure
from flopline.gate import storage
from flopline.gate.judge import controls, verdict
from flopline.gate.judge.controls import Controls
from flopline.gate.measure import handle as child
from flopline.gate.record import Comparison, GateRecord, Settings
from flopline.gate.sides.environment import interpreters
from flopline.gate.sides.environment import sides as built
from tests.gate.support.make_projects import PLAIN, PROJECT, SLOWER, site, venv
from tests.gate.support.processes import living
from tests.gate.support.runs import DETECT, LIGHT, QUICK, SUITE
from tests.gate.support.samples import quad, timed
from tests.support.checkouts import checkout, world, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flopline.gate.measure.worker.flopline_worker.protocol import Message
    from flopline.gate.run import Progress
    from flopline.gate.sides.environment import Side

    Sides = tuple[Side, Side]

pytestmark = pytest.mark.judges_times
FASTER = PLAIN.replace("    return spin(n)\n", "    return spin(7 * n // 10)\n")
SPIN, WORK, EXACT = (
    f"benchmarks/test_subject.py::test_{name}" for name in ("spin", "work", "exact")
)


@pytest.fixture(scope="module", autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No network, no user's settings, and a temporary folder that can be looked through."""
    with world(tmp_path_factory.mktemp("world")) as folder:
        yield folder


def run(sides: Sides, **how: object) -> GateRecord:
    """The procedure with the quick schedule; what `procedure.run` does not know is a setting."""
    known = {name: how.pop(name) for name in ("report", "slowdown") if name in how}
    settings = Settings(detect=DETECT, arguments=LIGHT, **how)  # type: ignore[arg-type]
    return procedure.run(*sides, settings, schedule=QUICK, **known)  # type: ignore[arg-type]


def compare(
    folder: Path, before: dict[str, str], after: dict[str, str], **how: object
) -> GateRecord:
    with built(checkout(folder, before, after), "HEAD") as sides:
        return run(sides, **how)


def rows(found: GateRecord) -> dict[str, Comparison]:
    """The comparisons by the name of the test function."""
    return {row.id.rpartition("::")[2]: row for row in found.comparisons}


def verdicts(found: GateRecord) -> dict[str, str]:
    return {name: row.verdict for name, row in rows(found).items()}


def suite(**bodies: str) -> str:
    """A benchmark file with a test per name."""
    tests = [f"def test_{name}(benchmark):\n    {body}\n" for name, body in bodies.items()]
    return "\n\n".join(["import os\nimport pytest\nimport subject\n", *tests])


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """Identical code on both sides, not installed but imported from the tree."""
    files = {
        "subject.py": PLAIN,
        "benchmarks/test_subject.py": SUITE
        + "\n\n@pytest.mark.skip(reason='not here')\ndef test_skipped(benchmark):\n    benchmark(subject.work)\n",
        "benchmarks/test_unreadable.py": "raise ImportError('no such library')\n",
    }
    with built(checkout(tmp_path_factory.mktemp("twins") / "p", files, files), "HEAD") as sides:
        yield sides


@pytest.fixture(scope="module")
def identical(twins: Sides) -> GateRecord:
    return run(twins)


def test_identical_code_ends_with_exit_code_0(identical: GateRecord) -> None:
    assert (identical.exit_code, identical.result) == (0, "no regression")


def test_of_identical_code_no_benchmark_is_called_regressed(identical: GateRecord) -> None:
    found = verdicts(identical)
    assert set(found) == {"test_spin", "test_work", "test_skipped"}
    assert {found["test_spin"], found["test_work"]} <= {"unchanged", "inconclusive"}


def test_what_is_skipped_on_both_sides_is_not_comparable_and_no_fault(
    identical: GateRecord,
) -> None:
    row = rows(identical)["test_skipped"]
    assert row.verdict == "not comparable"
    assert row.note.startswith("skipped (setup)")
    assert "not here" in row.note
    assert identical.exit_code == 0


def test_a_file_that_cannot_be_collected_is_a_warning_that_names_side_file_and_reason(
    identical: GateRecord,
) -> None:
    for side in ("baseline", "candidate"):
        (found,) = [text for text in identical.warnings if text.startswith(f"{side}: ")]
        assert "benchmarks/test_unreadable.py could not be collected" in found
        assert "no such library" in found


def test_both_controls_were_measured_and_in_range(identical: GateRecord) -> None:
    assert identical.canary is not None
    assert DETECT / 2 <= identical.canary <= 2 * DETECT
    assert identical.control is not None
    assert abs(identical.control) <= DETECT / 2
    assert identical.noise is not None


def test_every_benchmark_is_screened_in_as_many_blocks_as_planned(identical: GateRecord) -> None:
    assert all(block.stage == "screen" for block in identical.blocks)
    assert QUICK.blocks <= len(identical.blocks) <= 2 * QUICK.blocks
    assert all({SPIN, WORK} <= set(block.quads) for block in identical.blocks[: QUICK.blocks])


def test_the_record_says_what_ran(identical: GateRecord) -> None:
    assert (identical.baseline.name, identical.candidate.name) == ("baseline", "candidate")
    assert re.fullmatch(r"[0-9a-f]{40}", identical.baseline.commit)
    assert identical.baseline.commit == identical.candidate.commit
    assert "pytest-benchmark" in identical.candidate.packages
    assert identical.machine["cpus"] == len(os.sched_getaffinity(0))
    assert identical.explanations == {}


@pytest.fixture(scope="module")
def stages() -> list[Progress]:
    """What the run of `regressed` told about its progress."""
    return []


@pytest.fixture(scope="module")
def regressed(tmp_path_factory: pytest.TempPathFactory, stages: list[Progress]) -> GateRecord:
    """A project that pip builds, slowed by 30 % in one function, and by exactly 20 % in what another one tells."""
    tests = SUITE + "\n\ndef test_exact(benchmark):\n    benchmark(subject.spin, 500)\n"
    common = {"pyproject.toml": PROJECT, "benchmarks/test_subject.py": tests}
    before = {**common, "src/subject/__init__.py": PLAIN}
    after = {**common, "src/subject/__init__.py": SLOWER}
    folder = tmp_path_factory.mktemp("regressed") / "my project"
    return compare(folder, before, after, report=stages.append, slowdown={EXACT: 0.2})


def test_a_subject_slowed_by_30_percent_is_regressed_with_exit_code_1(
    regressed: GateRecord,
) -> None:
    assert verdicts(regressed)["test_work"] == "regressed"
    assert (regressed.exit_code, regressed.result) == (1, "2 confirmed regressions")


def test_a_slowdown_of_exactly_20_percent_is_found(regressed: GateRecord) -> None:
    row = rows(regressed)["test_exact"]
    assert row.verdict == "regressed"
    assert row.change == pytest.approx(0.2, abs=0.06)


def test_the_interval_of_a_change_is_around_its_estimate(regressed: GateRecord) -> None:
    for name in ("test_work", "test_exact"):
        row = rows(regressed)[name]
        assert row.low is not None
        assert row.high is not None
        assert row.change is not None
        assert row.low <= row.change <= row.high


def test_where_the_calls_are_equal_the_explanation_is_an_empty_list(regressed: GateRecord) -> None:
    assert regressed.explanations[EXACT] == []


def test_beside_a_regression_what_did_not_change_is_not_flagged(regressed: GateRecord) -> None:
    assert verdicts(regressed)["test_spin"] in {"unchanged", "inconclusive"}


def test_the_change_of_a_regression_is_within_a_factor_of_two_of_the_truth(
    regressed: GateRecord,
) -> None:
    change = rows(regressed)["test_work"].change
    assert change is not None
    assert 0.15 < change < 0.6


def test_the_explanation_names_the_additional_call_with_file_and_line_relative_to_the_project(
    regressed: GateRecord,
) -> None:
    (found,) = [one for one in regressed.explanations[WORK] if one.function == "padding"]
    line = 1 + SLOWER.splitlines().index("    padding(3 * n // 10)")
    assert found.where == f"subject/__init__.py:{line}"
    assert (found.baseline, found.candidate) == (0, 1)


def test_a_regression_is_judged_by_the_confirming_blocks_alone(regressed: GateRecord) -> None:
    row = rows(regressed)["test_work"]
    confirming = [block for block in regressed.blocks if block.stage == "confirm"]
    assert len(confirming) >= verdict.FLOOR
    assert (row.stage, row.blocks) == ("confirm", len(confirming))
    assert row.p is not None
    assert row.limit is not None
    assert 0.5 ** len(confirming) <= row.p <= row.limit <= regressed.settings.alpha


def test_only_what_was_suspicious_is_confirmed(regressed: GateRecord) -> None:
    named = {name for block in regressed.blocks if block.stage == "confirm" for name in block.quads}
    assert {WORK, EXACT} <= named
    row = rows(regressed)["test_spin"]
    assert (row.stage == "confirm") == (SPIN in named)


def test_coins_choose_slot_seed_and_padding_anew_in_every_block(regressed: GateRecord) -> None:
    # With 14 blocks all slots are equal once in 8 000 runs.
    assert {block.candidate_first for block in regressed.blocks} == {True, False}
    assert len({block.hash_seed for block in regressed.blocks}) == len(regressed.blocks)
    assert len({block.padding for block in regressed.blocks}) > 1


@pytest.mark.usefixtures("regressed")
def test_progress_names_every_stage_its_blocks_and_the_benchmark_at_work(
    stages: list[Progress],
) -> None:
    order = list(dict.fromkeys(where.stage for where in stages))
    assert order[:2] == ["collecting", "screen"]
    assert order[-2:] == ["confirm", "explaining"]
    screening = [where for where in stages if where.stage == "screen"]
    assert {where.benchmark for where in screening} == {SPIN, WORK, EXACT}
    assert [where.done for where in screening] == sorted(where.done for where in screening)
    assert {where.blocks for where in screening} == {QUICK.blocks}
    assert screening[0].left is None
    assert screening[-1].left is not None


def test_a_record_of_a_run_is_the_same_after_saving_and_loading(
    regressed: GateRecord, tmp_path: Path
) -> None:
    storage.save(regressed, tmp_path / "record.json")
    assert storage.load(tmp_path / "record.json") == regressed


@pytest.fixture(scope="module")
def evolved(tmp_path_factory: pytest.TempPathFactory) -> GateRecord:
    """A candidate with a faster function, a new feature, and a suite of its own."""
    before = {
        "subject.py": PLAIN,
        "benchmarks/test_subject.py": suite(
            work="benchmark(subject.work)",
            larger="benchmark(subject.spin, 500)",
            old="benchmark(subject.spin, 300)",
        ),
    }
    after = {
        "subject.py": FASTER + "\n\ndef novelty():\n    return spin(100)\n",
        "benchmarks/test_subject.py": suite(
            work="benchmark(subject.work)",
            larger="benchmark(subject.spin, 1000)",
            novel="benchmark(subject.novelty)",
        ),
    }
    return compare(tmp_path_factory.mktemp("evolved") / "p", before, after)


def test_a_faster_candidate_is_improved_and_the_exit_code_stays_0(evolved: GateRecord) -> None:
    row = rows(evolved)["test_work"]
    assert row.verdict == "improved"
    assert row.change is not None
    assert -0.45 < row.change < -0.15
    assert evolved.exit_code == 0


def test_what_fails_on_the_baseline_only_is_not_comparable_and_no_fault(
    evolved: GateRecord,
) -> None:
    row = rows(evolved)["test_novel"]
    assert row.verdict == "not comparable"
    assert row.note.startswith("failed on the baseline (call)")
    assert "AttributeError" in row.note
    assert evolved.exit_code == 0


def test_what_exists_on_one_side_only_is_listed_as_added_or_removed(evolved: GateRecord) -> None:
    assert evolved.added == ["benchmarks/test_subject.py::test_novel"]
    assert evolved.removed == ["benchmarks/test_subject.py::test_old"]


def test_a_benchmark_whose_own_source_changed_is_measured_with_the_candidates_file_on_both_sides(
    evolved: GateRecord,
) -> None:
    row = rows(evolved)["test_larger"]  # with its own file each, twice as slow
    assert row.verdict in {"unchanged", "inconclusive"}
    assert row.change == pytest.approx(0, abs=DETECT)


RESUITED = (
    {"subject.py": PLAIN, "benchmarks/test_subject.py": SUITE},
    {
        "subject.py": PLAIN,
        "benchmarks/test_subject.py": SUITE.replace("800", "1600").replace("test_work", "test_job"),
    },
)


def test_with_suite_from_each_a_changed_benchmark_is_not_comparable_and_no_fault(
    tmp_path: Path,
) -> None:
    before, after = RESUITED
    after = {**after, "benchmarks/test_subject.py": SUITE.replace("800", "1600")}
    found = compare(tmp_path / "p", before, after, suite_from="each")
    assert verdicts(found)["test_spin"] == "not comparable"
    assert "the benchmark's source changed" in rows(found)["test_spin"].note
    assert verdicts(found)["test_work"] in {"unchanged", "inconclusive"}
    assert all(SPIN not in block.quads for block in found.blocks)
    assert found.exit_code == 0


def test_with_suite_from_baseline_both_sides_run_the_baselines_file(tmp_path: Path) -> None:
    found = compare(tmp_path / "p", *RESUITED, suite_from="baseline")
    assert set(verdicts(found)) == {"test_spin", "test_work"}
    assert rows(found)["test_spin"].change == pytest.approx(0, abs=DETECT)
    assert (found.added, found.removed) == (["benchmarks/test_subject.py::test_job"], [WORK])


def test_what_raises_on_the_candidate_is_not_comparable_with_exit_code_2_and_names_the_candidate(
    tmp_path: Path,
) -> None:
    broken = PLAIN.replace("return spin(n)", "raise RuntimeError('not any more')")
    files = {"subject.py": PLAIN, "benchmarks/test_subject.py": SUITE}
    found = compare(tmp_path / "p", files, files | {"subject.py": broken})
    row = rows(found)["test_work"]
    assert row.verdict == "not comparable"
    assert row.note.startswith("failed on the candidate (call)")
    assert row.note.endswith("RuntimeError: not any more")
    assert (found.exit_code, found.result) == (2, f"1 benchmark lost: {WORK}")
    assert verdicts(found)["test_spin"] in {"unchanged", "inconclusive"}


@pytest.fixture(scope="module")
def hung() -> list[str]:
    """The sides whose workers fell silent during `crashed`."""
    return []


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory, hung: list[str]) -> Iterator[GateRecord]:
    """A candidate that ends its process in the middle of the suite."""

    def receive(worker: child.WorkerHandle) -> Message:
        try:
            return known(worker)
        except child.WorkerGoneError as error:
            if error.outcome == "hung":
                hung.append(error.side)
            raise

    known = child.WorkerHandle.receive
    tests = suite(
        first="benchmark(subject.work)",
        middle="if subject.ENDS:\n        os._exit(7)\n    benchmark(subject.work)",
        last="benchmark(subject.work)",
    )
    before = {"subject.py": PLAIN + "\n\nENDS = False\n", "benchmarks/test_subject.py": tests}
    after = before | {"subject.py": PLAIN + "\n\nENDS = True\n"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child, "SILENCE", 10.0)  # far longer than anything in this suite takes
        patch.setattr(child.WorkerHandle, "receive", receive)
        yield compare(tmp_path_factory.mktemp("crashed") / "p", before, after)


def test_a_crash_loses_the_benchmark_in_which_it_happened_and_exit_code_2_says_so(
    crashed: GateRecord,
) -> None:
    row = rows(crashed)["test_middle"]
    assert row.verdict == "not comparable"
    assert row.note.startswith("crashed on the candidate (process)")
    assert (crashed.exit_code, crashed.result) == (
        2,
        "1 benchmark lost: benchmarks/test_subject.py::test_middle",
    )


def test_the_note_of_a_crash_says_how_the_process_ended(crashed: GateRecord) -> None:
    assert "exit code 7" in rows(crashed)["test_middle"].note


def test_after_a_crash_the_others_are_judged_on_as_many_blocks_as_without_it(
    crashed: GateRecord,
) -> None:
    for name in ("test_first", "test_last"):
        row = rows(crashed)[name]
        assert row.verdict in {"unchanged", "inconclusive"}
        assert row.blocks >= QUICK.blocks


def test_the_block_of_a_crash_is_replaced_and_stays_in_the_record(crashed: GateRecord) -> None:
    first, *others = crashed.blocks
    middle, last = (f"benchmarks/test_subject.py::test_{name}" for name in ("middle", "last"))
    assert (first.lost[middle].side, first.lost[middle].outcome) == ("candidate", "crashed")
    assert first.lost[middle].text.startswith("exit code 7; ")
    assert first.lost[last].outcome == "stopped"
    assert len(others) >= QUICK.blocks
    assert not any(block.lost or middle in block.quads for block in others)


@pytest.mark.usefixtures("crashed")
def test_after_a_crash_nobody_waits_for_the_other_worker_until_it_is_taken_to_hang(
    hung: list[str],
) -> None:
    assert hung == []


def test_nothing_measurable_is_an_error_that_names_every_benchmark_and_why(tmp_path: Path) -> None:
    tests = suite(one="pytest.skip('not today')", two="pytest.fail('never')")
    files = {"subject.py": PLAIN, "benchmarks/test_subject.py": tests}
    with pytest.raises(procedure.GateError) as error:
        compare(tmp_path / "p", files, files)
    first, one, two = str(error.value).splitlines()
    assert first == "none of 2 benchmarks could be measured on both sides:"
    assert "test_one: skipped" in one
    assert "not today" in one
    assert "test_two: failed" in two


def test_no_benchmark_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    files = {"subject.py": PLAIN, "tests/test_subject.py": "def test_nothing():\n    pass\n"}
    with pytest.raises(procedure.GateError, match=r"no benchmark found.*name the suite after --"):
        compare(tmp_path / "p", files, files)


def test_where_no_benchmark_is_found_because_a_file_is_broken_the_error_says_why(
    tmp_path: Path,
) -> None:
    files = {"tests/test_subject.py": "import nosuchmodule\n"}
    with pytest.raises(procedure.GateError, match=r"(?s)no benchmark found.*nosuchmodule"):
        compare(tmp_path / "p", files, files)


def test_a_suspicion_that_the_budget_cannot_confirm_is_inconclusive_and_says_what_it_takes(
    twins: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the budget ended with the screen.
    monkeypatch.setattr(procedure._Run, "affords", lambda _, blocks, __=1.0: blocks < 2)  # noqa: SLF001  # to be no race
    found = run(twins, slowdown={WORK: 0.3}, budget=1.0)
    row = rows(found)["test_work"]
    assert row.verdict == "inconclusive"
    assert "was not confirmed" in row.note
    assert found.exit_code == 3
    (warning,) = [text for text in found.warnings if "--budget" in text]
    said = re.search(
        r"takes (\d+) blocks, (\d+) s in all; the budget is 1 s, give --budget (\d+)s", warning
    )
    assert said is not None
    blocks, need, advised = map(int, said.groups())
    assert blocks >= verdict.FLOOR
    assert need <= advised <= need + 10


def test_a_budget_that_ends_while_confirming_is_told_once_and_what_was_run_counts(
    twins: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    def affords(self: procedure._Run, _blocks: int, _share: float = 1.0) -> bool:
        return sum(block.stage == "confirm" for block in self.blocks) < 3

    monkeypatch.setattr(procedure._Run, "affords", affords)  # noqa: SLF001  # to be no race
    found = run(twins, slowdown={WORK: 0.3})
    assert sum(block.stage == "confirm" for block in found.blocks) == 3
    (warning,) = [text for text in found.warnings if "budget" in text]
    said = re.fullmatch(
        r"the budget of \d+ s ended in the stage 'confirm' after 3 of (\d+) blocks", warning
    )
    assert said is not None
    assert int(said[1]) >= verdict.FLOOR
    row = rows(found)["test_work"]
    assert row.verdict == "inconclusive"  # three blocks can confirm nothing
    assert row.note == "3 usable blocks are too few to confirm anything"
    assert found.exit_code == 3


def test_where_the_budget_is_short_only_what_is_timed_is_cut(twins: Sides) -> None:
    second = timed(wall=1.0)
    last = replace(run(twins).blocks[-1], seconds=10.0, quads={WORK: [quad(second, second)] * 2})
    assert procedure.timed(last) == 8
    assert procedure.fitting(last, 10, 100 / 0.95) == pytest.approx(1)
    assert procedure.fitting(last, 10, 60 / 0.95) == pytest.approx(0.5)
    assert procedure.fitting(last, 10, 10.0) < 0
    assert procedure.fitting(replace(last, quads={}), 10, 10.0) == 1.0


def test_a_missed_canary_ends_with_exit_code_3_and_never_with_a_regression(
    twins: Sides, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The true canary is missed on no machine at will.
    monkeypatch.setattr(
        controls, "check", lambda *_: Controls(0.0, 0.0, ["the canary read +0.00%"])
    )
    found = run(twins, slowdown={WORK: 0.3})
    assert verdicts(found)["test_work"] == "inconclusive"
    assert (found.exit_code, found.result) == (3, "inconclusive: the canary read +0.00%")
    assert "the canary read +0.00%" in found.warnings
    assert {block.stage for block in found.blocks} == {"screen"}


def interpreter(folder: Path, distributions: dict[str, str]) -> str:
    """A virtual environment that sees this one's packages, and has some more."""
    python = venv(folder, everything=True)
    for name, version in distributions.items():
        write(
            site(folder, f"{name}-{version}.dist-info"),
            {"METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"},
        )
    return str(python)


def test_of_two_interpreters_the_packages_that_differ_are_listed(tmp_path: Path) -> None:
    project = write(tmp_path / "p", {"subject.py": PLAIN, "benchmarks/test_subject.py": SUITE})
    before = interpreter(tmp_path / "one", {"same": "3.0", "library": "1.0", "gone": "0.1"})
    after = interpreter(tmp_path / "two", {"same": "3.0", "library": "2.0", "extra": "5.0"})
    with interpreters(project, before, after) as sides:
        found = run(sides)
    assert found.exit_code == 0
    assert found.warnings[-1] == (
        "the sides' packages differ: extra absent -> 5.0, gone 0.1 -> absent, library 1.0 -> 2.0"
    )
    assert found.baseline.packages["library"] == "1.0"
    assert found.candidate.packages["library"] == "2.0"


MORTAL = """\
import os
from pathlib import Path

starts = Path(__file__).with_name("starts")
starts.write_text(starts.read_text() + "." if starts.exists() else ".")
if len(starts.read_text()) > 2:
    os._exit(9)
"""
"""A conftest that lets a side start twice: to collect, and for one block."""


def test_a_side_that_no_longer_starts_ends_the_run_and_keeps_what_was_measured(
    tmp_path: Path,
) -> None:
    files = {"subject.py": PLAIN, "conftest.py": MORTAL, "benchmarks/test_subject.py": SUITE}
    found = compare(tmp_path / "p", files, files)
    assert (found.exit_code, len(found.blocks)) == (2, 1)
    assert found.result.startswith("broken off after 1 block: ")
    assert "exit code 9" in found.result
    assert set(verdicts(found).values()) == {"inconclusive"}


def test_the_schedule_of_a_fine_slowdown_has_more_and_longer_blocks() -> None:
    fine, coarse = procedure.Schedule.of(0.02), procedure.Schedule.of(0.03)
    assert fine.blocks > coarse.blocks
    assert fine.screen_seconds > coarse.screen_seconds
    assert fine.confirm_seconds > coarse.confirm_seconds


def test_no_run_leaves_a_folder_or_a_worker_behind(
    temporary: Path, identical: GateRecord, regressed: GateRecord
) -> None:
    assert identical
    assert regressed
    # The sides of `twins` are still in use.
    assert len(list(temporary.glob("flopline-*"))) <= 1
    assert living("FLOPLINE_SLOT=", f"TMPDIR={temporary}") == set()
