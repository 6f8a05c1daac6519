"""The summary of a gate run as JUnit XML for a CI server."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from flopline.gate.record import ExitCode
from flopline.gate.tell.names import in_file

if TYPE_CHECKING:
    from flopline.gate.tell.summary import ReportRow, Summary

KINDS = {"regressed": "failure", "inconclusive": "skipped", "not comparable": "skipped"}
"""The element of a test case that stands for a verdict; the other verdicts have passed."""
COUNTERS = {"failures": "failure", "errors": "error", "skipped": "skipped"}
"""The attributes in which a suite counts its test cases, and the elements that they count."""


def render(summary: Summary) -> str:
    """Returns the summary as XML.

    Every benchmark is a test case, whose time is the baseline's seconds per call. A gate that
    could not do its work has one more test case, which is an error.
    """
    cases = [_case(row, summary) for row in summary.rows]
    if summary.exit_code == ExitCode.COULD_NOT_WORK:
        cases.append(_failure(summary))
    part = summary.properties.get("part")
    name = f"flopline gate, part {part}" if part else "flopline gate"
    time = f"{summary.seconds:.3f}"
    suite = ET.Element("testsuite", name=name, tests=str(len(cases)), time=time)
    for attribute, element in COUNTERS.items():
        count = sum(case.find(element) is not None for case in cases)
        suite.set(attribute, str(count))
    suite.set("timestamp", summary.started)
    properties = ET.SubElement(suite, "properties")
    for name, value in summary.properties.items():
        ET.SubElement(properties, "property", name=name, value=value)
    suite.extend(cases)
    ET.indent(suite)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(suite, encoding="unicode")}\n'


def _case(row: ReportRow, summary: Summary) -> ET.Element:
    file, name = in_file(row.id)
    case = ET.Element("testcase", classname=file, name=name, time=f"{row.seconds:.9f}")
    known = [column for column in summary.columns_in("junit") if row.cells[column.name]]
    facts = [f"{column.name} {row.cells[column.name]}" for column in known]
    first = f"{row.verdict}: {', '.join(facts)}" if facts else row.verdict
    sentences = [first, *row.evidence]
    if row.more_calls and row.verdict != "regressed":
        message = "; ".join(sentences)
        child = ET.SubElement(case, "failure", type="calls", message=message)
    elif row.verdict in KINDS:
        message = "; ".join(sentences)
        # A server would take a failure for one of the run.
        kind = KINDS[row.verdict] if row.is_binding else "skipped"
        child = ET.SubElement(case, kind, type=row.verdict, message=message)
    else:
        child = ET.SubElement(case, "system-out")
    calls = ["".join(sentence) for sentence in row.calls]
    child.text = "\n".join([*sentences, *calls])
    return case


def _failure(summary: Summary) -> ET.Element:
    """Returns the test case of a gate that could not do its work."""
    case = ET.Element("testcase", classname="flopline", name="gate", time=f"{summary.seconds:.3f}")
    error = ET.SubElement(case, "error", message=" ".join(summary.result))
    error.text = "\n".join(summary.result)
    return case
