"""Counting the calls that one call of a function makes: their sum, or each calling line's.

The sum is counted by the interpreter's own profiler in C, which makes a call of Python or C take
0.2 us longer, so it can be counted for every benchmark. It does not know lines. These are counted
in Python, which takes 1 us and more: with `sys.monitoring` where there is one, since Python 3.12,
and with `sys.setprofile` before.
"""

from __future__ import annotations

import functools
import sys
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from .originals import Original
from .protocol import CallSite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Site = tuple[str, str, int]  # the function that is called, and file and line of the call

STOPPED = "<method 'disable' of '_lsprof.Profiler' objects>"
"""What ends the profile of the interpreter's own profiler, which counts that as well."""
SHORTEST = 2e-8
"""Seconds that a call takes at least beside those that it makes in turn.

The profiler's cost, which is taken off, is not the same for all calls, and can be too much.
"""
TRIALS = 300
"""Calls of nothing that tell what the profiler costs; they take 0.3 ms."""
TOOLS = (3, 4, 5, 0, 2, 1)
"""The tools of `sys.monitoring`, those first for which it knows no use."""
OF_PYTHON = (types.FunctionType, types.MethodType)
WITH_NAMES = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.MethodWrapperType,
)
"""Functions in C whose qualified name begins with that of their type."""


class OpenCall(NamedTuple):
    """A call that has not returned yet.

    Attributes:
        frame: The frame of a Python function, or the frame that called a function in C.
        in_c: Whether the function is one in C.
        site: Where it was called; None for the function that is profiled.
        start: When it was called.
    """

    frame: types.FrameType
    in_c: bool
    site: Site | None
    start: float


class CallCounter:
    """Counts calls and their time by call site.

    Its clock stands still while the profiler works.

    Args:
        own_frame: The frame that calls the profiled function; its own calls are not counted.
        cost: Seconds that the profiler takes for an event beside what is spent here.
    """

    def __init__(self, own_frame: types.FrameType, cost: float = 0.0) -> None:
        self.own_frame = own_frame
        self.cost = cost
        self.stood = 0.0
        self.events = 0
        self.thread = Original.get_ident()
        self.calls: dict[Site | None, int] = {}
        self.seconds: dict[Site | None, float] = {}
        self.depth: dict[Site | None, int] = {}
        self.open_calls: list[OpenCall] = []
        self.inner: list[float] = []  # seconds of the calls that each open call has made

    def open(
        self, frame: types.FrameType, caller: types.FrameType | None, name: str, *, in_c: bool
    ) -> None:
        """Notes that a function is called; the clock goes on at the end."""
        begin = Original.perf_counter()
        site = None
        if caller is not None and caller is not self.own_frame:
            site = (name, caller.f_code.co_filename, caller.f_lineno or 0)
        self.calls[site] = self.calls.get(site, 0) + 1
        self.depth[site] = self.depth.get(site, 0) + 1
        self.events += 1
        self.open_calls.append(OpenCall(frame, in_c, site, begin - self.stood))
        self.inner.append(0.0)
        self.stood += Original.perf_counter() - begin + self.cost

    def close(self, frame: types.FrameType, *, in_c: bool) -> None:
        """Closes the call that returns, and those above it whose return was not seen.

        Only a function that switched profiling off and on again leaves such calls.
        """
        begin = Original.perf_counter()
        now = begin - self.stood
        self.events += 1
        while self.open_calls:
            call = self.open_calls.pop()
            seconds = max(now - call.start, self.inner.pop() + SHORTEST)
            if self.inner:
                self.inner[-1] += seconds
            self.depth[call.site] -= 1
            if self.depth[call.site] == 0:  # in a recursion, the outermost call has all the time
                self.seconds[call.site] = self.seconds.get(call.site, 0.0) + seconds
            if call.frame is frame and call.in_c == in_c:
                break
        self.stood += Original.perf_counter() - begin + self.cost

    def sites(self) -> list[CallSite]:
        """Returns all call sites, sorted by function, file and line."""
        called = [site for site in self.calls if site is not None]
        return [
            CallSite(*site, self.calls[site], self.seconds.get(site, 0.0))
            for site in sorted(called)
        ]

    # With sys.setprofile

    def note(self, frame: types.FrameType, event: str, argument: Any) -> None:
        """Notes that a function is called or returns."""
        in_c = event.startswith("c_")
        caller = frame if in_c else frame.f_back
        if in_c and caller is self.own_frame:  # the call of sys.setprofile that ends the profile
            return
        if event in {"call", "c_call"}:
            name = _name_in_c(argument) if in_c else frame.f_code.co_qualname
            self.open(frame, caller, name, in_c=in_c)
        else:
            self.close(frame, in_c=in_c)

    # With sys.monitoring, which tells of all threads

    def enter_python(self, code: types.CodeType, *_: Any) -> None:
        """Notes that a function in Python is called, or goes on."""
        if Original.get_ident() == self.thread:
            frame = sys._getframe(1)
            self.open(frame, frame.f_back, code.co_qualname, in_c=False)

    def leave_python(self, *_: Any) -> None:
        """Notes that a function in Python returns, gives a value or raises."""
        if Original.get_ident() == self.thread:
            self.close(sys._getframe(1), in_c=False)

    def enter_c(self, _code: types.CodeType, _offset: int, function: Any, _argument: Any) -> None:
        """Notes that something is called that is no function in Python, and runs none either."""
        frame = sys._getframe(1)
        if frame is self.own_frame or Original.get_ident() != self.thread:
            return
        if not _runs_python(function):
            self.open(frame, frame, _name_of(function), in_c=True)

    def leave_c(self, _code: types.CodeType, _offset: int, function: Any, _argument: Any) -> None:
        """Notes that it returns or raises."""
        frame = sys._getframe(1)
        if frame is self.own_frame or Original.get_ident() != self.thread:
            return
        if not _runs_python(function):
            self.close(frame, in_c=True)


def count_calls(function: Callable[[], Any]) -> tuple[list[CallSite], Any]:
    """Calls the function once and counts what it calls, by calling line.

    A generator counts once per value, because each value is a call into its frame. Whatever the
    function raises is raised.

    Returns:
        The call sites, and what the function returned.
    """
    counter = CallCounter(sys._getframe(), cost_of_an_event())
    with _undisturbed():
        stop, tidy_up = _start(counter)
        try:
            result = function()
        finally:
            stop()
            tidy_up()
    return counter.sites(), result


def sum_calls(function: Callable[[], Any]) -> tuple[int, Any]:
    """Calls the function once and counts the calls of functions in Python and C, its own included.

    Since Python 3.12 these are the calls of all threads. Whatever the function raises is raised.

    Returns:
        The number of calls, and what the function returned.
    """
    profiler = Original.Profiler()
    with _undisturbed():
        try:
            profiler.enable(subcalls=False, builtins=True)
        except ValueError:  # since 3.12, where the suite has a profiler of its own running
            sites, result = count_calls(function)
            return 1 + sum(site.calls for site in sites), result
        try:
            result = function()
        finally:
            profiler.disable()
    counted = [entry.callcount for entry in profiler.getstats() if entry.code != STOPPED]
    return sum(counted), result


class Cost:
    """What an event of the profiler costs, beside what `CallCounter` knows of."""

    seconds: float | None = None


def cost_of_an_event() -> float:
    """Returns the seconds that an event costs unseen; it is measured once in a process."""
    if Cost.seconds is None:
        plain = min(_time_of_trials() for _ in range(3))
        seen = []
        for _ in range(3):
            counter = CallCounter(sys._getframe())
            with _undisturbed():
                stop, tidy_up = _start(counter)
                total = _time_of_trials()
                stop()
                tidy_up()
            seen.append((total - counter.stood - plain) / max(1, counter.events))
        Cost.seconds = max(0.0, min(seen))
    return Cost.seconds


def _time_of_trials() -> float:
    begin = Original.perf_counter()
    for _ in range(TRIALS):
        len("")
    return Original.perf_counter() - begin


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Switches off, for a while, what would be counted or would count too.

    Finalisers that the garbage collector calls would count as calls of an arbitrary line.
    """
    before: Any = Original.getprofile()
    collecting = Original.is_collecting()
    Original.disable_collector()
    Original.setprofile(None)
    try:
        yield
    finally:
        if isinstance(before, Original.Profiler):  # the suite's; until 3.11 it is no function
            before.enable()
        else:
            Original.setprofile(before)
        if collecting:
            Original.enable_collector()


def _start(counter: CallCounter) -> tuple[Callable[[], object], Callable[[], object]]:
    """Lets the interpreter tell a counter of calls.

    Returns:
        A function in C that ends it, so that nothing more is counted, and one that tidies up.
    """
    monitoring = Original.monitoring
    free = [] if monitoring is None else [tool for tool in TOOLS if not monitoring.get_tool(tool)]
    if not free:
        Original.setprofile(counter.note)
        return functools.partial(Original.setprofile, None), int
    tool, events = free[0], monitoring.events
    callbacks = {
        events.PY_START: counter.enter_python,
        events.PY_RESUME: counter.enter_python,
        events.PY_THROW: counter.enter_python,
        events.PY_RETURN: counter.leave_python,
        events.PY_YIELD: counter.leave_python,
        events.PY_UNWIND: counter.leave_python,
        events.CALL: counter.enter_c,
        events.C_RETURN: counter.leave_c,
        events.C_RAISE: counter.leave_c,
    }

    def tidy_up() -> None:
        for event in callbacks:
            monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)

    monitoring.use_tool_id(tool, "flopline")
    for event, callback in callbacks.items():
        monitoring.register_callback(tool, event, callback)
    chosen = sum(callbacks)
    stop = functools.partial(monitoring.set_events, tool, 0)
    monitoring.set_events(tool, chosen)
    return stop, tidy_up


def _runs_python(function: Any) -> bool:
    """Returns whether a call of an object is one of a function in Python, which tells itself."""
    kind = type(function)
    if kind in OF_PYTHON:
        return kind is types.FunctionType or isinstance(function.__func__, OF_PYTHON)
    if _has_in_python(kind, "__call__"):
        return True
    if not issubclass(kind, type):
        return False
    return _has_in_python(function, "__init__") or _has_in_python(function, "__new__")


def _has_in_python(kind: type, name: str) -> bool:
    """Returns whether a type has a method that is written in Python."""
    for base in MRO(kind):
        method = DICTIONARY(base).get(name)
        if method is not None:
            return isinstance(method, types.FunctionType | staticmethod)
    return False


MRO: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
DICTIONARY: Callable[[type], Any] = type.__dict__["__dict__"].__get__
QUALNAME: Callable[[type], str] = type.__dict__["__qualname__"].__get__
"""What a type itself says, where its own type could say something else, with code of the suite."""


def _name_of(function: Any) -> str:
    """Returns the name of what is called, without running code of the suite."""
    kind = type(function)
    if kind is types.BuiltinFunctionType:
        return _name_in_c(function)
    if kind in WITH_NAMES:
        return str(function.__qualname__)
    if issubclass(kind, type):
        return QUALNAME(function)
    return QUALNAME(kind)


def _name_in_c(function: Any) -> str:
    """Returns the name of a function in C.

    Of the object that a method is bound to, only the type is looked at, because looking at anything
    else could run code of the suite.
    """
    owner = type(getattr(function, "__self__", None))
    if not issubclass(owner, types.ModuleType | None):
        return str(function.__qualname__)
    if function.__module__ in {None, "builtins"}:
        return str(function.__name__)
    return f"{function.__module__}.{function.__name__}"
