from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

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
)
from flopline.gate.storage import dump, load, save
from flopline.records import RecordError
from tests.gate.support.any_record import RECORDS

if TYPE_CHECKING:
    from pathlib import Path

BATCH = Batch(
    calls=100,
    wall=4.1e-3,
    cpu=4e-3,
    process=4e-3,
    voluntary=0,
    involuntary=1,
    timer=3.9e-3,
    children=1.5e-3,
)
BLOCK = Block(
    stage="screen",
    hash_seed=7,
    padding=123,
    cpu=1,
    candidate_first=True,
    randomised=False,
    seconds=4.0,
    steal=0.01,
    load=2.5,
    quads={"bench.py::test_a": [Quad((BATCH, BATCH), (BATCH, BATCH)), Quad((BATCH,), (BATCH,))]},
    wide=["bench.py::test_a"],
    canary=[Quad((BATCH,), (BATCH,))],
    control=[],
    lost={"bench.py::test_b": Loss(None, "call", "failed", "ValueError: b\n")},
)
RECORD = GateRecord(
    settings=Settings(arguments=("-k", "fast")),
    baseline=SideFacts("baseline", "v1.0", "0" * 40, "3.11.7", {"numpy": "2.4.6"}),
    candidate=SideFacts("candidate", "the working tree"),
    machine={"cpus": 2},
    threads=1,
    started="2026-03-01T12:00:00+00:00",
    seconds=61.5,
    blocks=[BLOCK],
    comparisons=[
        Comparison(
            "bench.py::test_a",
            "unchanged",
            change=0.001,
            low=-0.002,
            high=0.003,
            clock="cpu",
            stage="screen",
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
    exit_code=ExitCode.NO_REGRESSION,
    flopline="0.1",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gate.json"


def as_json(record: GateRecord = RECORD) -> dict[str, object]:
    content: dict[str, object] = json.loads(dump(record))
    return content


def changed(**facts: object) -> str:
    """Returns the record's JSON with other facts at its top."""
    return json.dumps(as_json() | facts)


def with_control(**facts: object) -> dict[str, object]:
    """Returns the record's block as JSON, with other facts in the columns of its control."""
    block: dict[str, object] = json.loads(dump(RECORD))["blocks"][0]
    columns = block["control"]
    assert isinstance(columns, dict)
    return block | {"control": columns | facts}


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
    block = dataclasses.replace(BLOCK, control=[Quad((fine,), ())])
    save(dataclasses.replace(RECORD, blocks=[block]), path)
    (quad,) = load(path).blocks[0].control
    assert quad.baseline[0].wall == pytest.approx(fine.wall, rel=0, abs=5.1e-13)
    assert quad.baseline[0].timer is None


def test_numbers_that_are_all_the_same_are_written_once() -> None:
    slow = dataclasses.replace(BATCH, wall=1e-4)
    block = dataclasses.replace(BLOCK, control=[Quad((BATCH, BATCH), (slow, slow))] * 1000)
    record = dataclasses.replace(RECORD, blocks=[block])
    columns = json.loads(dump(record))["blocks"][0]["control"]
    assert columns["quads"] == 1000
    assert columns["candidate"]["calls"] == 100
    assert columns["candidate"]["wall_ns"] == 100_000


def test_a_record_is_plain_json_that_says_its_kind_and_schema() -> None:
    content = json.loads(dump(RECORD))
    assert content["kind"] == "gate"
    assert content["schema_version"] == GateRecord.schema_version
    assert content["blocks"][0]["quads"]["bench.py::test_a"]["baseline"] == {
        "batches": [2, 1],
        "calls": 100,
        "wall_ns": 4_100_000,
        "cpu_ns": 4_000_000,
        "process_ns": 4_000_000,
        "voluntary": 0,
        "involuntary": 1,
        "timer_ns": 3_900_000,
        "children_ns": 1_500_000,
    }
    assert dump(RECORD).endswith("}\n")


def test_a_record_from_before_children_had_a_clock_still_loads(path: Path) -> None:
    content = json.loads(dump(RECORD))
    for block in content["blocks"]:
        del block["spent"]
        for quads in (*block["quads"].values(), block["canary"], block["control"]):
            for side in ("baseline", "candidate"):
                quads[side].pop("children_ns", None)
    path.write_text(json.dumps(content))
    (block,) = load(path).blocks
    assert block.spent == {}
    (quad,) = block.canary
    assert quad.baseline == (dataclasses.replace(BATCH, children=0.0),)


def test_facts_that_a_later_version_added_are_ignored(path: Path) -> None:
    path.write_text(changed(colour="blue"))
    assert load(path) == RECORD


def test_a_record_from_before_there_were_parts_is_one_of_a_whole_run(path: Path) -> None:
    content: Any = as_json()
    del content["suite"], content["parts"], content["settings"]["part"]
    path.write_text(json.dumps(content))
    assert load(path) == RECORD


def test_a_record_of_a_part_that_does_not_exist_is_refused(path: Path) -> None:
    content: Any = as_json()
    content["settings"]["part"] = {"number": 5, "of": 4}
    path.write_text(json.dumps(content))
    with pytest.raises(RecordError, match=r"is not a record of `flopline gate`.*settings\.part"):
        load(path)


@pytest.mark.parametrize("version", [0, 1, 2, "3", None])
def test_another_schema_version_is_refused_by_name(path: Path, version: object) -> None:
    path.write_text(changed(schema_version=version))
    with pytest.raises(RecordError, match=rf"schema version {version!r}; this flopline reads 3"):
        load(path)


def test_a_record_from_before_files_said_their_kind_is_refused_as_old(path: Path) -> None:
    content = as_json() | {"schema_version": 2, "flopline": "0.1.0"}
    del content["kind"]
    path.write_text(json.dumps(content))
    with pytest.raises(
        RecordError,
        match=r"record of schema version 2; this flopline reads 3.*Run the gate again.*0\.1\.0",
    ):
        load(path)


def test_json_of_another_program_is_refused(path: Path) -> None:
    path.write_text('{"benchmarks": [], "version": "5.3.1"}')
    with pytest.raises(RecordError, match="is no record of flopline's"):
        load(path)


def test_a_record_of_another_kind_is_refused_by_name(path: Path) -> None:
    path.write_text(changed(kind="train"))
    with pytest.raises(RecordError, match=r"a record of `flopline train`; here .*`flopline gate`"):
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
    "content", [b"", b"flopline gate\n", b"\xff\xfe\x00", b"{'schema_version': 1}"]
)
def test_what_is_not_json_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
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
        {"blocks": [with_control(quads=2)]},
        {"blocks": [with_control(baseline={})]},
        {"blocks": [with_control(candidate={"batches": 1, "calls": [1, 2]})]},
    ],
)
def test_json_of_another_shape_is_refused(path: Path, facts: dict[str, object]) -> None:
    path.write_text(changed(**facts))
    with pytest.raises(RecordError, match="is not a record of `flopline gate`"):
        load(path)


@pytest.mark.parametrize("code", [-1, 4, 130])
def test_an_unknown_exit_code_is_refused_by_name(path: Path, code: int) -> None:
    path.write_text(changed(exit_code=code))
    with pytest.raises(RecordError, match=r"expected ExitCode @ \$\.exit_code"):
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
