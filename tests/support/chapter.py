"""Made-up records of the chapter, which need no measuring: times and losses follow simple laws."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from flopline import records
from flopline.bench import Bench, Row
from flopline.chapter import prediction, training
from flopline.chapter.ceilings import Ceilings, Level, NarrowProduct
from flopline.chapter.claims.assess import AssessedClaim, ClaimsRecord
from flopline.chapter.claims.evidence import Quantity
from flopline.chapter.claims.measurements import GradientNoise
from flopline.chapter.page import ChapterRecords

if TYPE_CHECKING:
    from pathlib import Path

HEAD: dict[str, Any] = {
    "machine": {
        "cpu": "A processor",
        "cores": 2,
        "usable_cores": 2,
        "caches": {"L1": "32K", "L2": "1024K"},
        "torch": "2.13.0",
    },
    "threads": 1,
    "started": "2026-11-21T00:00:00+00:00",
    "seconds": 1.0,
    "flopline": "1",
}
"""The fields that all records have in common."""

CEILINGS = Ceilings(
    threads=1,
    flops=100e9,
    rows=(NarrowProduct(1, 20e9), NarrowProduct(2, 40e9), NarrowProduct(64, 90e9)),
    columns=(NarrowProduct(1, 10e9), NarrowProduct(2, 5e9), NarrowProduct(64, 80e9)),
    levels=(
        Level("L1", 32 << 10, 200e9),
        Level("L2", 1 << 20, 100e9),
        Level("memory", 1 << 34, 10e9),
    ),
    copy=10e9,
    dispatch=1e-6,
)

SOURCE = "surrogate"
MINIMUM = 0.24


def product(strategy: str, n: int, calls: int, gflops: float, block: int = 0) -> Row:
    """Returns the row of a product that asks for its operands once in each call."""
    case = f"matmul/strategy={strategy}/n={n}"
    if block:
        case += f"/block={block}"
    seconds = 2 * n**3 / gflops / 1e9
    return Row(
        case=case,
        seconds=seconds,
        low=0.9 * seconds,
        high=1.2 * seconds,
        flops=2 * n**3,
        bytes=4 * n * n * calls + 8 * n * n,
        calls=calls,
        overhead=min(1.0, calls * 1e-6 / seconds),
        data="",
    )


def epoch(strategy: str, minibatch: int, seconds: float) -> Row:
    """Returns the row of an epoch over 1500 examples."""
    return Row(
        case=f"sgd/strategy={strategy}/batch={minibatch}",
        seconds=seconds,
        low=0.95 * seconds,
        high=1.1 * seconds,
        flops=36000,
        bytes=48000,
        calls=1500 // minibatch,
        overhead=None,
        data=SOURCE,
    )


def bench_record() -> Bench:
    """Returns a record of the suite with products at two sizes, panels, and epochs."""
    rows = [
        product("element", 256, 65536, 0.12),
        product("row", 256, 256, 18.0),
        product("column", 256, 256, 7.0),
        product("full", 256, 1, 95.0),
        product("full", 1024, 1, 97.5),
    ]
    for block in (8, 64, 256):
        rows.append(product("column_block", 256, 256 // block, 12.0 + block / 4, block))
        rows.append(product("row_block", 256, 256 // block, 20.0 + block / 4, block))
    rows.append(product("column_block", 1024, 16, 80.0, 64))
    for strategy, per_update in (("loader", 3e-4), ("manual", 8e-6), ("added", 1e-4)):
        sizes = (1, 10, 100, 1500)
        rows += [epoch(strategy, size, 1500 / size * per_update + 5e-5) for size in sizes]
    return Bench(rows=tuple(rows), **HEAD)


def experiment_result(name: str, seeds: int) -> training.ExperimentResult:
    """Returns an experiment whose losses fall exponentially with its updates."""
    experiment = training.EXPERIMENTS[name]
    places = training.points_of(experiment, 1500)
    total = places[-1].updates
    runs = []
    for seed in range(seeds):
        seconds = [0.001 * (1 + seed / 10) * place.updates for place in places]
        fallen = [math.exp(-8 * place.updates / total) for place in places]
        losses = [MINIMUM + 0.25 * left + 0.0005 * seed for left in fallen]
        runs.append(
            training.TrainingRun(
                seed=seed,
                epoch_seconds=(seconds[-1] / experiment.epochs,) * experiment.epochs,
                seconds=tuple(seconds),
                losses=tuple(losses),
            )
        )
    return training.ExperimentResult(
        experiment=experiment,
        examples=tuple(place.examples for place in places),
        updates=tuple(place.updates for place in places),
        runs=tuple(runs),
        diverged="diverges: its rate is too high" if name == "gd" else "",
    )


def training_record(seeds: int = 3) -> training.TrainingRecord:
    """Returns a record of the chapter's five experiments and one of its exercises."""
    names = ("gd", "sgd", "batch100", "batch10", "concise", "decayed")
    return training.TrainingRecord(
        loss=training.ExactLoss(
            source=SOURCE,
            detail="made up",
            examples=1500,
            at_zero=0.49,
            minimum=MINIMUM,
            curvature=2.0,
            stability_limit=1.0,
        ),
        experiments=tuple(experiment_result(name, seeds) for name in names),
        **HEAD,
    )


def claims_record() -> ClaimsRecord:
    """Returns a record of one claim with each answer, and of the noise of the gradient."""
    claims = (
        AssessedClaim(
            id="C1",
            claim="A panel is faster than a column",
            rule="confirmed if a column takes longer",
            answer="confirmed",
            measured=(
                Quantity("column over panel", 6.5, 6.1, 6.92),
                Quantity("panel", 4.1e-4, 4.0e-4, 4.2e-4, "s"),
                Quantity("product", 9.7e10, 9.5e10, 9.9e10, "flop/s"),
                Quantity("copy", 1.234e10, 1.2e10, 1.3e10, "B/s"),
            ),
            note="Measured in turns.",
        ),
        AssessedClaim("C2", "A GPU is faster", "with a GPU", "not testable here", (), "No GPU."),
        AssessedClaim(
            id="C3",
            claim="The data are whitened",
            rule="refuted if two features correlate",
            answer="refuted",
            measured=(Quantity("largest correlation", 0.75, 0.75, 0.75),),
            note="",
        ),
        AssessedClaim(
            id="C4",
            claim="A minibatch of 10 is faster than one of 100",
            rule="confirmed if it takes less time to a loss",
            answer="depends on the machine",
            measured=(Quantity("seconds over seconds", 1.02, 0.9, 1.2),),
            note="",
        ),
    )
    noise = []
    for sampling in ("replacement", "shuffled"):
        for size in (1, 10, 100, 1500):
            population = 1.0 if sampling == "replacement" else (1500 - size) / 1499
            exact = math.sqrt(6.7 / size * population)
            noise.append(
                GradientNoise(
                    size=size,
                    sampling=sampling,
                    measured=1.01 * exact,
                    groups=(exact,),
                    theory=exact,
                    bias=1.0,
                )
            )
    return ClaimsRecord(source=SOURCE, assessed=claims, noise=tuple(noise), **HEAD)


def machine_record() -> prediction.MachineRecord:
    """Returns a record with made-up ceilings and three products, one of them unexplained."""
    cases = (
        prediction.Prediction(
            case="matmul/strategy=row/n=256",
            seconds=2e-3,
            flops=2 * 256**3,
            bytes=67633152,
            calls=256,
            overhead=2e-6,
            level="L2",
            as_narrow=20e9,
            predicted=2.19e-3,
            explained=1.095,
            of_peak=0.168,
            of_roof=0.338,
            overhead_share=0.256,
        ),
        prediction.Prediction(
            case="matmul/strategy=column_block/n=256/block=64",
            seconds=1e-3,
            flops=2 * 256**3,
            bytes=1835008,
            calls=4,
            overhead=1.5e-6,
            level="L2",
            as_narrow=90e9,
            predicted=379e-6,
            explained=0.379,
            of_peak=0.336,
            of_roof=0.336,
            overhead_share=0.006,
        ),
    )
    return prediction.MachineRecord(ceilings=CEILINGS, cases=cases, **HEAD)


def chapter_records() -> ChapterRecords:
    """Returns everything that the page shows."""
    return ChapterRecords(
        bench=bench_record(),
        training=training_record(),
        claims=claims_record(),
        machine=machine_record(),
    )


def save(shown: ChapterRecords, folder: Path) -> dict[str, Path]:
    """Saves the records as the commands do, and returns the file of each by its command."""
    files = {name: folder / f"{name}.json" for name in shown.by_command()}
    for name, record in shown.by_command().items():
        if name != "bench":
            records.save(record, files[name])
    files["bench"].write_text(json.dumps(benchmark_json(shown.bench)))
    return files


def benchmark_json(bench: Bench) -> dict[str, Any]:
    """Returns what `flopline bench --json` saves: pytest-benchmark's record, and ours in it."""
    benchmarks = []
    for row in bench.rows:
        facts = {
            "case": row.case,
            "seconds": row.seconds,
            "flops": row.flops,
            "bytes": row.bytes,
            "calls": row.calls,
            "data": row.data,
        }
        if row.overhead is not None:
            facts["overhead"] = row.overhead
        benchmarks.append({"extra_info": facts, "stats": {"q1": row.low, "q3": row.high}})
    return {
        "benchmarks": benchmarks,
        "machine_info": {"flopline": bench.machine},
        "flopline": {
            "kind": Bench.kind,
            "schema_version": Bench.schema_version,
            "threads": bench.threads,
            "started": bench.started,
            "flopline": bench.flopline,
        },
    }
