"""A record in which there is something of everything, and how to change it."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from flopline.gate.record import (
    Batch,
    Block,
    Comparison,
    Difference,
    ExitCode,
    GateRecord,
    Loss,
    Quad,
    Settings,
    SideFacts,
    Stage,
)

FILE = "bench/test_matmul.py"
BATCH = Batch(calls=9, wall=4e-3, cpu=4e-3, process=4e-3, voluntary=0, involuntary=0)
QUAD = Quad((BATCH, BATCH), (BATCH, BATCH))
LOST = {
    f"{FILE}::test_lost": Loss(
        "candidate", "call", "failed", "def test_lost():\n>   f()\nE   ValueError: \x1b[31mno"
    ),
    f"{FILE}::test_a[tile]": Loss("baseline", "process", "stopped", "after test_lost crashed"),
}
HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\x07\r\n\t\0\x7f\u202e\u2028\ud800\ufffe|`\\<>&[]()*_#@~$\"'"),
    ),
    max_size=20,
)
"""Texts with whatever a terminal, a page or a parser could obey."""


def make_block(stage: Stage, count: int, **facts: Any) -> Block:  # noqa: ANN401  # any fact
    """Returns a block in which one benchmark has `count` quads."""
    defaults: dict[str, Any] = {
        "hash_seed": 1,
        "padding": 2,
        "cpu": 0,
        "candidate_first": True,
        "randomised": False,
        "seconds": 4.0,
        "steal": 0.006,
        "load": 2.7,
        "quads": {f"{FILE}::test_a[tile]": [QUAD] * count},
        "wide": [],
        "canary": [QUAD],
        "control": [QUAD],
        "lost": {},
    }
    return Block(stage=stage, **(defaults | facts))


def make_unchanged(name: str, change: float = 0.001) -> Comparison:
    """Returns a comparison like most: it was only screened."""
    return Comparison(
        name,
        "unchanged",
        change=change,
        low=change - 0.004,
        high=change + 0.004,
        detectable=0.018,
        detectable_probability=0.95,
        seconds=2.5e-4,
        sigma=0.006,
        clock="cpu",
        stage="screen",
        blocks=4,
    )


SAME = dataclasses.replace(
    make_unchanged(f"{FILE}::test_same[1]"), calls_baseline=130, calls_candidate=130
)
CONFIRMED_SAME = dataclasses.replace(
    make_unchanged(f"{FILE}::test_same[2]", -0.002),
    calls_baseline=4,
    calls_candidate=4,
    calls_vary=True,
    detectable_probability=0.9,
    stage="confirm",
    blocks=12,
    p=0.31,
    limit=0.005,
)
IMPROVED = Comparison(
    f"{FILE}::test_a[row]",
    "improved",
    change=-0.27,
    low=-0.28,
    high=-0.26,
    detectable=0.017,
    detectable_probability=0.9,
    seconds=3.1,
    calls_baseline=92360,
    calls_candidate=41200,
    sigma=0.004,
    clock="timer",
    stage="confirm",
    blocks=12,
    beyond=12,
)
NOT_COMPARABLE = Comparison(
    f"{FILE}::test_lost", "not comparable", note="failed on the candidate (call): ValueError"
)
NOISY = Comparison(
    f"{FILE}::test_a[naive]",
    "inconclusive",
    change=0.019,
    low=0.006,
    high=0.033,
    detectable=0.036,
    detectable_probability=0.95,
    seconds=0.27,
    sigma=0.034,
    clock="cpu",
    stage="screen",
    blocks=4,
)
FEW = Comparison(f"{FILE}::test_a[few]", "inconclusive", note="too few undisturbed batches")
REGRESSED = Comparison(
    f"{FILE}::test_a[tile]",
    "regressed",
    change=0.032,
    low=0.029,
    high=0.035,
    detectable=0.018,
    detectable_probability=0.9,
    seconds=1.234e-3,
    sigma=0.004,
    clock="cpu",
    stage="confirm",
    blocks=12,
    beyond=11,
    p=0.00049,
    limit=0.005,
    calls_baseline=8,
    calls_candidate=264,
)
REGRESSED_MORE = Comparison(
    f"{FILE}::test_a[loader]",
    "regressed",
    change=0.112,
    low=0.099,
    high=0.125,
    detectable=0.018,
    detectable_probability=0.9,
    seconds=1.234e-6,
    sigma=0.004,
    clock="wall",
    stage="confirm",
    blocks=12,
    beyond=12,
    p=0.00024,
    limit=0.0033,
    calls_baseline=9236,
    calls_candidate=9236,
)
RECORD = GateRecord(
    settings=Settings(),
    baseline=SideFacts("baseline", "origin/main (1a2b3c4)"),
    candidate=SideFacts("candidate", "working tree"),
    machine={"cpus": 2},
    threads=1,
    started="2026-03-01T12:00:00+00:00",
    seconds=168.2,
    blocks=[*([make_block("screen", 3, lost=LOST)] * 4), *([make_block("confirm", 6)] * 12)],
    comparisons=[
        SAME,
        IMPROVED,
        NOT_COMPARABLE,
        NOISY,
        FEW,
        REGRESSED,
        CONFIRMED_SAME,
        REGRESSED_MORE,
    ],
    added=[f"{FILE}::test_new"],
    removed=[f"{FILE}::test_old", f"{FILE}::test_older"],
    canary=0.031,
    control=-0.0004,
    noise=0.004,
    explanations={
        f"{FILE}::test_a[tile]": [
            Difference("Tensor.contiguous", "matmul.py:88", 0, 256, 4.2e-5),
            Difference("len", "matmul.py:90", 2, 3, 1e-6),
            Difference("abs", "matmul.py:91", 1, 0, 1e-6),
        ],
        f"{FILE}::test_a[loader]": [],
    },
    warnings=["the sides' packages differ: torch 2.12.0 -> 2.13.0"],
    result="2 confirmed regressions",
    exit_code=ExitCode.REGRESSION,
    flopline="0.1",
)


def changed(**facts: Any) -> GateRecord:  # noqa: ANN401  # any fact
    """Returns the record with other facts."""
    return dataclasses.replace(RECORD, **facts)


def record_of(rows: list[Comparison], **facts: Any) -> GateRecord:  # noqa: ANN401  # any fact
    """Returns the record of these comparisons alone."""
    return changed(comparisons=rows, added=[], removed=[], blocks=[], explanations={}, **facts)


def reworded(words: str) -> GateRecord:
    """Returns the record with these words wherever a benchmark or a user may put words."""
    name = f"x.py::{words}"
    lost = {name: Loss(None, "call", "failed", words)}
    return changed(
        baseline=SideFacts("baseline", words),
        candidate=SideFacts("candidate", words),
        started=words,
        blocks=[make_block("screen", 3, lost=lost), make_block("confirm", 6)],
        comparisons=[
            make_unchanged(name),
            dataclasses.replace(REGRESSED, id=name, note=words),
            Comparison(words, "not comparable", note=words),
        ],
        added=[words],
        removed=[name],
        explanations={name: [Difference(words, words, 0, 1, 1.0)]},
        warnings=[words],
        result=words,
        exit_code=ExitCode.COULD_NOT_WORK,
    )
