"""Strategies by name: built into flopline, or provided by other installed distributions."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from flopline import FloplineError

Function = TypeVar("Function", bound=Callable[..., object])


class DuplicateStrategyError(FloplineError, ValueError):
    """Two functions of one name are registered in one family."""


class NotAFunctionError(FloplineError, TypeError):
    """An entry point names something that cannot be called."""


class UnknownStrategyError(FloplineError, KeyError):
    """No strategy of that name is built in or installed."""

    def __str__(self) -> str:
        """Returns the message without the quotes that `KeyError` adds."""
        return str(self.args[0])


class Registry(Mapping[str, Function], Generic[Function]):
    """The strategies of one family by name: built-in functions, then installed entry points.

    Entry points are looked up when a name is needed that is not built in, and loaded only when
    they are used. A built-in strategy wins over an installed one of the same name, with a warning.

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
            NotAFunctionError: The entry point of that name is not callable.
        """
        if name in self._functions:
            return self._functions[name]
        if name in self.installed():
            function: Function = self.installed()[name].load()
            if not callable(function):
                raise NotAFunctionError(
                    f"{self.group}: {name!r} is {function!r}; a strategy is a function"
                )
            self._functions[name] = function
            return function
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
                if name in points:
                    origin = provider(points.pop(name))
                    warnings.warn(
                        f"{self.group}: {name!r} is built in; the one of {origin} is left out",
                        stacklevel=2,
                    )
            self._installed = points
        return self._installed


def installed(group: str) -> dict[str, EntryPoint]:
    """Returns the entry points of a group by name.

    If two distributions provide one name, the first on the import path counts, with a warning.
    """
    points: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        first = points.setdefault(point.name, point)
        if first.value != point.value:
            warnings.warn(
                f"{group}: {point.name!r} is provided by {provider(first)} and by "
                f"{provider(point)}; the first is used",
                stacklevel=2,
            )
    return points


def provider(point: EntryPoint) -> str:
    """Returns the distribution that an entry point belongs to, as `name version`."""
    if point.dist is None:
        return "an unknown distribution"
    return f"{point.dist.name} {point.dist.version}"
