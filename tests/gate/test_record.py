from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flopline.gate.record import (
    Batch,
    Block,
    Clock,
    Comparison,
    Difference,
    ExitCode,
    GateRecord,
    Loss,
    Quad,
    Settings,
    SideFacts,
    SideName,
    Stage,
    Verdict,
)
from flopline.gate.storage import dump, load, save
from flopline.records import RecordError, write

FINITE = st.floats(allow_nan=False, allow_infinity=False)
MAYBE = st.none() | FINITE
COUNTS = st.integers(0, 2**63)
TEXTS = st.text(
    st.characters(), max_size=9
)  # lone surrogates too: file names that are not UTF-8 have them
READINGS = st.integers(0, 2**50).map(
    lambda nanoseconds: nanoseconds / 1e9
)  # as the clocks give them
BATCHES = st.builds(
    Batch,
    calls=COUNTS,
    wall=READINGS,
    cpu=READINGS,
    process=READINGS,
    voluntary=COUNTS,
    involuntary=COUNTS,
    timer=st.none() | READINGS,
)
SIDES = st.lists(BATCHES, min_size=1, max_size=2).map(tuple)
QUADS = st.lists(st.builds(Quad, baseline=SIDES, candidate=SIDES), max_size=2)
LOSSES = st.builds(
    Loss,
    side=st.sampled_from([None, *get_args(SideName)]),
    phase=TEXTS,
    outcome=TEXTS,
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
    seconds=MAYBE,
    sigma=MAYBE,
    clock=st.sampled_from([None, *get_args(Clock)]),
    stage=st.sampled_from([None, *get_args(Stage)]),
    blocks=COUNTS,
    beyond=COUNTS,
    p=MAYBE,
    limit=MAYBE,
    note=TEXTS,
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
RECORDS = st.builds(
    GateRecord,
    settings=st.builds(
        Settings,
        detect=FINITE,
        alpha=FINITE,
        budget=FINITE,
        arguments=st.lists(TEXTS, max_size=2).map(tuple),
        suite_from=st.sampled_from(["candidate", "baseline", "each"]),
    ),
    baseline=VERSIONS,
    candidate=VERSIONS,
    machine=st.dictionaries(
        TEXTS, st.none() | st.booleans() | COUNTS | FINITE | TEXTS | st.lists(TEXTS), max_size=2
    ),
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
)
BATCH = Batch(
    calls=100, wall=4.1e-3, cpu=4e-3, process=4e-3, voluntary=0, involuntary=1, timer=3.9e-3
)
RECORD = GateRecord(
    settings=Settings(arguments=("-k", "fast")),
    baseline=SideFacts("baseline", "v1.0", "0" * 40, "3.11.7", {"numpy": "2.4.6"}),
    candidate=SideFacts("candidate", "the working tree"),
    machine={"cpus": 2},
    threads=1,
    started="2026-03-01T12:00:00+00:00",
    seconds=61.5,
    blocks=[
        Block(
            stage="screen",
            hash_seed=7,
            padding=123,
            cpu=1,
            candidate_first=True,
            randomised=False,
            seconds=4.0,
            steal=0.01,
            load=2.5,
            quads={
                "bench.py::test_a": [Quad((BATCH, BATCH), (BATCH, BATCH)), Quad((BATCH,), (BATCH,))]
            },
            wide=["bench.py::test_a"],
            canary=[Quad((BATCH,), (BATCH,))],
            control=[],
            lost={"bench.py::test_b": Loss(None, "call", "failed", "ValueError: b\n")},
        )
    ],
    comparisons=[
        Comparison(
            "bench.py::test_a", "unchanged", 0.001, -0.002, 0.003, clock="cpu", stage="screen"
        )
    ],
    added=["bench.py::test_new"],
    removed=[],
    canary=0.031,
    control=None,
    noise=0.004,
    explanations={"bench.py::test_a": [Difference("len", "a.py:1", 0, 256, 1e-3)]},
    warnings=["it was noisy"],
    result="no regression",
    exit_code=ExitCode(0),
    flopline="0.1",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gate.json"


def changed(**facts: object) -> str:
    """The record's JSON with other facts at its top."""
    return json.dumps({**json.loads(dump(RECORD)), **facts})


def with_quads(**facts: object) -> dict[str, object]:
    """The record's block with other facts in its control's columns."""
    block: dict[str, object] = json.loads(dump(RECORD))["blocks"][0]
    return {**block, "control": {**json.loads(dump(RECORD))["blocks"][0]["control"], **facts}}


def test_a_record_comes_back_as_it_was_saved(path: Path) -> None:
    save(RECORD, path)
    assert load(path) == RECORD


@settings(max_examples=50)
@given(record=RECORDS)
def test_every_record_comes_back_as_it_was_saved(
    record: GateRecord, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("records") / "gate.json"
    save(record, path)
    assert load(path) == record


def test_times_finer_than_a_clock_keep_a_thousandth_of_a_nanosecond(path: Path) -> None:
    fine = dataclasses.replace(BATCH, wall=1.23456789012345e-4, timer=math.nan)
    save(
        dataclasses.replace(
            RECORD, blocks=[dataclasses.replace(RECORD.blocks[0], control=[Quad((fine,), ())])]
        ),
        path,
    )
    (quad,) = load(path).blocks[0].control
    assert quad.baseline[0].wall == pytest.approx(fine.wall, rel=0, abs=5.1e-13)
    assert quad.baseline[0].timer is None


def test_numbers_that_are_all_the_same_are_written_once() -> None:
    quad = Quad((BATCH, BATCH), (dataclasses.replace(BATCH, wall=1e-4),) * 2)
    block = dataclasses.replace(RECORD.blocks[0], control=[quad] * 1000)
    found = json.loads(dump(dataclasses.replace(RECORD, blocks=[block])))["blocks"][0]["control"]
    assert (found["quads"], found["candidate"]["calls"], found["candidate"]["wall_ns"]) == (
        1000,
        100,
        100_000,
    )


def test_a_record_is_plain_json_that_says_its_schema() -> None:
    found = json.loads(dump(RECORD))
    assert found["schema_version"] == GateRecord.schema_version
    assert found["blocks"][0]["quads"]["bench.py::test_a"]["baseline"] == {
        "batches": [2, 1],
        "calls": 100,
        "wall_ns": 4_100_000,
        "cpu_ns": 4_000_000,
        "process_ns": 4_000_000,
        "voluntary": 0,
        "involuntary": 1,
        "timer_ns": 3_900_000,
    }
    assert dump(RECORD).endswith("}\n")


def test_facts_that_a_later_version_added_are_ignored(path: Path) -> None:
    path.write_text(changed(colour="blue"))
    assert load(path) == RECORD


@pytest.mark.parametrize("version", [0, 1, "2", None])
def test_another_schema_version_is_refused_by_name(path: Path, version: object) -> None:
    path.write_text(changed(schema_version=version))
    with pytest.raises(RecordError, match=rf"schema version {version!r}; this flopline reads 2"):
        load(path)


def test_json_of_another_program_is_refused(path: Path) -> None:
    path.write_text('{"benchmarks": [], "version": "5.3.1"}')
    with pytest.raises(RecordError, match="schema version None"):
        load(path)


@pytest.mark.parametrize(
    ("text", "kind"), [("null", "NoneType"), ("[1, 2]", "list"), ("3", "int"), ('"x"', "str")]
)
def test_json_that_is_no_object_is_refused_with_what_it_is(
    path: Path, text: str, kind: str
) -> None:
    path.write_text(text)
    with pytest.raises(
        RecordError, match=rf"gate\.json holds a JSON {kind}, no record; .*`flopline gate --json`"
    ):
        load(path)


@pytest.mark.parametrize("kept", [0, 1, 0.5, -2])
def test_a_truncated_record_is_refused(path: Path, kept: float) -> None:
    whole = dump(RECORD)
    path.write_text(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(RecordError, match=r"gate\.json is not JSON .*flopline gate --json"):
        load(path)


@pytest.mark.parametrize(
    "found", [b"", b"flopline gate\n", b"\xff\xfe\x00", b"{'schema_version': 1}"]
)
def test_what_is_not_json_is_refused(path: Path, found: bytes) -> None:
    path.write_bytes(found)
    with pytest.raises(RecordError, match="is not JSON"):
        load(path)


@pytest.mark.parametrize(
    "facts",
    [
        {"comparisons": 3},
        {"comparisons": [3]},
        {"comparisons": [{"id": "a", "verdict": "maybe"}]},
        {"comparisons": [{"verdict": "unchanged"}]},
        {"exit_code": "bad"},
        {"exit_code": None},
        {"machine": []},
        {"settings": None},
        {"noise": "quiet"},
        {"blocks": [{}]},
        {"blocks": [with_quads(quads=2)]},
        {"blocks": [with_quads(baseline={})]},
        {"blocks": [with_quads(candidate={"batches": 1, "calls": [1, 2]})]},
    ],
)
def test_json_of_another_shape_is_refused(path: Path, facts: dict[str, object]) -> None:
    path.write_text(changed(**facts))
    with pytest.raises(RecordError, match="is not a gate record"):
        load(path)


def test_a_missing_file_is_no_bad_record(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(path)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_saved_record_is_json_whatever_was_measured(value: float) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(dump(dataclasses.replace(RECORD, noise=value)), parse_constant=refuse)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_bare_constants_are_refused(path: Path, constant: str) -> None:
    path.write_text(dump(RECORD).replace('"noise":0.004', f'"noise":{constant}'))
    with pytest.raises(RecordError, match="is not JSON"):
        load(path)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"schema_version": ' + "1" * 5000 + "}"], ids=["deep", "huge"]
)
def test_json_that_python_refuses_to_parse_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(RecordError):
        load(path)


def test_a_refusal_names_what_is_wrong(path: Path) -> None:
    path.write_text(changed(exit_code="bad"))
    with pytest.raises(RecordError, match="exit_code"):
        load(path)


def test_writing_replaces_a_file_and_leaves_no_other(path: Path) -> None:
    path.write_text("before")
    write(path, "after: é\n")
    assert path.read_text(encoding="utf-8") == "after: é\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_written_file_can_be_read_by_others(path: Path) -> None:
    write(path, "")
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_relative_path_is_relative_to_the_current_folder(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    write(Path(path.name), "here")
    assert path.read_text() == "here"


@pytest.mark.parametrize("before", [None, "before"])
def test_a_text_that_cannot_be_written_leaves_everything_as_it_was(
    path: Path, before: str | None
) -> None:
    if before is not None:
        path.write_text(before)
    long_and_bad = "x" * 1_000_000 + "\udc80"
    with pytest.raises(UnicodeEncodeError):
        write(path, long_and_bad)
    assert [file.read_text() for file in path.parent.iterdir()] == (
        [] if before is None else [before]
    )


@pytest.mark.parametrize(
    "interruption", [OSError(28, "No space left on device"), KeyboardInterrupt()]
)
def test_an_interrupted_write_leaves_everything_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    def interrupt(*_: object) -> None:
        raise interruption

    path.write_text("before")
    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(type(interruption)):
        write(path, "after")
    assert [file.read_text() for file in path.parent.iterdir()] == ["before"]


def test_a_folder_that_is_not_there_is_an_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(path / "deeper.json", "x")


def test_a_folder_is_not_replaced_by_a_file(path: Path) -> None:
    path.mkdir()
    with pytest.raises(OSError, match=r"gate\.json"):
        write(path, "x")
    assert list(path.parent.iterdir()) == [path]
