"""Strategies of hypothesis for every record that a gate run could save."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from flopline.gate.record import (
    Batch,
    Block,
    BlockValue,
    Clock,
    Comparison,
    Difference,
    ExitCode,
    GateRecord,
    Loss,
    Outcome,
    Part,
    PartFacts,
    Phase,
    Quad,
    Settings,
    SideFacts,
    SideName,
    Stage,
    Verdict,
)
from flopline.gate.rules import Rule

FINITE = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.none() | FINITE
COUNTS = st.integers(0, 2**63)
# Lone surrogates are included, because names of files that are not UTF-8 have them.
TEXTS = st.text(st.characters(), max_size=9)
NANOSECONDS = st.integers(0, 2**50)
READINGS = NANOSECONDS.map(lambda nanoseconds: nanoseconds / 1e9)
"""Seconds as clocks give them."""
BATCHES = st.builds(
    Batch,
    calls=COUNTS,
    wall=READINGS,
    cpu=READINGS,
    process=READINGS,
    voluntary=COUNTS,
    involuntary=COUNTS,
    timer=st.none() | READINGS,
    children=READINGS,
)
SIDES = st.lists(BATCHES, min_size=1, max_size=2).map(tuple)
QUADS = st.lists(st.builds(Quad, baseline=SIDES, candidate=SIDES), max_size=2)
LOSSES = st.builds(
    Loss,
    side=st.sampled_from([None, *get_args(SideName)]),
    phase=st.sampled_from(get_args(Phase)),
    outcome=st.sampled_from(get_args(Outcome)),
    text=st.text(max_size=30),
)
BLOCKS = st.builds(
    Block,
    stage=st.sampled_from(get_args(Stage)),
    hash_seed=COUNTS,
    padding=COUNTS,
    cpu=COUNTS,
    candidate_first=st.booleans(),
    randomised=st.booleans(),
    seconds=FINITE,
    steal=FINITE,
    load=FINITE,
    quads=st.dictionaries(TEXTS, QUADS, max_size=2),
    wide=st.lists(TEXTS, max_size=2),
    canary=QUADS,
    control=QUADS,
    lost=st.dictionaries(TEXTS, LOSSES, max_size=2),
)
COMPARISONS = st.builds(
    Comparison,
    id=TEXTS,
    verdict=st.sampled_from(get_args(Verdict)),
    change=MAYBE,
    low=MAYBE,
    high=MAYBE,
    detectable=MAYBE,
    detectable_probability=MAYBE,
    seconds=MAYBE,
    sigma=MAYBE,
    clock=st.sampled_from([None, *get_args(Clock)]),
    stage=st.sampled_from([None, *get_args(Stage)]),
    blocks=COUNTS,
    beyond=COUNTS,
    p=MAYBE,
    limit=MAYBE,
    note=TEXTS,
    planned=COUNTS,
    accepted=TEXTS,
    report_only=st.booleans(),
)
DIFFERENCES = st.builds(
    Difference,
    function=TEXTS,
    where=TEXTS,
    baseline=COUNTS,
    candidate=COUNTS,
    seconds=st.floats(0, 9),
)
VERSIONS = st.builds(
    SideFacts,
    name=st.sampled_from(get_args(SideName)),
    version=TEXTS,
    commit=TEXTS,
    python=TEXTS,
    packages=st.dictionaries(TEXTS, TEXTS, max_size=2),
)
PARTS = st.integers(1, 9).flatmap(lambda of: st.builds(Part, st.integers(1, of), st.just(of)))
RULES = st.builds(
    Rule,
    pattern=TEXTS,
    detect=MAYBE,
    ignore=st.none() | st.booleans(),
    report_only=st.none() | st.booleans(),
)
SETTINGS = st.builds(
    Settings,
    detect=FINITE,
    alpha=FINITE,
    budget=FINITE,
    arguments=st.lists(TEXTS, max_size=2).map(tuple),
    suite_from=st.sampled_from(["candidate", "baseline", "each"]),
    alternate=st.booleans(),
    part=PARTS,
    rules=st.lists(RULES, max_size=2).map(tuple),
    report_only=st.booleans(),
    inconclusive=st.sampled_from(["fail", "pass"]),
)
BLOCK_VALUES = st.builds(BlockValue, stage=st.sampled_from(get_args(Stage)), value=FINITE)
FACTS = st.none() | st.booleans() | COUNTS | FINITE | TEXTS | st.lists(TEXTS)
PARTS_JOINED = st.builds(
    PartFacts,
    part=PARTS,
    machine=st.dictionaries(TEXTS, FACTS, max_size=2),
    started=TEXTS,
    seconds=FINITE,
    result=TEXTS,
    exit_code=st.sampled_from(ExitCode),
)
RECORDS = st.builds(
    GateRecord,
    settings=SETTINGS,
    baseline=VERSIONS,
    candidate=VERSIONS,
    machine=st.dictionaries(TEXTS, FACTS, max_size=2),
    threads=COUNTS,
    started=TEXTS,
    seconds=FINITE,
    blocks=st.lists(BLOCKS, max_size=2),
    comparisons=st.lists(COMPARISONS, max_size=2),
    added=st.lists(TEXTS, max_size=2),
    removed=st.lists(TEXTS, max_size=2),
    canary=MAYBE,
    control=MAYBE,
    noise=MAYBE,
    explanations=st.dictionaries(TEXTS, st.lists(DIFFERENCES, max_size=2), max_size=2),
    warnings=st.lists(TEXTS, max_size=2),
    result=TEXTS,
    exit_code=st.sampled_from(ExitCode),
    flopline=TEXTS,
    suite=st.lists(TEXTS, max_size=2),
    parts=st.lists(PARTS_JOINED, max_size=2),
    values=st.dictionaries(TEXTS, st.lists(BLOCK_VALUES, max_size=2), max_size=2),
    ignored=st.lists(TEXTS, max_size=2),
    judged=st.none() | st.sampled_from(ExitCode),
)
