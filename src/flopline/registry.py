"""Strategies by name: built into flopline, or provided by other installed distributions."""

from __future__ import annotations

import contextlib
import difflib
import re
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flopline import FloplineError

if TYPE_CHECKING:
    from types import FrameType

Function = TypeVar("Function", bound=Callable[..., object])


class DuplicateStrategyError(FloplineError, ValueError):
    """Two functions of one name are registered in one family."""


class NotAFunctionError(FloplineError, TypeError):
    """An entry point names something that cannot be called."""


class LoadError(FloplineError, ImportError):
    """The module of an installed strategy cannot be imported, or lacks the strategy."""


class NameTakenError(FloplineError, ValueError):
    """A distribution's strategy has a name that another one has, or that no case can have."""


class UnknownStrategyError(FloplineError, KeyError):
    """No strategy of that name is built in or installed."""

    def __str__(self) -> str:
        """Returns the message without the quotes that `KeyError` adds."""
        return str(self.args[0])


class Registry(Mapping[str, Function], Generic[Function]):
    """The strategies of one family by name: built-in functions, then installed entry points.

    Entry points are looked up when a name is needed that is not built in, and loaded only when
    they are used. What `left_out` names is no strategy of the registry.

    Args:
        group: The group of the entry points, for example `flopline.matmul`.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._functions: dict[str, Function] = {}
        self._installed: dict[str, EntryPoint] | None = None

    def register(self, function: Function) -> Function:
        """Registers a function under its own name and returns it; usable as a decorator.

        Raises:
            DuplicateStrategyError: The name is taken.
        """
        name = function.__name__
        if name in self._functions:
            raise DuplicateStrategyError(
                f"{self.group}: a strategy named {name!r} exists already; "
                "choose another function name"
            )
        self._functions[name] = function
        return function

    def __getitem__(self, name: str) -> Function:
        """Returns a strategy; an installed one is loaded at its first use.

        Raises:
            UnknownStrategyError: No strategy has that name.
            NameTakenError: Several distributions provide the name.
            LoadError: The entry point of that name cannot be loaded.
            NotAFunctionError: It is not callable.
        """
        if name in self._functions:
            return self._functions[name]
        if name in self.installed():
            point = self.installed()[name]
            loaded: Any = load(point)
            if not callable(loaded):
                raise NotAFunctionError(
                    f"{self.group}: {name!r} is {loaded!r}; a strategy is a function"
                )
            function: Function = loaded
            self._functions[name] = function
            return function
        self.refuse_left_out(name)
        near = difflib.get_close_matches(name, list(self), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownStrategyError(
            f"{self.group}: no strategy {name!r}.{hint} There are: {', '.join(self)}."
        )

    def __iter__(self) -> Iterator[str]:
        """Iterates over the names: first the built-in ones, then the installed ones."""
        return iter(dict.fromkeys([*self._functions, *self.installed()]))

    def __len__(self) -> int:
        """Returns how many names there are."""
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        """Returns true if a strategy has that name; nothing is loaded."""
        return name in self._functions or name in self.installed()

    def installed(self) -> Mapping[str, EntryPoint]:
        """Returns the entry points that add a strategy, by name; none of them is loaded."""
        if self._installed is None:
            points = installed(self.group)
            for name in self._functions:
                points.pop(name, None)
            self._installed = points
        return self._installed

    def refuse_left_out(self, name: str) -> None:
        """Refuses a name under which a distribution brings a strategy that is left out.

        So nobody measures another function than the one that they installed.

        Raises:
            NameTakenError: There is such a strategy.
        """
        # What has been loaded is a function of the registry, too, but not a built-in one.
        built_in = [known for known in self._functions if known not in self.installed()]
        for strategy in left_out(self.group, built_in):
            if strategy.name == name:
                raise NameTakenError(strategy.reason)


def installed(group: str) -> dict[str, EntryPoint]:
    """Returns the entry points of a group by name, without those that `left_out` names."""
    points = {}
    for name, candidates in _provided(group).items():
        if not _reason(group, name, candidates, built_in=()):
            points[name] = candidates[0]
    return points


@dataclass(frozen=True)
class LeftOut:
    """A strategy of a distribution that cannot be measured, because of its name.

    Attributes:
        name: The name of its entry point.
        origin: Which distributions bring it, as `name version`.
        reason: Why it is left out, as a sentence that names both.
    """

    name: str
    origin: str
    reason: str


def left_out(group: str, built_in: Collection[str]) -> list[LeftOut]:
    """Returns the installed strategies of a group that cannot be measured, with the reasons.

    Args:
        group: The group of the entry points.
        built_in: The names of flopline's own strategies.
    """
    strategies = []
    for name, candidates in _provided(group).items():
        reason = _reason(group, name, candidates, built_in)
        if reason:
            origins = " and ".join(provider(point) for point in candidates)
            strategies.append(LeftOut(name, origins, reason))
    return strategies


def _provided(group: str) -> dict[str, list[EntryPoint]]:
    """Returns the entry points of a group by name, one for each function that has the name."""
    points: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        same_name = points.setdefault(point.name, [])
        if point.value not in [known.value for known in same_name]:
            same_name.append(point)
    return points


NAME = re.compile(r"[\w.+-]+")
"""The names that a strategy can have: they are part of a case's name, and of a test's."""


def _reason(group: str, name: str, candidates: list[EntryPoint], built_in: Collection[str]) -> str:
    """Returns why a strategy is left out; empty if it is not."""
    origins = " and by ".join(provider(point) for point in candidates)
    if not NAME.fullmatch(name):
        return (
            f"{group}: {name!r}, provided by {origins}, cannot be the name of a strategy; "
            "allowed are letters, digits, '_', '-', '+' and '.'; rename the entry point"
        )
    if name in built_in:
        return (
            f"{group}: {name!r} is built in, and the one of {origins} is left out; "
            "rename its entry point"
        )
    if len(candidates) > 1:
        return (
            f"{group}: {name!r} is provided by {origins}, and both are left out; "
            "uninstall one, or rename an entry point"
        )
    return ""


LOAD_SECONDS = 60
"""How long the module of a strategy may take to import."""


def load(point: EntryPoint) -> object:
    """Imports what an entry point names, whatever its module does.

    Raises:
        LoadError: The import fails, asks to end the program, takes longer than `LOAD_SECONDS`, or
            the module has no such attribute.
    """
    what = f"{point.group}: {point.name!r} of {provider(point)} cannot be loaded"
    try:
        with _time_limit(LOAD_SECONDS):
            loaded: object = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise LoadError(f"{what}: {type(error).__name__}: {error}") from error
    return loaded


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raises a TimeoutError in the block after so long; outside of the main thread it does nothing.

    A timer that somebody else has set goes on afterwards with what was left of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"its import takes longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, left, interval)


def provider(point: EntryPoint) -> str:
    """Returns the distribution that an entry point belongs to, as `name version`."""
    if point.dist is None:
        return "an unknown distribution"
    return f"{point.dist.name} {point.dist.version}"
