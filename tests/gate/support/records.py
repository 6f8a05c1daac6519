"""A record in which there is something of everything."""

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
QUAD = Quad((Batch(9, 4e-3, 4e-3, 4e-3, 0, 0),) * 2, (Batch(9, 4e-3, 4e-3, 4e-3, 0, 0),) * 2)
LOST = {
    f"{FILE}::test_lost": Loss(
        "candidate", "call", "failed", "def test_lost():\n>   f()\nE   ValueError: \x1b[31mno"
    ),
    f"{FILE}::test_a[tile]": Loss("baseline", "process", "stopped", "after test_lost crashed"),
}


def block(stage: Stage, count: int, **facts: Any) -> Block:  # noqa: ANN401  # any fact
    plain: dict[str, Any] = {
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
    return Block(stage=stage, **{**plain, **facts})


def unchanged(name: str, change: float = 0.001) -> Comparison:
    """A comparison like most."""
    ends = (change - 0.004, change + 0.004)
    return Comparison(name, "unchanged", change, *ends, 0.018, 2.5e-4, 0.006, "cpu", "screen", 4)


ROWS = [
    unchanged(f"{FILE}::test_same[1]"),
    Comparison(
        f"{FILE}::test_a[row]",
        "improved",
        -0.27,
        -0.28,
        -0.26,
        0.017,
        3.1,
        0.004,
        "timer",
        "confirm",
        12,
        12,
    ),
    Comparison(
        f"{FILE}::test_lost", "not comparable", note="failed on the candidate (call): ValueError"
    ),
    Comparison(
        f"{FILE}::test_a[naive]",
        "inconclusive",
        0.019,
        0.006,
        0.033,
        0.036,
        0.27,
        0.034,
        "cpu",
        "screen",
        4,
    ),
    Comparison(f"{FILE}::test_a[few]", "inconclusive", note="too few undisturbed batches"),
    Comparison(
        f"{FILE}::test_a[tile]",
        "regressed",
        change=0.032,
        low=0.029,
        high=0.035,
        detectable=0.018,
        seconds=1.234e-3,
        sigma=0.004,
        clock="cpu",
        stage="confirm",
        blocks=12,
        beyond=11,
        p=0.00049,
        limit=0.005,
    ),
    dataclasses.replace(
        unchanged(f"{FILE}::test_same[2]", -0.002), stage="confirm", p=0.31, limit=0.005, blocks=12
    ),
    Comparison(
        f"{FILE}::test_a[loader]",
        "regressed",
        change=0.112,
        low=0.099,
        high=0.125,
        detectable=0.018,
        seconds=1.234e-6,
        sigma=0.004,
        clock="wall",
        stage="confirm",
        blocks=12,
        beyond=12,
        p=0.00024,
        limit=0.0033,
    ),
]
RECORD = GateRecord(
    settings=Settings(),
    baseline=SideFacts("baseline", "origin/main (1a2b3c4)"),
    candidate=SideFacts("candidate", "working tree"),
    machine={"cpus": 2},
    threads=1,
    started="2026-03-01T12:00:00+00:00",
    seconds=168.2,
    blocks=[*([block("screen", 3, lost=LOST)] * 4), *([block("confirm", 6)] * 12)],
    comparisons=ROWS,
    added=[f"{FILE}::test_new"],
    removed=[f"{FILE}::test_old", f"{FILE}::test_older"],
    canary=0.031,
    control=-0.0004,
    noise=0.004,
    explanations={
        f"{FILE}::test_a[tile]": [
            Difference("Tensor.contiguous", "matmul.py:88", 0, 256, 1e-3),
            Difference("len", "matmul.py:90", 2, 3, 1e-6),
            Difference("abs", "matmul.py:91", 1, 0, 1e-6),
        ],
        f"{FILE}::test_a[loader]": [],
    },
    warnings=["the sides' packages differ: torch 2.12.0 -> 2.13.0"],
    result="2 confirmed regressions",
    exit_code=ExitCode(1),
    flopline="0.1",
)
HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\x07\r\n\t\0\x7f\u202e\u2028\ud800\ufffe|`\\<>&[]()*_#@~$\"'"),
    ),
    max_size=20,
)


def of(rows: list[Comparison], **facts: Any) -> GateRecord:  # noqa: ANN401  # any fact
    """The record of these comparisons alone."""
    return dataclasses.replace(
        RECORD, comparisons=rows, added=[], removed=[], blocks=[], explanations={}, **facts
    )
