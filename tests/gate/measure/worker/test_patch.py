from __future__ import annotations

import time
from functools import partialmethod
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from flopline.gate.measure.worker.flopline_worker import patch
from flopline.gate.measure.worker.flopline_worker.patch import (
    PedanticCall,
    PlainCalls,
    PreparedRounds,
    UnsupportedVersionError,
    cost_of_calls,
    with_plain_setup,
)

if TYPE_CHECKING:
    from tests.gate.measure.support.desks import Desk

NAMES = ["_raw", "_raw_pedantic"]


def methods() -> list[Any]:
    """The two methods of pytest-benchmark as they are now."""
    return [vars(BenchmarkFixture)[name] for name in NAMES]


@pytest.fixture
def unpatched(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Puts pytest-benchmark's own methods back afterwards."""
    for name, method in zip(NAMES, methods(), strict=True):
        monkeypatch.setattr(BenchmarkFixture, name, method)
    return monkeypatch


@pytest.mark.parametrize("name", NAMES)
def test_methods_with_unknown_parameters_are_refused_and_left_alone(
    desk: Desk, unpatched: pytest.MonkeyPatch, name: str
) -> None:
    def unknown(self: object, function: object, often: int) -> None:
        raise AssertionError((self, function, often))

    unpatched.setattr(BenchmarkFixture, name, unknown)
    before = methods()
    refusal = rf"not supported: .*\.{name} has .*\('self', 'function', 'often'\)"
    with pytest.raises(UnsupportedVersionError, match=refusal):
        patch.patch(desk.link)
    assert methods() == before


@pytest.mark.usefixtures("unpatched")
def test_the_parameters_of_the_installed_version_are_accepted(desk: Desk) -> None:
    patch.patch(desk.link)
    assert all(isinstance(method, partialmethod) for method in methods())


def test_the_parameters_until_5_1_are_accepted(desk: Desk, unpatched: pytest.MonkeyPatch) -> None:
    def until_5_1(  # as it was
        self: object,
        target: object,
        args: object = (),
        kwargs: object = None,
        setup: object = None,
        rounds: int = 1,
        warmup_rounds: int = 0,
        iterations: int = 1,
    ) -> None:
        raise AssertionError((self, target, args, kwargs, setup, rounds, warmup_rounds, iterations))

    unpatched.setattr(BenchmarkFixture, "_raw_pedantic", until_5_1)
    patch.patch(desk.link)
    assert isinstance(methods()[1], partialmethod)


# Arguments of a pedantic call


def call(**parameters: Any) -> PedanticCall:  # noqa: ANN401  # any parameter
    """A call whose parameters pytest-benchmark's own method understands."""
    return PedanticCall(methods()[1], sum, **parameters)


def test_the_arguments_are_those_that_were_given() -> None:
    assert call(args=([1, 2],), kwargs={"start": 3}).arguments() == (([1, 2],), {"start": 3})
    assert call().arguments() == ((), {})


def test_a_setup_makes_the_arguments_of_every_call() -> None:
    made: list[int] = []

    def setup() -> tuple[list[object], dict[str, object]]:
        made.append(1)
        return [made], {}

    prepared = call(setup=setup)
    assert prepared.arguments() == (([1],), {})
    assert prepared.arguments() == (([1, 1],), {})


def test_a_setup_that_returns_nothing_leaves_the_arguments() -> None:
    assert call(args=([1, 2],), setup=lambda: None).arguments() == (([1, 2],), {})


def test_a_setup_and_arguments_are_pytest_benchmarks_error() -> None:
    with pytest.raises(TypeError, match="Can't use `args` or `kwargs` if `setup` returns"):
        call(args=([1, 2],), setup=lambda: ((), {"start": 1})).arguments()


def test_validating_calls_neither_setup_nor_target() -> None:
    PedanticCall(
        methods()[1],
        target=lambda: pytest.fail("the target was called"),
        setup=lambda: pytest.fail("the setup was called"),
        rounds=3,
    ).validate()


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"rounds": 0}, "positive int for `rounds`"),
        ({"rounds": "many"}, "positive int for `rounds`"),
        ({"warmup_rounds": -1}, "positive int for `warmup_rounds`"),
        ({"iterations": 1.5}, "positive int for `iterations`"),
        ({"iterations": 2, "setup": lambda: None}, "more than 1 `iterations` with a `setup`"),
    ],
)
def test_invalid_parameters_are_pytest_benchmarks_error(
    parameters: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        call(**parameters).validate()


def test_a_single_call_is_torn_down_with_its_arguments() -> None:
    torn_down: list[object] = []
    single = call(args=([1, 2],), teardown=torn_down.append)
    assert single.once() == 3
    assert torn_down == [[1, 2]]


# A setup that wants the arguments of the target


def refill(values: list[int], *, last: int) -> None:
    values[:] = [1, last]


def test_a_setup_that_wants_the_arguments_gets_them() -> None:
    values: list[int] = []
    parameters = {"args": (values,), "kwargs": {"last": 3}, "setup": refill, "rounds": 2}
    plain = with_plain_setup(parameters)
    assert call(**plain).arguments() == (([1, 3],), {"last": 3})
    assert {**plain, "setup": refill} == parameters


@pytest.mark.parametrize(
    "parameters",
    [
        {"args": (1,), "setup": None},
        {"setup": refill},
        {"args": (1,), "setup": lambda *_: None},
        {"args": (1, 2), "setup": lambda one: one},
        {"args": (1,), "kwargs": None, "setup": min},
    ],
    ids=["none", "no arguments", "any number", "another number", "signature unknown"],
)
def test_any_other_setup_is_called_as_pytest_benchmark_does(parameters: dict[str, Any]) -> None:
    assert with_plain_setup(parameters) is parameters


# What measuring costs


def test_what_measuring_costs_is_measured_once_for_every_kind_of_fixture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []

    def make_runner(function: object, args: object, kwargs: object) -> object:
        made.append(function)
        fixture = SimpleNamespace(_timer=time.perf_counter, _disable_gc=False)
        runner: object = vars(BenchmarkFixture)["_make_runner"](fixture, function, args, kwargs)
        return runner

    monkeypatch.setattr(patch, "COSTS", {})
    plain, without_gc = (
        SimpleNamespace(_make_runner=make_runner, _disable_gc=disabled)
        for disabled in (False, True)
    )
    one, several = cost_of_calls(plain, 1), cost_of_calls(plain, 2)
    assert 0 <= one.wall < one.process
    calls = PlainCalls(plain, sum, (([1],), {}))
    assert [calls.cost(rounds) for rounds in (1, 2, 9)] == [one, several, several]
    assert PreparedRounds(plain, call(setup=list)).cost(9) == one.times(9)
    assert made == [patch.nothing, patch.nothing, sum]
    cost_of_calls(without_gc, 1)
    assert len(made) == 4
