"""Products and epochs are verified, and measured in turns."""

from __future__ import annotations

import itertools

import pytest

from flopline import matmul
from flopline.chapter import training
from flopline.chapter.claims.measurements.turns import (
    EPOCH_STRATEGIES,
    measure_epochs,
    measure_in_turns,
    measure_workloads,
    product_case,
    tiny_element_loop,
)
from flopline.data import surrogate
from flopline.workload import WrongAnswerError


def test_every_run_has_its_turn_in_every_round() -> None:
    announced: list[str] = []
    runs = {"one": lambda: None, "two": lambda: None}
    seconds = measure_in_turns(runs, "a test", 3, announced.append)
    assert list(seconds) == ["one", "two"]
    assert [len(samples) for samples in seconds.values()] == [3, 3]
    rounds = [f"a test, round {number} of 3" for number in (1, 2, 3)]
    assert announced == ["a test", *rounds]


def test_a_wrong_strategy_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = matmul.prepare(product_case("full", n=4))
    broken = type(workload)(**(vars(workload) | {"run": lambda: None}))
    monkeypatch.setattr("flopline.timing.turns", lambda *_, **__: pytest.fail("it was timed"))
    with pytest.raises(WrongAnswerError):
        measure_workloads([broken], "a test", 1, lambda _what: None)


def test_the_tiny_loop_has_few_calls_of_the_same_kind() -> None:
    tiny = tiny_element_loop()
    assert tiny.case.strategy == "element_assign"
    assert 1 <= tiny.calls <= 100


def test_an_epoch_is_measured_in_every_way_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = (500, 1500)
    monkeypatch.setattr(training, "MINIBATCH_SIZES", sizes)
    seconds = measure_epochs(surrogate("a test"), 1, lambda _what: None)
    assert list(seconds) == [
        f"sgd/strategy={strategy}/batch={size}"
        for strategy, size in itertools.product(EPOCH_STRATEGIES, sizes)
    ]
    assert all(samples[0] > 0 for samples in seconds.values())
