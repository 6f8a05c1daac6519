from __future__ import annotations

import json
import math
import re
import signal
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flopline.workload import (
    Accuracy,
    Case,
    CaseError,
    DeclarationError,
    FailedRunError,
    Workload,
    WrongAnswerError,
    contained,
    declared,
    is_remembered,
    verify,
    verify_again,
)

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = st.text(st.characters(exclude_characters="/="), min_size=1)
AXES = st.dictionaries(WORDS.filter("strategy".__ne__), st.integers(0))


@given(family=WORDS, strategy=WORDS, axes=AXES)
def test_a_case_is_read_back_from_its_name(
    family: str, strategy: str, axes: dict[str, int]
) -> None:
    case = Case(family, strategy, axes)
    assert Case.parse(case.name) == case
    assert Case.parse(case.name).name == case.name


def test_a_cases_name_is_family_strategy_and_axes_in_order() -> None:
    case = Case("matmul", "column_block", {"n": 256, "block": 64})
    assert case.name == "matmul/strategy=column_block/n=256/block=64"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "matmul",
        "matmul/n=4",
        "/strategy=full/n=4",
        "matmul/strategy=/n=4",
        "matmul/strategy",
        "matmul/n=4/strategy=full",
        "matmul/strategy=full/strategy=4",
        "matmul/strategy=full/",
        "matmul/strategy=full/n",
        "matmul/strategy=full/n=",
        "matmul/strategy=full/=4",
        "matmul/strategy=full/n=-1",
        "matmul/strategy=full/n=4.0",
        "matmul/strategy=full/n=²",
        "matmul/strategy=full/n= 4",
        "matmul/strategy=full/n=4/n=5",
    ],
)
def test_a_text_that_is_no_case_is_refused(name: str) -> None:
    message = f"{name!r} is not a case; a case reads family/strategy=NAME"
    with pytest.raises(CaseError, match=f"^{re.escape(message)}"):
        Case.parse(name)


EXPECTED = [1.0, 2.0, 3.0]
"""What the workload below ought to leave in its three cells, within a quarter."""


def counting(run: Callable[[list[float]], object]) -> Workload:
    cells = [0.0] * 3

    def write_nan() -> None:
        cells[:] = [math.nan] * 3

    def check() -> Accuracy:
        errors = [abs(cell - right) for cell, right in zip(cells, EXPECTED, strict=True)]
        ranks = [math.inf if math.isnan(error) else error for error in errors]
        worst = ranks.index(max(ranks))
        return Accuracy(errors[worst], 0.25, (worst,), cells[worst], EXPECTED[worst])

    return Workload(
        case=Case("counting", "mine", {"n": 3}),
        run=lambda: run(cells),
        flops=3,
        bytes=24,
        calls=1,
        poison=write_nan,
        check=check,
    )


def leaving(answer: list[float]) -> Workload:
    """A workload that leaves these numbers in its cells."""

    def run(cells: list[float]) -> None:
        cells[:] = answer

    return counting(run)


@pytest.mark.parametrize("second", [2.0, 2.25, 1.75])
def test_an_answer_within_its_bound_is_accepted_with_its_accuracy(second: float) -> None:
    accuracy = verify(leaving([1.0, second, 3.0]))
    assert accuracy.right
    assert accuracy.error == abs(second - 2.0)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([1.0, 2.5, 3.125], "[1]: 2.5 instead of 2, error 0.5, bound 0.25. It was not timed"),
        (
            [1.0, 2.0, math.nan],
            "[2]: nan instead of 3: a cell that was not written, or not a number. It was not timed",
        ),
        (
            [-math.inf, 2.0, 3.0],
            "[0]: -inf instead of 1: a cell that was not written, or not a number",
        ),
    ],
    ids=["wrong", "unwritten", "infinite"],
)
def test_a_wrong_answer_is_refused_with_its_place_error_and_bound(
    answer: list[float], reason: str
) -> None:
    message = re.escape(f"counting/strategy=mine/n=3: wrong answer, worst at {reason}")
    with pytest.raises(WrongAnswerError, match=message):
        verify(leaving(answer))


def test_a_right_answer_of_an_earlier_run_does_not_count() -> None:
    runs = 0

    def run(cells: list[float]) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            cells[:] = EXPECTED

    workload = counting(run)
    verify(workload)
    with pytest.raises(WrongAnswerError, match="not written"):
        verify(workload)


def test_cases_and_strategies_are_listed_without_torch_or_numpy() -> None:
    program = (
        "import sys, flopline.registry, flopline.workload\n"
        "print(sorted({'torch', 'numpy'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_a_workload_whose_operands_cannot_change_is_verified_again() -> None:
    verify_again(leaving([1.0, 2.0, 3.0]))
    with pytest.raises(WrongAnswerError, match="wrong answer afterwards, although it was right"):
        verify_again(leaving([1.0, 2.0, 9.0]))


@pytest.mark.parametrize(
    ("fresh", "same", "remembered"),
    [
        (400e-6, 350e-6, False),
        (900e-6, 350e-6, False),
        (30e-6, 1e-6, False),
        (400e-6, 30e-6, True),
        (20e-3, 1e-3, True),
    ],
)
def test_a_run_that_is_slow_on_new_operands_only_is_told_from_noise(
    fresh: float, same: float, *, remembered: bool
) -> None:
    assert is_remembered(fresh, same) == remembered


@pytest.mark.parametrize(
    "error", [SystemExit(0), RuntimeError("boom"), GeneratorExit(), KeyboardInterrupt()], ids=repr
)
def test_whatever_foreign_code_raises_is_one_error_with_its_name(error: BaseException) -> None:
    message = f"the strategy raised {type(error).__name__}: {re.escape(str(error))}"
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(FailedRunError, match=message), contained("the strategy"):
        raise error
    assert signal.getsignal(signal.SIGINT) is before


def test_what_a_program_does_with_ctrl_c_is_not_what_foreign_code_raises() -> None:
    arrived: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: arrived.append(number))
    try:
        with pytest.raises(FailedRunError), contained("the strategy"):
            raise KeyboardInterrupt
        with contained("the strategy"):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert arrived == [signal.SIGINT]


def test_ctrl_c_passes_through_foreign_code() -> None:
    with pytest.raises(KeyboardInterrupt), contained("the strategy"):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (np.prod((2, 512)), 1024),
        (np.array(7), 7),
        (np.float32(8), 8),
        (torch.tensor(9), 9),
        (Fraction(22, 2), 11),
        (Decimal(12), 12),
        (2.5e9, 2_500_000_000),
        (0, 0),
    ],
    ids=repr,
)
def test_work_declared_in_any_kind_of_number_is_a_whole_number(value: object, number: int) -> None:
    workload = declared(
        replace(leaving(EXPECTED), flops=cast("int", value), calls=cast("int", value))
    )
    assert (workload.flops, workload.calls) == (number, number)
    assert type(workload.flops) is int


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -1, "many", None, True, 1j, [1], 10**400, np.array([1, 2])]
)
def test_work_that_is_no_number_is_refused_with_the_field(value: object) -> None:
    with pytest.raises(DeclarationError, match=r"^counting/strategy=mine/n=3: bytes is "):
        declared(replace(leaving(EXPECTED), bytes=cast("int", value)))


def test_facts_are_kept_as_json_holds_them() -> None:
    facts: dict[str, Any] = {
        "n": np.int64(3),
        "share": np.float32(0.5),
        "rate": math.inf,
        "on": np.True_,
        "name": np.str_("x"),
        "shape": (np.int64(2), 3),
    }
    kept = declared(replace(leaving(EXPECTED), facts=facts)).facts
    assert json.loads(json.dumps(kept, allow_nan=False)) == {
        "n": 3,
        "share": 0.5,
        "rate": None,
        "on": True,
        "name": "x",
        "shape": [2, 3],
    }
    with pytest.raises(DeclarationError, match=r"the fact 'when' is .* of the type object"):
        declared(replace(leaving(EXPECTED), facts={"when": object()}))  # type: ignore[dict-item]
