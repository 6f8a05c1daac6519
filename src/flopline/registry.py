"""Strategies by name: built into flopline, or brought by other installed distributions."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

Function = TypeVar("Function", bound=Callable[..., object])


class UnknownStrategyError(KeyError):
    """No strategy of that name is built in or installed."""

    def __str__(self) -> str:  # KeyError shows its message quoted
        return str(self.args[0])


class Registry(Mapping[str, Function], Generic[Function]):
    """The strategies of one family by name: built-in functions, then entry points of installed distributions.

    Entry points are looked up when first asked for and loaded only when used. A built-in wins over an installed
    strategy of the same name, with a warning.

    Args:
        group: The entry points' group, for example `flopline.matmul`.
    """

    def __init__(self, group: str) -> None:
        self.group = group
        self._functions: dict[str, Function] = {}
        self._installed: dict[str, EntryPoint] | None = None

    def strategy(self, function: Function) -> Function:
        """Registers a function under its own name; a decorator.

        Raises:
            ValueError: The name is taken.
        """
        name = function.__name__
        if name in self._functions:
            raise ValueError(
                f"{self.group}: a strategy named {name!r} exists already; choose another function name"
            )
        self._functions[name] = function
        return function

    def __getitem__(self, name: str) -> Function:
        if name in self._functions:
            return self._functions[name]
        if name in self.installed():
            function: Function = self.installed()[name].load()
            if not callable(function):
                raise TypeError(f"{self.group}: {name!r} is {function!r}; a strategy is a function")
            self._functions[name] = function
            return function
        near = difflib.get_close_matches(name, list(self), n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownStrategyError(
            f"{self.group}: no strategy {name!r}.{hint} There are: {', '.join(self)}."
        )

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._functions, *self.installed()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self._functions or name in self.installed()

    def installed(self) -> Mapping[str, EntryPoint]:
        """The entry points that add a strategy, by name, not loaded."""
        if self._installed is None:
            found = installed(self.group)
            for name in [name for name in found if name in self._functions]:
                warnings.warn(
                    f"{self.group}: {name!r} is built in; the one of {provider(found.pop(name))} is left out",
                    stacklevel=2,
                )
            self._installed = found
        return self._installed


def installed(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name; of two with one name the first on the path counts, with a warning."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if point.name in found and found[point.name].value != point.value:
            warnings.warn(
                f"{group}: {point.name!r} is provided by {provider(found[point.name])} and by {provider(point)}; "
                "the first is used",
                stacklevel=2,
            )
        found.setdefault(point.name, point)
    return found


def provider(point: EntryPoint) -> str:
    """The distribution that an entry point came with, as `name version`."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"
