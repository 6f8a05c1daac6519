"""What a child of the gate runs: pytest, with a plugin that lets the coordinator time every benchmark batch by batch.

This file stands alone: it is started by its path, in the environment of either side, and imports nothing of the package
it came with. It speaks JSON lines over two inherited pipes, so that whatever a test prints is of no consequence.

    python -P worker.py READ_FD WRITE_FD PEER_READ_FD PEER_WRITE_FD PYTEST_ARGUMENTS...

Turns are handed over through a pipe between the two workers, not through the coordinator: a batch then starts within
microseconds of the last one's end, so batches can be short, and nothing else runs in between.

docs/gate.md has the table of messages. Of pytest-benchmark two methods are replaced, `BenchmarkFixture._raw` and
`._raw_pedantic`, whose parameters are checked first; fixture, markers, statistics and records stay its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
import math
import os
import platform
import resource
import sys
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ADDR_NO_RANDOMIZE = 0x0040000  # <sys/personality.h>
PATIENCE = 10  # times its timed seconds that a batch may take with its setups
DEAR = 0.05  # seconds of a call that is not repeated only to know its time better
TEXT = 4000  # characters of an error's text that are passed on
RAW = [("self", "function_to_benchmark", "args", "kwargs")]
PEDANTIC = [
    (
        "self",
        "target",
        "args",
        "kwargs",
        "setup",
        "rounds",
        "warmup_rounds",
        "iterations",
    ),  # up to 5.1
    (
        "self",
        "target",
        "args",
        "kwargs",
        "setup",
        "teardown",
        "rounds",
        "warmup_rounds",
        "iterations",
    ),  # from 5.2
]


Message = dict[str, Any]
Site = tuple[str, str, int]  # callee, file and line of the call


class Link:
    """The pipes to the coordinator and to the other worker.

    A message is a JSON object on a line; `epoch` counts the items entered, and is part of every message and token, so
    that none is taken for one of another item.
    """

    def __init__(self, reading: int, writing: int, peer_reading: int, peer_writing: int) -> None:
        for descriptor in (
            reading,
            writing,
            peer_reading,
            peer_writing,
        ):  # or a child of a test would hold them open
            os.set_inheritable(descriptor, False)  # noqa: FBT003  # no keyword there
        self.reading = os.fdopen(reading, "r", encoding="utf-8")
        self.writing = writing
        self.peer_reading, self.peer_writing = peer_reading, peer_writing
        self.epoch = 0

    def hand_over(self, kind: bytes) -> None:
        """Gives the other worker its turn (`.`), or tells it that there will be no more (`!`)."""
        os.write(self.peer_writing, b"%08d%s" % (self.epoch, kind))

    def wait(self) -> bool:
        """Waits for its turn; tells whether there will be more."""
        while True:
            token = os.read(self.peer_reading, 9)
            if not token:
                return False
            if int(token[:8]) == self.epoch:
                return token[8:] == b"."

    def say(self, what: str, **facts: object) -> None:
        """Sends a message."""
        line = json.dumps({"say": what, "epoch": self.epoch, **facts}) + "\n"
        data = line.encode()
        while data:
            data = data[os.write(self.writing, data) :]

    def hear(self) -> Message:
        """The next command of this epoch. When the coordinator is gone, so is the reason to live."""
        while True:
            line = self.reading.readline()
            if not line:
                os._exit(3)
            command: Message = json.loads(line)
            if command.get("epoch", self.epoch) == self.epoch:
                return command


class Meter:
    """Both clocks and the scheduler's counters around a piece of work, summed over pieces."""

    def __init__(self) -> None:
        self.wall = self.cpu = self.process = 0
        self.voluntary = self.involuntary = 0

    def __enter__(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        self.before = (usage.ru_nvcsw, usage.ru_nivcsw, time.process_time_ns())
        self.cpu_before = time.thread_time_ns()
        self.wall_before = time.perf_counter_ns()

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter_ns() - self.wall_before
        self.cpu += time.thread_time_ns() - self.cpu_before
        voluntary, involuntary, process = self.before
        self.process += time.process_time_ns() - process
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        self.voluntary += usage.ru_nvcsw - voluntary
        self.involuntary += usage.ru_nivcsw - involuntary

    def facts(self, calls: int, timer: float | None) -> Message:
        """What a batch of so many calls took, in seconds; `timer` is what the suite's own timer says."""
        return {
            "calls": calls,
            "wall": self.wall / 1e9,
            "cpu": self.cpu / 1e9,
            "process": self.process / 1e9,
            "voluntary": self.voluntary,
            "involuntary": self.involuntary,
            "timer": timer,
        }


def spin(calls: int) -> Message:
    """A batch of the canary: calls of about 2.5 us of interpreter, the same on both sides."""
    meter = Meter()
    with meter:
        for _ in range(calls):
            total = 0
            for i in range(60):
                total += i * i % 7
    return meter.facts(calls, None)


def pin(cpus: list[int]) -> None:
    """Puts every thread of this process on the given CPUs; threads that end meanwhile do not matter."""
    for thread in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(thread.name), cpus)
        except (ProcessLookupError, OSError):
            continue


def calibrate(batch: Callable[[int], Message], seconds: float, most: float) -> tuple[int, int]:
    """How many rounds make a batch of `seconds`, found with at most `most` rounds in all; and how many that took.

    A round whose setup and teardown, which are not timed, take far longer than the rest makes for shorter batches.
    """
    rounds, used, per_round, real = 1, 0, math.inf, math.inf
    while True:
        begin = time.perf_counter()
        wall = batch(rounds)["wall"]
        real = min(real, (time.perf_counter() - begin) / rounds)
        used += rounds
        per_round = min(per_round, wall / rounds)
        wanted = max(1, round(min(seconds / max(per_round, 1e-9), PATIENCE * seconds / real)))
        # The first call is often the slowest: it decides alone only where a second would be dear.
        if used == 1 and real < DEAR and used < most:
            continue
        if rounds >= wanted / 2 or used >= most:
            return wanted, used
        rounds = int(min(wanted, rounds * 100, most - used))


def take_turns(
    link: Link, batch: Callable[[int], Message], rounds: int, mine: list[bool]
) -> list[Message]:
    """Runs a batch at each of its turns; of one that fails the other worker is told before the error goes on."""
    taken = []
    for turn, own in enumerate(mine):
        if not own:
            continue
        if turn and not mine[turn - 1] and not link.wait():
            break
        try:
            taken.append(batch(rounds))
        except BaseException:
            link.hand_over(b"!")
            raise
        if turn + 1 < len(mine) and not mine[turn + 1]:
            link.hand_over(b".")
    return taken


def serve(
    link: Link, batch: Callable[[int], Message], once: Callable[[], Callable[[], object]]
) -> Message:
    """Does what the coordinator says until it says something else; gives that command."""
    while True:
        command = link.hear()
        do = command["do"]
        if do == "turns":
            link.say("times", batches=take_turns(link, batch, command["rounds"], command["mine"]))
        elif do == "calibrate":
            most = math.inf if command["most"] is None else command["most"]
            begin = time.perf_counter()
            rounds, used = calibrate(batch, command["seconds"], most) if most else (1, 0)
            link.say(
                "calibrated", rounds=rounds, used=used, dear=time.perf_counter() - begin > DEAR
            )
        elif do == "collect garbage":
            # Afterwards frozen: or the next time would walk through everything again, 0.2 s with torch.
            gc.collect()
            gc.freeze()
            link.say("garbage collected")
        elif do == "pin":
            pin(command["cpus"])
        elif do == "profile":
            link.say("profile", sites=collect(once())[0])
        else:
            return command


def timed(  # all that the two replaced methods differ in
    link: Link,
    fixture: Any,
    run_round: Callable[[int, Meter], float],
    per_round: int,
    most: int | None,
    once: Callable[[], Callable[[], object]],
) -> None:
    """Lets the coordinator time `run_round`; afterwards pytest-benchmark's own statistics have the batches, too.

    Args:
        link: The pipes.
        fixture: The benchmark fixture.
        run_round: (rounds, meter) -> seconds on the fixture's timer.
        per_round: Calls of the benchmarked function in a round.
        most: Rounds that the author allows; None where there is no limit.
        once: Gives a call of the benchmarked function without arguments, for the profile.
    """
    from pytest_benchmark import fixture as theirs
    from pytest_benchmark.timers import default_timer  # type: ignore[attr-defined]  # it has no __all__

    own_timer = fixture._timer is not default_timer
    pause = getattr(
        theirs, "PauseInstrumentation", contextlib.nullcontext
    )  # up to 5.1 the runner does it
    stats = fixture._make_stats(1)

    def batch(rounds: int) -> Message:
        meter = Meter()
        with pause():
            duration = run_round(rounds, meter)
        calls = rounds * per_round
        stats.update(duration / calls)
        return meter.facts(calls, duration if own_timer else None)

    link.say("ready", most=most, per_round=per_round, gc=not fixture._disable_gc)
    if serve(link, batch, once)["do"] == "abort" and not stats.stats.data:
        batch(1)


def patch(link: Link) -> None:  # as C901
    """Replaces the two methods in which pytest-benchmark times.

    Raises:
        RuntimeError: Their parameters are not those this file was written for.
    """
    from pytest_benchmark.fixture import BenchmarkFixture

    for name, known in (("_raw", RAW), ("_raw_pedantic", PEDANTIC)):
        found = tuple(inspect.signature(getattr(BenchmarkFixture, name)).parameters)
        if found not in known:
            version = importlib.metadata.version("pytest-benchmark")
            raise RuntimeError(
                f"pytest-benchmark {version} is not supported: BenchmarkFixture.{name} has the parameters {found}; "
                "this file was written for the parameters of 4.0 to 5.3"
            )
    original_raw: Any = BenchmarkFixture._raw
    original_pedantic: Any = BenchmarkFixture._raw_pedantic

    def raw(self: Any, function_to_benchmark: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self.enabled:
            return original_raw(self, function_to_benchmark, *args, **kwargs)
        results: list[Any] = []
        run_calls = calls_of(self._make_runner(function_to_benchmark, args, kwargs), results)
        timed(
            link,
            self,
            run_calls,
            1,
            None,
            lambda: functools.partial(function_to_benchmark, *args, **kwargs),
        )
        return results[0]

    def pedantic(  # noqa: PLR0913, PLR0917  # pytest-benchmark's parameters
        self: Any,
        target: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        setup: Callable[[], Any] | None = None,
        teardown: Callable[..., Any] | None = None,
        rounds: int = 1,
        warmup_rounds: int = 0,
        iterations: int = 1,
    ) -> Any:
        valid = all(isinstance(n, int) for n in (iterations, rounds, warmup_rounds))
        if (
            not self.enabled
            or not valid
            or min(iterations, rounds) < 1
            or warmup_rounds < 0
            or (setup and iterations > 1)
        ):
            extra = {} if teardown is None else {"teardown": teardown}
            return original_pedantic(
                self,
                target,
                args=args,
                kwargs=kwargs,
                setup=setup,
                rounds=rounds,
                warmup_rounds=warmup_rounds,
                iterations=iterations,
                **extra,
            )
        given = (args, kwargs or {})

        def arguments() -> Any:
            made = setup() if setup else None
            if made and any(given):
                raise TypeError("Can't use `args` or `kwargs` if `setup` returns the arguments.")
            return made or given

        results: list[Any] = []

        def run_rounds(count: int, meter: Meter) -> float:
            total = 0.0
            for _ in range(count):
                args, kwargs = arguments()
                runner = self._make_runner(target, args, kwargs)
                with meter:
                    done = runner(range(iterations)) if iterations > 1 else runner(None)
                duration, results[:] = _kept(done)
                total += duration
                if teardown is not None:
                    teardown(*args, **kwargs)
            return total

        def once() -> Callable[[], object]:
            args, kwargs = arguments()
            return functools.partial(target, *args, **kwargs)

        # Without a setup the author did not promise that the function may be called more often than this.
        most = None if setup else rounds + warmup_rounds
        if setup or teardown:
            timed(link, self, run_rounds, iterations, most, once)
        else:
            run_calls = calls_of(self._make_runner(target, *given), results)
            timed(link, self, run_calls, 1, (rounds + warmup_rounds) * iterations, once)
        if not results:  # as in the original: a round of several calls does not keep a result
            args, kwargs = arguments()
            results.append(target(*args, **kwargs))
            if teardown is not None:
                teardown(*args, **kwargs)
        return results[0]

    BenchmarkFixture._raw = raw  # type: ignore[method-assign]  # the seam
    BenchmarkFixture._raw_pedantic = pedantic  # type: ignore[method-assign]  # the seam


def calls_of(runner: Callable[..., Any], results: list[Any]) -> Callable[[int, Meter], float]:
    """Batches of plain calls; the last call's result is kept, so that it takes no call of its own."""

    def run_calls(count: int, meter: Meter) -> float:
        with meter:
            total = runner(range(count - 1)) if count > 1 else 0.0
            duration, results[:] = _kept(runner(None))
        return float(total + duration)

    return run_calls


def _kept(done: Any) -> tuple[float, list[Any]]:
    """What a runner of pytest-benchmark gives, a duration or a duration and a result, as a duration and results."""
    return (done[0], [done[1]]) if isinstance(done, tuple) else (done, [])


class Lockstep:
    """The pytest plugin: says what there is and what happens, and waits where the coordinator must decide."""

    __name__ = (
        "flopline-lockstep"  # what pytest registers it under, so that a suite can ask who times it
    )

    def __init__(self, link: Link) -> None:
        self.link = link
        self.home = str(Path.cwd())
        self.errors: list[list[str]] = []
        self.refusal = ""

    def pytest_configure(self, config: Any) -> None:
        """Patches pytest-benchmark; refuses settings under which nothing can be timed, before anything is collected.

        Not earlier: up to version 8, pytest warns of a plugin that was imported before it could rewrite its asserts,
        and suites turn warnings into errors.
        """
        import pytest

        try:
            patch(self.link)
        except (ImportError, RuntimeError) as error:
            self.refusal = str(error)
            pytest.exit(self.refusal, returncode=4)
        for option, active in conflicts(config).items():
            if active:
                self.link.say("conflict", option=option)

    def pytest_collectreport(self, report: Any) -> None:
        """Keeps what could not be collected."""
        if report.failed:
            self.errors.append([report.nodeid, str(report.longrepr)[-TEXT:]])

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        """Says what there is, spins the canary, and keeps what the coordinator chooses, in its order."""
        found = {
            item.nodeid: item for item in items if "benchmark" in getattr(item, "fixturenames", ())
        }
        self.link.say(
            "collected",
            items=[
                [name, os.path.relpath(item.path, self.home), source(item)]
                for name, item in found.items()
            ],
            errors=self.errors,
        )
        command = serve(self.link, spin, lambda: int)
        chosen = [found[name] for name in command["ids"]]
        keep = set(command["ids"])
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in keep])
        items[:] = chosen

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Says that an item begins."""
        self.link.epoch += 1
        self.link.say("enter", id=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Says what did not pass."""
        if report.outcome != "passed":
            self.link.say(
                "report",
                id=report.nodeid,
                when=report.when,
                outcome=report.outcome,
                text=reason(report),
            )

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Says that an item is over."""
        os.chdir(self.home)  # a test that changed the folder does not change it for the next
        self.link.say("finished", id=nodeid)


def source(item: Any) -> str:
    """A hash of the test function's source, to see whether the two sides run the same benchmark."""
    try:
        text = inspect.getsource(item.function)
    except (OSError, TypeError, AttributeError):
        return ""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def reason(report: Any) -> str:
    """The last lines of why a test failed or was skipped."""
    longrepr = report.longrepr
    text = (
        longrepr[-1] if isinstance(longrepr, tuple) else longrepr
    )  # of a skip: file, line, reason
    return str(text)[-TEXT:]


def conflicts(config: Any) -> dict[str, bool]:
    """Settings under which pytest-benchmark does not time."""
    option = config.option
    return {
        "xdist": bool(getattr(option, "numprocesses", None))
        or getattr(option, "dist", "no") != "no",
        "--benchmark-skip": bool(getattr(option, "benchmark_skip", False)),
    }


def fix_layout() -> bool:
    """Switches address-space randomisation off for this process, where that is permitted, by starting it anew.

    Returns:
        Whether randomisation is still on.
    """
    persona = ctypes.CDLL(None, use_errno=True).personality
    persona.argtypes, persona.restype = [ctypes.c_ulong], ctypes.c_int
    current = persona(0xFFFFFFFF)
    if current == -1:
        return True
    if current & ADDR_NO_RANDOMIZE:
        return False
    if persona(current | ADDR_NO_RANDOMIZE) == -1 or not persona(0xFFFFFFFF) & ADDR_NO_RANDOMIZE:
        return True
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # the same program again
    raise AssertionError("unreachable")


def options() -> list[str]:
    """Arguments that keep other plugins from running, repeating, timing out or measuring the timed items."""
    installed = importlib.util.find_spec
    return [
        *(
            "-p",
            "no:cacheprovider",
            "-p",
            "no:randomly",
            "-p",
            "no:random_order",
            "-p",
            "no:codspeed",
        ),
        *("--benchmark-enable", "--continue-on-collection-errors"),
        *(["-n0", "--dist=no"] if installed("xdist") else []),
        *(["--timeout=0"] if installed("pytest_timeout") else []),
        *(["--no-cov"] if installed("pytest_cov") else []),
        *(["--reruns=0"] if installed("pytest_rerunfailures") else []),
    ]


def main(arguments: list[str]) -> int:
    """Says hello and runs pytest; gives its exit status."""
    randomised = fix_layout()
    pipes, arguments = arguments[:4], arguments[4:]
    link = Link(*map(int, pipes))
    sys.argv[:] = ["pytest", *arguments]
    packages = {
        dist.metadata["Name"]: dist.version
        for dist in reversed(list(importlib.metadata.distributions()))
    }
    link.say("hello", python=platform.python_version(), randomised=randomised, packages=packages)
    try:
        import pytest
    except ImportError as error:
        link.say("bye", status=4, text=str(error))
        return 4
    pytest.hookimpl(trylast=True)(Lockstep.pytest_collection_modifyitems)
    lockstep = Lockstep(link)
    status = pytest.main([*options(), *arguments], plugins=[lockstep])
    link.say("bye", status=int(status), text=lockstep.refusal)
    return int(status)


def collect(function: Callable[[], Any]) -> tuple[list[list[Any]], Any]:
    """Calls the function once and counts what it calls: `([[function, file, line, calls, seconds], ...], result)`.

    A generator counts once per value, because each is a call into its frame. Whatever the function raises passes
    through. The garbage collector rests meanwhile: its finalisers would count as calls of whatever line it chose.
    """
    calls: dict[Site | None, int] = {}
    seconds: dict[Site | None, float] = {}
    depth: dict[Site | None, int] = {}
    stack: list[
        tuple[types.FrameType, bool, Site | None, float]
    ] = []  # the bool: a function in C, called by the frame
    here, clock, before, collecting = (
        sys._getframe(),
        time.perf_counter,
        sys.getprofile(),
        gc.isenabled(),
    )

    def note(
        frame: types.FrameType, event: str, arg: Any
    ) -> None:  # whatever is called or returned
        now, in_c = clock(), event.startswith("c_")
        caller = frame if in_c else frame.f_back
        if in_c and caller is here:  # sys.setprofile
            return
        if event in ("call", "c_call"):
            name = _name(arg) if in_c else frame.f_code.co_qualname
            site = (
                (name, caller.f_code.co_filename, caller.f_lineno or 0)
                if caller and caller is not here
                else None
            )
            calls[site] = calls.get(site, 0) + 1
            depth[site] = depth.get(site, 0) + 1
            stack.append((frame, in_c, site, now))
            return
        while stack:  # one turn, unless the function switched profiling off and on again
            owner, was_in_c, site, start = stack.pop()
            depth[site] -= 1
            if not depth[site]:  # the outermost of a recursion holds the time of the inner ones
                seconds[site] = seconds.get(site, 0.0) + now - start
            if owner is frame and was_in_c == in_c:
                break

    gc.disable()
    sys.setprofile(note)
    try:
        result = function()
    finally:
        sys.setprofile(before)
        if collecting:
            gc.enable()
    return [
        [*site, calls[site], seconds.get(site, 0.0)] for site in sorted(filter(None, calls))
    ], result


def _name(function: Any) -> str:  # some kind of function in C
    """The name of a function in C; of the object it is bound to only the type is looked at."""
    if not issubclass(type(getattr(function, "__self__", None)), types.ModuleType | None):
        return str(function.__qualname__)
    module = function.__module__
    return str(
        function.__name__ if module in (None, "builtins") else f"{module}.{function.__name__}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
