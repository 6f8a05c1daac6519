from __future__ import annotations

import sys
from types import SimpleNamespace

from flopline.gate.measure.worker.flopline_worker.plugin import (
    reason,
    refusal,
    source_digest,
)


def first() -> None:
    pass


def second() -> int:
    return 2


def test_a_digest_is_that_of_the_functions_source() -> None:
    digests = {source_digest(SimpleNamespace(function=function)) for function in (first, second)}
    assert {len(digest) for digest in digests} == {16}
    assert len(digests) == 2


def test_a_digest_is_empty_where_there_is_no_source() -> None:
    assert source_digest(SimpleNamespace(function=len)) == source_digest(SimpleNamespace()) == ""


def test_the_reason_of_a_skip_is_its_last_part() -> None:
    report = SimpleNamespace(longrepr=("file.py", 3, "Skipped: not today"))
    assert reason(report) == "Skipped: not today"


def test_the_reason_of_a_failure_is_the_end_of_its_text() -> None:
    assert reason(SimpleNamespace(longrepr="x" * 5000 + "the end")).endswith("xthe end")
    assert len(reason(SimpleNamespace(longrepr="x" * 5000))) == 4000


def test_a_missing_pytest_benchmark_is_told_with_what_installs_it() -> None:
    text = refusal(ModuleNotFoundError("no such module", name="pytest_benchmark"))
    assert f"{sys.executable} -m pip install pytest-benchmark" in text
    assert refusal(ModuleNotFoundError("no such module", name="aspectlib")) == "no such module"
    assert refusal(RuntimeError("not supported")) == "not supported"
