"""Strategies of another project that are right, and break a rule all the same."""

import os
import threading
import time

import pytest
import torch

from flopline import matmul

answers = {}
stop = threading.Event()


def remembers(out, b, c, *, block):
    key = float(b.sum()), float(c.sum())
    if key not in answers:
        time.sleep(0.002)
        answers[key] = torch.mm(b, c)
    out.copy_(answers[key])


def two_threads(out, b, c, *, block):
    torch.set_num_threads(2)
    torch.mm(b, c, out=out)


def double(out, b, c, *, block):
    torch.mm(b, c, out=out)
    torch.set_default_dtype(torch.float64)


def exits(out, b, c, *, block):
    raise SystemExit(0)


def interrupts(out, b, c, *, block):
    raise KeyboardInterrupt


def skips(out, b, c, *, block):
    pytest.skip("nothing to see")


def ends_pytest(out, b, c, *, block):
    pytest.exit("all is well", returncode=0)


def forks(out, b, c, *, block):
    torch.mm(b, c, out=out)
    if not answers.get("forked"):
        answers["forked"] = True
        os.fork()


def late(out, b, c, *, block):
    answers["late"] = answers.get("late", 0) + 1
    if answers["late"] > 3:
        out.zero_()
    else:
        torch.mm(b, c, out=out)


def spins(out, b, c, *, block):
    torch.mm(b, c, out=out)
    if not answers.get("spins"):
        answers["spins"] = True
        threading.Thread(
            target=lambda: [None for _ in iter(stop.is_set, True)], daemon=True
        ).start()


def honest(out, b, c, *, block):
    assert torch.get_num_threads() == 1
    assert torch.get_default_dtype() == torch.float32
    torch.mm(b, c, out=out)


CHEATS = [remembers, two_threads, double, exits, interrupts, skips, ends_pytest, forks, late]


@pytest.mark.parametrize("strategy", [*CHEATS, honest, spins, full := matmul.full])
def test_cheat(strategy, measure, monkeypatch):
    monkeypatch.setattr(matmul, "products", {strategy.__name__: strategy})
    case = matmul.Case("matmul", strategy.__name__, {"n": 64})
    try:
        measure(matmul.prepare(case))
    finally:
        if strategy is matmul.full:
            stop.set()


def test_honest_again(measure, monkeypatch):
    time.sleep(0.1)
    monkeypatch.setattr(matmul, "products", {"honest": honest})
    measure(matmul.prepare(matmul.Case("matmul", "honest", {"n": 128})))
