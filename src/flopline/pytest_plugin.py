"""pytest's door: fixtures that prepare cases, and `measure`, which verifies a workload, times it and keeps the record.

pytest imports this module in every run of everyone who has flopline installed. So it imports nothing heavy, adds
nothing to a run that does not measure, and loads torch only inside the fixtures.
"""

from __future__ import annotations

import math
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from flopline import timing
from flopline import workload as strategies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch
    from pytest_benchmark.fixture import BenchmarkFixture

    from flopline.data import Table
    from flopline.workload import Case, Workload

DTYPES = ("float32", "float64", "bfloat16", "tf32")


@dataclass(frozen=True)
class Setting:
    """How this run measures.

    Attributes:
        device: `cpu` or a CUDA device.
        threads: Threads of torch and of the BLAS libraries.
        dtype: Of the operands.
        tf32: Whether float32 products may round their factors to TF32.
    """

    device: str
    threads: int
    dtype: torch.dtype
    tf32: bool


@dataclass
class Record:
    """What a run measured so far; `timed` and `wall` are seconds inside batches and inside `measure`."""

    rows: list[strategies.Measured] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    settings: dict[str, str | int | float] = field(default_factory=dict)
    timed: float = 0.0
    wall: float = 0.0


RECORD = pytest.StashKey[Record]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the fixtures."""
    group = parser.getgroup("flopline", "flopline: verified workloads with GFLOPS")
    group.addoption(
        "--flopline-device", default="cpu", metavar="DEVICE", help="cpu, cuda or cuda:N (cpu)"
    )
    group.addoption(
        "--flopline-threads", default=1, type=int, metavar="N", help="threads of torch and BLAS (1)"
    )
    group.addoption(
        "--flopline-dtype",
        default="float32",
        choices=DTYPES,
        help="dtype of the operands (float32)",
    )
    group.addoption(
        "--flopline-scale",
        default="quick",
        choices=("quick", "full", "gate"),
        help="which cases (quick)",
    )
    group.addoption(
        "--flopline-data", metavar="PATH", help="the airfoil table, or the word surrogate"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuses settings that this machine cannot measure, before any test runs."""
    config.stash[RECORD] = Record()
    device, threads = config.getoption("flopline_device"), config.getoption("flopline_threads")
    if threads < 1:
        raise pytest.UsageError(f"--flopline-threads is {threads}; allowed is 1 or more")
    if device != "cpu":
        _check_cuda(device)
    if config.getoption("flopline_dtype") == "tf32" and device == "cpu":
        raise pytest.UsageError(
            "--flopline-dtype tf32 exists on CUDA devices only; add --flopline-device cuda"
        )


def _check_cuda(device: str) -> None:
    import torch

    kind, _, index = device.partition(":")
    if kind != "cuda" or (index and not index.isdecimal()) or device.endswith(":"):
        raise pytest.UsageError(
            f"--flopline-device is {device!r}; allowed are cpu, cuda and cuda:N"
        )
    if not torch.cuda.is_available():
        raise pytest.UsageError(
            f"--flopline-device {device}: torch {torch.__version__} finds no CUDA device here; use cpu"
        )
    if index and int(index) >= (found := torch.cuda.device_count()):
        raise pytest.UsageError(
            f"--flopline-device {device}: there are {found} CUDA devices here, counted from 0"
        )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives pytest-benchmark a clock that synchronises, where workloads run on a CUDA device."""
    device = config.getoption("flopline_device")
    if device == "cpu":
        return
    for item in items:
        if "measure" in getattr(item, "fixturenames", ()):
            options = {"timer": timing.host_clock(device), **_marked(item)}
            item.add_marker(pytest.mark.benchmark(**options), append=False)


def _marked(item: pytest.Item) -> Mapping[str, Any]:
    marker = item.get_closest_marker("benchmark")
    return marker.kwargs if marker else {}


@pytest.fixture(scope="session")
def flopline_setting(pytestconfig: pytest.Config) -> Iterator[Setting]:
    """How this run measures; threads and precision are as it says until the session ends."""
    import torch

    name = pytestconfig.getoption("flopline_dtype")
    tf32 = name == "tf32"
    dtype = torch.float32 if tf32 else getattr(torch, name)
    device, threads = (
        pytestconfig.getoption("flopline_device"),
        pytestconfig.getoption("flopline_threads"),
    )
    with _pinned(threads, device, tf32=tf32):
        yield Setting(device, threads, dtype, tf32)


@contextmanager
def _pinned(threads: int, device: str, *, tf32: bool) -> Iterator[None]:
    import torch

    from flopline import machine

    products = torch.backends.cuda.matmul
    precision = products.fp32_precision if device != "cpu" else None
    if precision is not None:
        products.fp32_precision = "tf32" if tf32 else "ieee"
    try:
        with machine.pinned(threads):
            yield
    finally:
        if precision is not None:
            products.fp32_precision = precision


@pytest.fixture(scope="session")
def flopline_table(pytestconfig: pytest.Config) -> Table:
    """The training set; `--flopline-data` first, then as `flopline.data.resolve` has it."""
    from flopline import data

    return data.resolve(pytestconfig.getoption("flopline_data"))


@pytest.fixture
def product(request: pytest.FixtureRequest, flopline_setting: Setting) -> Workload:
    """A matrix product, prepared; parametrise it indirectly with names such as `matmul/strategy=column/n=256`."""
    from flopline import matmul

    setting = flopline_setting
    return matmul.prepare(
        _case(request), dtype=setting.dtype, device=setting.device, tf32=setting.tf32
    )


@pytest.fixture
def epoch(
    request: pytest.FixtureRequest, flopline_setting: Setting, flopline_table: Table
) -> Workload:
    """An epoch of SGD, prepared; parametrise it indirectly with names such as `sgd/strategy=manual/batch=10`."""
    from flopline import sgd

    setting = flopline_setting
    if setting.dtype not in sgd.TOLERANCE or setting.tf32:
        dtype = request.config.getoption("flopline_dtype")
        pytest.skip(f"epochs of SGD are measured in float32 and float64, not in {dtype}")
    return sgd.prepare(_case(request), flopline_table, dtype=setting.dtype, device=setting.device)


def _case(request: pytest.FixtureRequest) -> Case:
    if not hasattr(request, "param"):
        raise pytest.UsageError(
            f"the fixture {request.fixturename!r} needs a case: @pytest.mark.parametrize({request.fixturename!r}, "
            '["family/strategy=NAME/axis=NUMBER"], indirect=True)'
        )
    return strategies.Case.parse(request.param)


@pytest.fixture
def measure(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, flopline_setting: Setting
) -> Callable[[Workload], None]:
    """A function that takes a `Workload`, verifies it once, times it with `benchmark`, and fills `extra_info`.

    Batches are `timing.BATCH_SECONDS` long; `max_time` and `min_rounds` of pytest-benchmark, from the command line or
    the marker, say how many there are.
    """

    def measured(workload: Workload) -> None:
        started = time.perf_counter()
        record = request.config.stash[RECORD]
        try:
            _measure(workload, benchmark, request, flopline_setting, record)
        except strategies.WrongAnswerError as error:
            record.refused.append(str(error))
            raise
        record.wall += time.perf_counter() - started

    return measured


def _measure(
    workload: Workload,
    benchmark: BenchmarkFixture,
    request: pytest.FixtureRequest,
    setting: Setting,
    record: Record,
) -> None:
    from flopline import machine

    clock = timing.host_clock(setting.device)
    if workload.least is not None:
        workload.least.run()  # what a strategy pays once (imports, caches) is paid here, on the least data
    first = timing.Timer(clock)

    def probe() -> None:
        with first:
            workload.run()

    # The verifying run also warms up, and tells how long a run is; it is never part of the result.
    accuracy = strategies.verify(replace(workload, run=probe))
    facts = machine.describe()
    settings = {
        "device": setting.device,
        "threads": setting.threads,
        "clock": "host",
        "torch": str(facts["torch"]),
        "blas": str(facts["blas"]),
        **workload.facts,
    }
    record.settings |= settings
    benchmark.extra_info |= settings | {
        "case": workload.case.name,
        "flops": workload.flops,
        "bytes": workload.bytes,
        "calls": workload.calls,
        "error": accuracy.error,
        "error_bound": accuracy.bound,
    }
    if benchmark.disabled:
        return
    iterations, rounds = _plan(workload, first.times[-1], clock, request)
    benchmark.pedantic(workload.run, rounds=rounds, iterations=iterations)
    if benchmark.stats is None or request.config.pluginmanager.hasplugin("flopline-lockstep"):
        return  # another plugin has taken over the timing, and keeps its own record
    data: list[float] = benchmark.stats.stats.data
    record.timed += math.fsum(data) * iterations
    seconds = statistics.median(data)
    overhead = _overhead(workload, clock, seconds)
    benchmark.extra_info |= {"seconds": seconds, "gflops": workload.flops / seconds / 1e9}
    if overhead is not None:
        benchmark.extra_info["overhead"] = overhead
    low, _, high = statistics.quantiles(data, n=4) if len(data) > 1 else (seconds, seconds, seconds)
    spread = (high - low) / seconds
    measured = strategies.Measured(
        workload.case, seconds, spread, workload.flops, workload.calls, overhead
    )
    record.rows.append(measured)


def _plan(
    workload: Workload, first: float, clock: timing.Clock, request: pytest.FixtureRequest
) -> tuple[int, int]:
    """Runs per batch, and batches, from the seconds of the first run."""
    iterations = timing.calibrate(workload.run, clock, first=first)
    marked = _marked(request.node)
    most = float(marked.get("max_time", request.config.getoption("benchmark_max_time")))
    least = marked.get("min_rounds", request.config.getoption("benchmark_min_rounds"))
    return iterations, max(least, round(most / max(first, timing.BATCH_SECONDS)))


def _overhead(workload: Workload, clock: timing.Clock, seconds: float) -> float | None:
    """Share of a run's time that its calls cost beside their arithmetic: calls x time per call on the least data."""
    if workload.least is None:
        return None
    per_call = timing.best(workload.least.run, clock, batches=3) / workload.least.calls
    return min(
        1.0, workload.calls * per_call / seconds
    )  # both are measured: noise can bring the ratio above 1


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, object]
) -> None:
    """Adds the machine's description to pytest-benchmark's record, in runs that measured."""
    if config.stash[RECORD].settings:
        from flopline import machine

        machine_info["flopline"] = machine.describe()


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, object]) -> None:
    """Marks pytest-benchmark's record as one that `flopline report` can read, in runs that measured."""
    if config.stash[RECORD].settings:
        from flopline import bench

        output_json["flopline"] = bench.head(config.getoption("flopline_threads"))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Prints a table per family, what was refused, and what the numbers were measured on."""
    record = config.stash[RECORD]
    if not record.settings and not record.refused:
        return
    from flopline.chapter import sheets as tables

    terminalreporter.section("flopline")
    width = terminalreporter._tw.fullwidth  # noqa: SLF001  # pytest has no public door to the terminal's width
    terminalreporter.write(tables.measured(record.rows, width))
    for message in record.refused:
        terminalreporter.write_line(f"refused: {message}", red=True)
    settings = ", ".join(f"{key} {value}" for key, value in record.settings.items())
    terminalreporter.write_line(f"measured with {settings}")
    if record.wall:
        share = record.timed / record.wall
        terminalreporter.write_line(
            f"timed batches took {record.timed:.1f} s, {share:.0%} of measuring"
        )
