from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

from hypothesis import example, given

from flopline.characters import visible
from flopline.gate.record import ExitCode, GateRecord, Settings
from flopline.gate.tell.junit import render
from flopline.gate.tell.summary import summarise
from tests.gate.support.make_records import (
    FILE,
    HOSTILE,
    RECORD,
    REGRESSED,
    REGRESSED_MORE,
    changed,
    make_unchanged,
    record_of,
    reworded,
)


def junit(record: GateRecord) -> str:
    return render(summarise(record))


def suite_of(record: GateRecord) -> ET.Element:
    return ET.fromstring(junit(record))  # noqa: S314  # our own


def test_every_benchmark_is_a_test_case() -> None:
    cases = list(suite_of(RECORD).iter("testcase"))
    assert {case.get("classname") for case in cases} == {FILE}
    assert [case.get("name") for case in cases] == [
        "test_a[loader]",
        "test_a[tile]",
        "test_a[naive]",
        "test_a[few]",
        "test_lost",
        "test_a[row]",
        "test_same[1]",
        "test_same[2]",
    ]
    times = [float(case.get("time", "")) for case in cases]
    assert times[:3] == [1.234e-6, 1.234e-3, 0.27]


def test_a_very_long_id_is_whole() -> None:
    name = f"a.py::test[{'x' * 5000}end]"
    assert "x" * 5000 in junit(record_of([make_unchanged(name)]))


def test_the_suite_counts_its_cases() -> None:
    suite = suite_of(RECORD)
    names = ("tests", "failures", "errors", "skipped", "time", "timestamp")
    assert {name: suite.get(name) for name in names} == {
        "tests": "8",
        "failures": "2",
        "errors": "0",
        "skipped": "3",
        "time": "168.200",
        "timestamp": "2026-03-01T12:00:00+00:00",
    }


def test_a_regression_is_a_failure_that_says_why() -> None:
    failure = suite_of(RECORD).find("testcase[@name='test_a[tile]']/failure")
    assert failure is not None
    assert failure.get("message") == (
        "regressed: change +3.2 %, 95 % interval [+2.9, +3.5], detectable +1.8 %, calls +256; "
        "11/12 blocks above +1 %, p = 0.00049"
    )
    lines = (failure.text or "").splitlines()
    assert "+256 calls of Tensor.contiguous from matmul.py:88 (roughly 40 us)" in lines


def test_a_regression_that_decides_nothing_is_skipped() -> None:
    rows = [replace(REGRESSED, accepted="1a2b3c4"), replace(REGRESSED_MORE, report_only=True)]
    suite = suite_of(record_of(rows))
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "2")
    messages = [skipped.get("message", "") for skipped in suite.iter("skipped")]
    assert ["1a2b3c4" in message for message in messages] == [False, True]
    suite = suite_of(changed(settings=Settings(report_only=True)))
    assert suite.get("failures") == "0"


def test_what_has_no_verdict_is_skipped_with_a_reason() -> None:
    noisy = (
        "inconclusive: change +1.9 %, 95 % interval [+0.6, +3.3], detectable +3.6 %; "
        "too noisy: a slowdown of 3.0 % might not have been found"
    )
    messages = {skipped.get("message") for skipped in suite_of(RECORD).iter("skipped")}
    assert messages == {
        noisy,
        "inconclusive; too few undisturbed batches",
        "not comparable; failed on the candidate (call): ValueError",
    }


def test_what_passes_says_what_it_measured() -> None:
    improved, screened, confirmed = (out.text for out in suite_of(RECORD).iter("system-out"))
    assert improved == (
        "improved: change -27.0 %, 95 % interval [-28.0, -26.0], detectable +1.7 %, calls -55.4 %"
    )
    assert screened == (
        "unchanged: change +0.1 %, 95 % interval [-0.3, +0.5], detectable +1.8 %, calls ="
    )
    assert confirmed == (
        "unchanged: change -0.2 %, 95 % interval [-0.6, +0.2], detectable +1.8 %, calls varies\n"
        "0/12 blocks below -1 %, p = 0.31, where Holm's limit is 0.005"
    )


def test_the_properties_are_numbers_for_programs() -> None:
    properties = {item.get("name"): item.get("value") for item in suite_of(RECORD).iter("property")}
    assert properties == {
        "baseline": "origin/main (1a2b3c4)",
        "candidate": "working tree",
        "detect": "0.03",
        "alpha": "0.01",
        "noise": "0.004",
        "canary": "0.031",
        "control": "-0.0004",
    }


def test_a_gate_that_could_not_do_its_work_is_an_error_of_the_suite() -> None:
    record = record_of(
        [], result="no benchmark found\nhere", exit_code=ExitCode.COULD_NOT_WORK, canary=None
    )
    suite = suite_of(record)
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")
    (case,) = suite.iter("testcase")
    assert (case.get("classname"), case.get("name")) == ("flopline", "gate")
    (error,) = case
    assert (error.get("message"), error.text) == (
        "no benchmark found here",
        "no benchmark found\nhere",
    )


@given(HOSTILE)
def test_any_words_make_valid_xml_that_gives_them_back(words: str) -> None:
    suite = suite_of(reworded(words))
    assert suite.get("timestamp") == visible(words)
    assert visible(words) in {case.get("name") for case in suite.iter("testcase")}


@given(HOSTILE)
@example("\x1b]0;title\x07")
def test_nothing_that_steers_a_terminal_survives(words: str) -> None:
    xml = junit(reworded(words))
    assert xml.replace("\n", "").isprintable()
    xml.encode()
