"""What flopline adds to pytest: fixtures that prepare cases, `measure`, and a summary.

pytest imports this module in every run of everyone who has flopline installed. Therefore it imports
nothing heavy, adds nothing to a run that does not measure, and loads torch only inside the
fixtures.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from flopline import FloplineError, timing, units
from flopline.registry import LeftOut, NameTakenError
from flopline.workload import (
    Case,
    RefusedError,
    RememberedAnswerError,
    contained,
    declared,
    is_remembered,
    plain,
    verify,
    verify_again,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import torch
    from pytest_benchmark.fixture import BenchmarkFixture

    from flopline.bench import Row
    from flopline.data import Table
    from flopline.state import State
    from flopline.workload import Plain, Workload

DTYPES = ("float32", "float64", "bfloat16", "tf32")
"""The dtypes of operands; tf32 is float32 whose products may round their factors to TF32."""


@dataclass(frozen=True)
class Setting:
    """How this run measures.

    Attributes:
        device: `cpu` or a CUDA device.
        threads: Threads of torch and of the BLAS libraries.
        dtype: The dtype of the operands.
        tf32: True if float32 products may round their factors to TF32.
    """

    device: str
    threads: int
    dtype: torch.dtype
    tf32: bool


@dataclass
class Session:
    """What this run of pytest has measured so far.

    Attributes:
        rows: The cases that were timed.
        refused: Messages about the workloads that were refused.
        conditions: Under which conditions cases were measured, by name.
        timed: Seconds inside timed batches.
        wall: Seconds inside `measure`.
        disturber: The case that has left something running; empty if there is none.
    """

    rows: list[Row] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    conditions: dict[str, Plain] = field(default_factory=dict)
    timed: float = 0.0
    wall: float = 0.0
    disturber: str = ""


SESSION = pytest.StashKey[Session]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options of the fixtures."""
    group = parser.getgroup("flopline", "flopline: verified workloads with GFLOPS")
    group.addoption(
        "--flopline-device",
        default="cpu",
        metavar="DEVICE",
        help="where workloads run: cpu, cuda or cuda:N (default: cpu)",
    )
    group.addoption(
        "--flopline-threads",
        default=1,
        type=int,
        metavar="N",
        help="how many threads torch and BLAS may use (default: 1)",
    )
    group.addoption(
        "--flopline-dtype",
        default="float32",
        choices=DTYPES,
        help="the dtype of the operands (default: float32)",
    )
    group.addoption(
        "--flopline-scale",
        default="quick",
        choices=("quick", "full", "gate"),
        help="which of flopline's own cases are measured (default: quick)",
    )
    group.addoption(
        "--flopline-data",
        metavar="PATH",
        help="the file of the airfoil table, or the word surrogate",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuses settings that this machine cannot measure, before any test runs."""
    config.stash[SESSION] = Session()
    device = config.getoption("flopline_device")
    threads = config.getoption("flopline_threads")
    processors = os.cpu_count() or 1
    if not 1 <= threads <= processors:
        raise pytest.UsageError(
            f"--flopline-threads is {threads}; allowed is 1 or more, and at most {processors}, "
            "the processors of this machine"
        )
    if device != "cpu":
        _check_cuda(device)
    if config.getoption("flopline_dtype") == "tf32" and device == "cpu":
        raise pytest.UsageError(
            "--flopline-dtype tf32 exists on CUDA devices only; add --flopline-device cuda"
        )
    if config.getoption("flopline_data"):
        _check_data(config)


def _check_data(config: pytest.Config) -> None:
    """Raises a usage error unless the table can be had."""
    from flopline import data

    try:
        data.resolve(config.getoption("flopline_data"))
    except (FloplineError, OSError) as error:
        raise pytest.UsageError(str(error)) from None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuses a table that cannot be had, before any test runs, if a test needs one."""
    if session.config.option.collectonly:
        return
    if any("flopline_table" in getattr(item, "fixturenames", ()) for item in session.items):
        _check_data(session.config)


def _check_cuda(device: str) -> None:
    """Raises a usage error unless the device is a CUDA device of this machine."""
    import torch

    kind, colon, index = device.partition(":")
    if kind != "cuda" or (colon and not index.isdecimal()):
        raise pytest.UsageError(
            f"--flopline-device is {device!r}; allowed are cpu, cuda and cuda:N"
        )
    if not torch.cuda.is_available():
        raise pytest.UsageError(
            f"--flopline-device {device}: torch {torch.__version__} finds no CUDA device here; "
            "use cpu"
        )
    count = torch.cuda.device_count()
    if colon and int(index) >= count:
        raise pytest.UsageError(
            f"--flopline-device {device}: there are {count} CUDA devices here, counted from 0"
        )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives pytest-benchmark a clock that synchronises, if workloads run on a CUDA device."""
    device = config.getoption("flopline_device")
    if device == "cpu":
        return
    for item in items:
        if "measure" in getattr(item, "fixturenames", ()):
            options = {"timer": timing.host_clock(device), **_marked(item)}
            item.add_marker(pytest.mark.benchmark(**options), append=False)


def _marked(item: pytest.Item) -> Mapping[str, Any]:
    """Returns the options in the `benchmark` marker of a test."""
    marker = item.get_closest_marker("benchmark")
    return marker.kwargs if marker else {}


@pytest.fixture(scope="session")
def flopline_setting(pytestconfig: pytest.Config) -> Iterator[Setting]:
    """How this run measures; threads and precision stay as it says until the session ends."""
    import torch

    name = pytestconfig.getoption("flopline_dtype")
    tf32 = name == "tf32"
    setting = Setting(
        device=pytestconfig.getoption("flopline_device"),
        threads=pytestconfig.getoption("flopline_threads"),
        dtype=torch.float32 if tf32 else getattr(torch, name),
        tf32=tf32,
    )
    with _applied(setting):
        yield setting


@contextmanager
def _applied(setting: Setting) -> Iterator[None]:
    """Sets threads and precision, and restores at the end what was there before."""
    import torch

    from flopline import machine

    products = torch.backends.cuda.matmul
    precision = None
    if setting.device != "cpu":
        precision = products.fp32_precision
        products.fp32_precision = "tf32" if setting.tf32 else "ieee"
    try:
        with machine.pinned(setting.threads):
            yield
    finally:
        if precision is not None:
            products.fp32_precision = precision


@pytest.fixture(scope="session")
def flopline_table(pytestconfig: pytest.Config) -> Table:
    """The training set: that of `--flopline-data`, otherwise what `flopline.data.resolve` gives."""
    from flopline import data

    return data.resolve(pytestconfig.getoption("flopline_data"))


@pytest.fixture
def product(request: pytest.FixtureRequest, flopline_setting: Setting) -> Workload:
    """A matrix product, prepared.

    Parametrise it indirectly with names such as `matmul/strategy=column/n=256`.
    """
    from flopline import matmul

    setting = flopline_setting
    case = _case(request)
    with _loading(request, case):
        matmul.products[case.strategy]
    return matmul.prepare(case, dtype=setting.dtype, device=setting.device, tf32=setting.tf32)


@pytest.fixture
def epoch(
    request: pytest.FixtureRequest, flopline_setting: Setting, flopline_table: Table
) -> Workload:
    """An epoch of SGD, prepared.

    Parametrise it indirectly with names such as `sgd/strategy=manual/batch=10`.
    """
    from flopline import sgd

    setting = flopline_setting
    case = _case(request)
    if setting.dtype not in sgd.TOLERANCE or setting.tf32:
        dtype = request.config.getoption("flopline_dtype")
        pytest.skip(f"epochs of SGD are measured in float32 and float64, not in {dtype}")
    with _loading(request, case):
        sgd.epochs[case.strategy]
    return sgd.prepare(case, flopline_table, dtype=setting.dtype, device=setting.device)


@contextmanager
def _loading(request: pytest.FixtureRequest, case: Case) -> Iterator[None]:
    """Loads a strategy, whose module may do anything; what it does to the process is undone."""
    from flopline import state

    with _noting(request), state.kept(), contained(f"{case.name}: its module"):
        yield


@contextmanager
def _noting(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keeps for the summary what flopline refuses in the block, and ends a forked process.

    A strategy that forks and returns has made a second process, which must not go on measuring.
    """
    process = os.getpid()
    try:
        yield
    except FloplineError as error:
        request.config.stash[SESSION].refused.append(str(error))
        raise
    finally:
        if os.getpid() != process:
            os._exit(1)


def _case(request: pytest.FixtureRequest) -> Case:
    """Returns the case with which a fixture is parametrised."""
    if not hasattr(request, "param"):
        raise pytest.UsageError(
            f"the fixture {request.fixturename!r} needs a case: "
            f"@pytest.mark.parametrize({request.fixturename!r}, "
            '["family/strategy=NAME/axis=NUMBER"], indirect=True)'
        )
    if isinstance(request.param, LeftOut):
        with _noting(request):
            raise NameTakenError(request.param.reason)
    return Case.parse(request.param)


@pytest.fixture
def measure(
    benchmark: BenchmarkFixture, request: pytest.FixtureRequest, flopline_setting: Setting
) -> Callable[[Workload], None]:
    """A function that takes a `Workload`, verifies it, times it and keeps the numbers.

    It times with `benchmark` and fills `extra_info`. Batches are `timing.BATCH_SECONDS` long.
    `max_time` and `min_rounds` of pytest-benchmark, from the command line or the marker, decide how
    many there are. A workload is verified before it is timed and again afterwards; of one that is
    refused, nothing is kept.
    """
    session = request.config.stash[SESSION]

    def measured(workload: Workload) -> None:
        started = time.perf_counter()
        kept = len(session.rows)
        try:
            with _noting(request), contained(f"{workload.case.name}: the strategy"):
                _measure_alone(workload, benchmark, request, flopline_setting)
        except BaseException:
            del session.rows[kept:]
            _forget(benchmark, request)
            raise
        session.wall += time.perf_counter() - started

    return measured


def _forget(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> None:
    """Takes what was timed of a benchmark out of pytest-benchmark's record and table."""
    benchmark.has_error = True
    timed = getattr(getattr(request.config, "_benchmarksession", None), "benchmarks", [])
    if benchmark.stats in timed:
        timed.remove(benchmark.stats)


def _measure_alone(
    workload: Workload,
    benchmark: BenchmarkFixture,
    request: pytest.FixtureRequest,
    setting: Setting,
) -> None:
    """Measures a workload in the stated state, and refuses it if it leaves another one behind.

    Raises:
        RefusedError: The workload changed the state, goes on computing after it has returned, or
            one before it does.
    """
    from flopline import machine, state

    session = request.config.stash[SESSION]
    name = workload.case.name
    if session.disturber and state.is_busy():
        raise RefusedError(f"{name}: not measured, because {session.disturber} is still computing")
    session.disturber = ""
    machine.set_threads(setting.threads)
    with state.kept() as before:
        _measure(workload, benchmark, request, before)
        _refuse_changes(name, before)
        if state.count_threads() > before.threads and state.is_busy():
            session.disturber = name
            raise RefusedError(
                f"{name}: the strategy goes on computing after it has returned. What was timed is "
                "not kept; let it end what it starts, then measure it again."
            )


def _refuse_changes(name: str, before: State) -> None:
    """Refuses a workload that has changed the state of the process."""
    from flopline import state

    changes = state.differences(before)
    if changes:
        raise RefusedError(
            f"{name}: the strategy changed {', '.join(changes)}. Its times are not kept; "
            "let it leave the process as it was, then measure it again."
        )


def _measure(
    workload: Workload, benchmark: BenchmarkFixture, request: pytest.FixtureRequest, before: State
) -> None:
    """Verifies and times a workload; the numbers go to the session and to `extra_info`."""
    from flopline import machine

    setting: Setting = request.getfixturevalue("flopline_setting")
    session = request.config.stash[SESSION]
    clock = timing.host_clock(setting.device)
    workload = declared(workload)

    # What a strategy does only once, such as imports and filling caches, happens here, on the
    # smallest data.
    if workload.tiny is not None:
        workload.tiny.run()

    # The verifying run also warms up, and shows how long a run is. It is never part of the result.
    first = 0.0

    def timed_run() -> None:
        nonlocal first
        first = timing.batch(workload.run, 1, clock)

    accuracy = verify(replace(workload, run=timed_run))
    _refuse_changes(workload.case.name, before)
    machine.set_threads(setting.threads)  # libraries that were loaded on the way have their own
    conditions = _conditions(workload, setting)
    session.conditions |= conditions
    benchmark.extra_info |= conditions | {
        "case": workload.case.name,
        "flops": workload.flops,
        "bytes": workload.bytes,
        "calls": workload.calls,
        "error": plain(accuracy.error, f"{workload.case.name}: the error"),
        "error_bound": plain(accuracy.bound, f"{workload.case.name}: the bound"),
    }
    if benchmark.disabled:
        verify_again(workload)
        return

    iterations = timing.size_batch(workload.run, clock, first=first)
    rounds = _rounds(request, first)
    benchmark.pedantic(workload.run, rounds=rounds, iterations=iterations)
    verify_again(workload)
    _refuse_memory(workload, clock)
    if benchmark.stats is None or request.config.pluginmanager.hasplugin("flopline-lockstep"):
        return  # the plugin of a gate's worker does the timing, and keeps its own record

    seconds: list[float] = benchmark.stats.stats.data
    session.timed += math.fsum(seconds) * iterations
    row = _row(workload, seconds, clock)
    session.rows.append(row)
    benchmark.extra_info |= {"seconds": row.seconds, "gflops": row.gflops}
    if row.overhead is not None:
        benchmark.extra_info["overhead"] = row.overhead


PAIRS = 10
"""How often a run on changed operands must be slow before its strategy is refused."""


def _refuse_memory(workload: Workload, clock: timing.Clock) -> None:
    """Refuses a workload whose runs are fast only on operands that they have seen before.

    The fastest of up to `PAIRS` runs on operands that have just changed is compared with the
    fastest of as many that follow them. One pair is enough where there is nothing to see.

    Raises:
        RememberedAnswerError: The runs on changed operands are slower by far.
    """
    if workload.change is None:
        return
    fresh = same = math.inf
    for _ in range(PAIRS):
        workload.change()
        if workload.tiny is not None:
            workload.tiny.run()  # so that the code is warm, and only the operands are new
        fresh = min(fresh, timing.batch(workload.run, 1, clock))
        same = min(same, timing.batch(workload.run, 1, clock))
        if not is_remembered(fresh, same):
            return
    raise RememberedAnswerError(
        f"{workload.case.name}: a run on operands that have just changed takes "
        f"{units.duration(fresh)}, the next one {units.duration(same)}; the strategy keeps its "
        "answers. What was timed is not kept; let it compute in every run, then measure it again."
    )


def _conditions(workload: Workload, setting: Setting) -> dict[str, Plain]:
    """Returns under which conditions a workload is measured, by name."""
    from flopline import machine

    facts = machine.describe()
    return {
        "device": setting.device,
        "threads": setting.threads,
        "clock": "host",
        "torch": str(facts["torch"]),
        "blas": str(facts["blas"]),
        **workload.facts,
    }


def _rounds(request: pytest.FixtureRequest, first: float) -> int:
    """Returns how many batches there will be.

    Args:
        request: The test's, with the options of the run and of its marker.
        first: Seconds of the first run.
    """
    marked = _marked(request.node)
    max_time = float(marked.get("max_time", request.config.getoption("benchmark_max_time")))
    min_rounds: int = marked.get("min_rounds", request.config.getoption("benchmark_min_rounds"))
    return max(min_rounds, round(max_time / max(first, timing.BATCH_SECONDS)))


def _row(workload: Workload, seconds: list[float], clock: timing.Clock) -> Row:
    """Returns what a workload took, from the seconds per run of its batches."""
    from flopline.bench import Row

    low = median = high = statistics.median(seconds)
    if len(seconds) > 1:
        low, _, high = statistics.quantiles(seconds, n=4)
    return Row(
        case=workload.case.name,
        seconds=median,
        low=low,
        high=high,
        flops=workload.flops,
        bytes=workload.bytes,
        calls=workload.calls,
        overhead=_overhead(workload, clock, median),
        data=str(workload.facts.get("data", "")),
    )


def _overhead(workload: Workload, clock: timing.Clock, seconds: float) -> float | None:
    """Returns the share of a run's time that its calls cost beside their arithmetic.

    It is the number of calls times the seconds per call on the smallest data, over the seconds of
    a run. Both are measured, so noise can bring the ratio above 1; 1 is then returned.
    """
    tiny = workload.tiny
    if tiny is None or not tiny.calls:
        return None
    verify(tiny)
    per_call = timing.best(tiny.run, clock, batches=3) / tiny.calls
    return min(1.0, workload.calls * per_call / seconds)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, object]
) -> None:
    """Adds the machine's description to pytest-benchmark's record, in runs that measured."""
    if config.stash[SESSION].conditions:
        from flopline import machine

        machine_info["flopline"] = machine.describe()


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, object]) -> None:
    """Marks pytest-benchmark's record as one that `flopline report` can read, if the run measured.

    The record of a run that did not measure stays as it is.
    """
    if config.stash[SESSION].conditions:
        from flopline import bench

        output_json["flopline"] = bench.head(config.getoption("flopline_threads"))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Prints a table per family, what was refused, and under which conditions was measured."""
    session = config.stash[SESSION]
    if not session.conditions and not session.refused:
        return
    from flopline import bench, sheet

    terminalreporter.section("flopline")
    width = terminalreporter._tw.fullwidth  # noqa: SLF001  # pytest has no public name for it
    for table in bench.sheets(session.rows):
        terminalreporter.write(sheet.to_text(table, width) + "\n")
    for message in session.refused:
        terminalreporter.write_line(f"refused: {message}", red=True)
    conditions = ", ".join(f"{key} {value}" for key, value in session.conditions.items())
    terminalreporter.write_line(f"measured with {conditions}")
    if session.wall:
        share = session.timed / session.wall
        terminalreporter.write_line(
            f"timed batches took {session.timed:.1f} s, {share:.0%} of measuring"
        )
