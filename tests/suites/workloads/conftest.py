"""Workloads of a project that is not flopline: the sum of the first hundred numbers."""

import pytest

from flopline.workload import Accuracy, Case, Workload


def workload(wrong):
    state = {}

    def run():
        state["sum"] = sum(range(100)) + wrong

    def check():
        return Accuracy(abs(state["sum"] - 4950), 0.5, (0,), state["sum"], 4950)

    return Workload(
        case=Case("adding", "builtin", {"n": 100}),
        run=run,
        flops=100,
        bytes=800,
        calls=1,
        poison=state.clear,
        check=check,
        facts={"numbers": "int"},
    )


@pytest.fixture
def right():
    return workload(wrong=0)


@pytest.fixture
def wrong():
    return workload(wrong=1)
