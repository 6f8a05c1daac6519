"""Fetches read the numbers that they should."""

from __future__ import annotations

import torch

from flopline.chapter.claims.measurements.memory import random_fetch, sequential_fetch


def test_fetches_in_order_go_on_where_the_last_one_ended() -> None:
    fetch = sequential_fetch(torch.arange(10.0), torch.empty(3))
    fetched = [fetch().tolist() for _ in range(4)]
    assert fetched == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [2, 3, 4]]


def test_random_fetches_come_from_the_whole_buffer() -> None:
    generator = torch.Generator().manual_seed(0)
    out = torch.empty(1000)
    fetched = random_fetch(torch.arange(10.0), out, generator)()
    assert fetched is out
    assert set(out.tolist()) == set(range(10))
