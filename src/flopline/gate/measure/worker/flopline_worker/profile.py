"""Counting the calls that one call of a function makes."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple

from .originals import Original
from .protocol import CallSite

if TYPE_CHECKING:
    from collections.abc import Callable

    Site = tuple[str, str, int]  # the function that is called, and file and line of the call


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
    """Counts calls and their time by call site, as a profile function for `sys.setprofile`.

    Args:
        own_frame: The frame that calls the profiled function; its own calls are not counted.
    """

    def __init__(self, own_frame: types.FrameType) -> None:
        self.own_frame = own_frame
        self.calls: dict[Site | None, int] = {}
        self.seconds: dict[Site | None, float] = {}
        self.depth: dict[Site | None, int] = {}
        self.open_calls: list[OpenCall] = []

    def note(self, frame: types.FrameType, event: str, argument: Any) -> None:
        """Notes that a function is called or returns."""
        now = Original.perf_counter()
        in_c = event.startswith("c_")
        caller = frame if in_c else frame.f_back
        if in_c and caller is self.own_frame:  # the call of sys.setprofile that ends the profile
            return
        if event not in {"call", "c_call"}:
            self.close(frame, now, in_c=in_c)
            return
        site = None
        if caller is not None and caller is not self.own_frame:
            name = _name_in_c(argument) if in_c else frame.f_code.co_qualname
            site = (name, caller.f_code.co_filename, caller.f_lineno or 0)
        self.calls[site] = self.calls.get(site, 0) + 1
        self.depth[site] = self.depth.get(site, 0) + 1
        self.open_calls.append(OpenCall(frame, in_c, site, now))

    def close(self, frame: types.FrameType, now: float, *, in_c: bool) -> None:
        """Closes the call that returns, and those above it whose return was not seen.

        Only a function that switched profiling off and on again leaves such calls.
        """
        while self.open_calls:
            call = self.open_calls.pop()
            self.depth[call.site] -= 1
            if self.depth[call.site] == 0:  # in a recursion, the outermost call has all the time
                before = self.seconds.get(call.site, 0.0)
                self.seconds[call.site] = before + now - call.start
            if call.frame is frame and call.in_c == in_c:
                return

    def sites(self) -> list[CallSite]:
        """Returns all call sites, sorted by function, file and line."""
        called = [site for site in self.calls if site is not None]
        return [
            CallSite(*site, self.calls[site], self.seconds.get(site, 0.0))
            for site in sorted(called)
        ]


def count_calls(function: Callable[[], Any]) -> tuple[list[CallSite], Any]:
    """Calls the function once and counts what it calls.

    A generator counts once per value, because each value is a call into its frame. The garbage
    collector is off meanwhile, because its finalisers would count as calls of an arbitrary line.
    Whatever the function raises is raised.

    Returns:
        The call sites, and what the function returned.
    """
    counter = CallCounter(sys._getframe())
    before = Original.getprofile()
    collecting = Original.is_collecting()
    Original.disable_collector()
    Original.setprofile(counter.note)
    try:
        result = function()
    finally:
        Original.setprofile(before)
        if collecting:
            Original.enable_collector()
    return counter.sites(), result


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
