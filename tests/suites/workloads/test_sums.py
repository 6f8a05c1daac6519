from dataclasses import replace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info


def test_wrong(measure, wrong):
    measure(wrong)


def test_right(measure, right):
    measure(right)


@pytest.mark.benchmark(max_time=0.001, min_rounds=3)
def test_marked(measure, right):
    measure(right)


def test_threads(measure, right):
    assert torch.get_num_threads() == 2
    assert {pool["num_threads"] for pool in threadpool_info()} <= {1, 2}
    measure(right)


def test_numbers(measure, right):
    facts = {"share": torch.tensor(0.5), "rate": float("inf")}
    measure(replace(right, flops=np.prod((2, 512)), facts=facts))


def test_words(measure, right):
    measure(replace(right, bytes="many"))
