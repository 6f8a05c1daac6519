"""The calibration: which part comes next, and the page that is made from the results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from docs import calibrate
from docs.calibrate import PARTS
from flopline.gate.record import ExitCode
from flopline.gate.run import BROKEN
from flopline.gate.selfcheck import Trial
from tests.gate.support.make_records import RECORD, changed

if TYPE_CHECKING:
    from pathlib import Path

RUN = {"commit": "1234567890abcdef", "machine": "M, 2 CPUs", "date": "2026-11-25 12:00"}
OF_THE_GATE = {"exit": 0, "missed": {}, "changes": [], "inconclusive": 0, "confirmed": 0}
ROW = {"id": "a[x]", "verdict": "unchanged", "change": 0.004, "low": 0.001, "high": 0.007}


def line(part: str, **facts: Any) -> dict[str, Any]:  # noqa: ANN401  # any fact
    """Returns a run of the gate with other facts."""
    defaults = {"part": part, "seconds": 20.0, "slowed": 0, "found": 0, "false": []}
    return {**RUN, **OF_THE_GATE, **defaults, **facts}


def peer(pair: str, rule: str) -> dict[str, Any]:
    """Returns a line of a peer, whose run has one for every pair and rule."""
    facts = {"part": "asv", "pair": pair, "rule": rule, "seconds": 9.0}
    return {**RUN, **facts, "slowed": 0, "found": 0, "false": []}


def test_without_a_part_all_are_measured_as_often_as_they_say() -> None:
    assert calibrate.requested([]) == {name: part.runs for name, part in PARTS.items()}
    assert calibrate.requested(["null=3", "asv"]) == {"null": 3, "asv": 1}


@pytest.mark.parametrize("text", ["20", "nothing", "null=", "null=x", "null=-1"])
def test_what_is_no_part_is_refused_with_the_parts(text: str) -> None:
    with pytest.raises(SystemExit, match="is no PART or PART=RUNS; the parts are identical, null"):
        calibrate.requested([text])


def test_the_part_of_which_most_is_missing_comes_next() -> None:
    lines = [line("identical"), line("identical"), line("null")]
    assert calibrate.next_part(lines, {"identical": 4, "null": 4}) == "null"
    assert calibrate.next_part(lines, {"identical": 4, "null": 1}) == "identical"
    assert calibrate.next_part(lines, {"identical": 2, "null": 0}) == ""


def test_a_run_of_a_peer_counts_once_whatever_it_compares() -> None:
    lines = [peer("identical", "r"), peer("identical", "s"), peer("changed", "r")]
    assert calibrate.runs_of(lines, "asv") == 1


def test_rows_have_bounds_and_times_their_mean_where_runs_differ() -> None:
    lines = [line("null", seconds=30.0, false=["a", "b"]), line("identical")]
    lines += [line("identical", seconds=80.0), line("slowed-3", slowed=5, found=5)]
    rows = list(calibrate.table_rows(lines))
    assert rows[0].endswith(
        "| `flopline gate` | 2 | 0 of 2 (0 to 84.2 %) | 0 |  | median 50 s, mean 50 s (20 to 80) |"
    )
    assert rows[0].startswith("| identical code |")
    assert "| 1 | 1 of 1 (2.5 to 100 %) | 2 |  | 30 s |" in rows[1]
    assert "| 5 of 5 (47.8 to 100 %) |" in rows[2]


def test_the_page_tells_the_bias_of_null_edits_and_of_identical_code() -> None:
    estimates = [{**ROW, "sigma": 0.002, "blocks": 4}]
    lines = [
        line("null", kind="moved", estimates=estimates),
        line("identical", estimates=estimates, exit=3, inconclusive=1),
        line("changed", slowed=1, missed={"x[tile]": None}, changes=[0.06, None]),
    ]
    page = calibrate.page(lines)
    assert "most of all a[x], by +0.40% (+0.10% to +0.70%)" in page
    assert "These are the runs of each kind of edit: moved 1." in page
    assert "Identical code, on which it should be zero" in page
    assert "Of all 3 runs of the gate, 1 ended without an answer" in page
    assert "`flopline gate` missed: tile (no estimate)" in page
    assert "+6.0% to +6.0% (median +6.0%)" in page


def test_a_line_keeps_the_estimates_where_the_right_answer_is_zero() -> None:
    kept = calibrate.line_of(Trial(RECORD))
    assert kept["false"] == sorted(kept["false"])
    assert len(kept["false"]) == 2
    assert kept["exit"] == ExitCode.REGRESSION
    assert [row["id"] for row in kept["estimates"]] == [row.id for row in RECORD.comparisons]
    assert "estimates" not in calibrate.line_of(Trial(RECORD, frozenset({"x"})))


def test_a_run_that_was_interrupted_is_not_kept() -> None:
    with pytest.raises(SystemExit, match="what ended before it is kept"):
        calibrate.line_of(Trial(changed(result=f"{BROKEN}: interrupted")))


def test_where_nothing_is_missing_only_the_page_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(calibrate, "PAGE", tmp_path / "page.md")
    lines = [line("identical"), peer("identical", "r")]
    (tmp_path / "results.json").write_text(calibrate.results(lines))
    assert json.loads((tmp_path / "results.json").read_text()) == {"runs": lines}
    calibrate.measure({"identical": 1, "null": 0}, [])
    assert (tmp_path / "page.md").read_text() == calibrate.page(lines)
