"""The table `[tool.flopline.gate]` of a project's pyproject.toml.

It has the options of `flopline gate` under their own names, with values as on the command line, and
`suite`, the arguments for pytest. Tables `[tool.flopline.gate.benchmark."PATTERN"]` ask something
else of the benchmarks that a pattern finds (`gate.rules`). A new option is a line of `KEYS`.
"""

from __future__ import annotations

import difflib
import math
import os
import shlex
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from flopline import FloplineError
from flopline.gate.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from flopline.gate.sides.place import Place

TABLE = "tool.flopline.gate"
"""The name of the table."""


class ConfigurationError(FloplineError, ValueError):
    """The configuration of a project, or an option, says something that flopline does not know."""


class Kind(Protocol):
    """What a key may be set to."""

    def read(self, where: str, value: object, place: Place) -> Any:  # noqa: ANN401  # each its own
        """Returns the value as the command line would give it.

        Args:
            where: The file and the key, for messages.
            value: What the file has.
            place: Where the user stands, and the project whose file it is.

        Raises:
            ConfigurationError: The value is none of this kind.
        """


@dataclass(frozen=True)
class Switch:
    """True or false."""

    def read(self, where: str, value: object, place: Place) -> bool:  # noqa: ARG002  # as Kind
        """Returns whether it is on."""
        if not isinstance(value, bool):
            raise ConfigurationError(f"{where} must be true or false, and is {value!r}")
        return value


@dataclass(frozen=True)
class Number:
    """A number with its unit, as a text: `"3%"`.

    Attributes:
        unit: The unit, which may be left out.
        low: The smallest number that is allowed.
        high: The largest.
        example: A usual one.
    """

    unit: str
    low: float
    high: float
    example: str

    def read(self, where: str, value: object, place: Place) -> str:  # noqa: ARG002  # as Kind
        """Returns the text, of which it is known that it is such a number."""
        if not isinstance(value, str):
            raise ConfigurationError(
                f"{where} is {value!r}; write it as on the command line, as a text with its unit, "
                f'for example "{self.example}"'
            )
        self.parse(where, value)
        return value

    def parse(self, where: str, text: str) -> float:
        """Returns the number in a text.

        Args:
            where: The name of the option, or the file and the key, for the message.
            text: What the user gave.

        Raises:
            ConfigurationError: It is no number, or out of range.
        """
        try:
            number = float(text.strip().removesuffix(self.unit))
        except ValueError:
            number = math.nan
        if not self.low <= number <= self.high:
            low, high = f"{self.low:g}{self.unit}", f"{self.high:g}{self.unit}"
            raise ConfigurationError(
                f"{where} is {text!r}; allowed is a number from {low} to {high}, for example {low}"
            )
        return number


@dataclass(frozen=True)
class Choice:
    """One of several words.

    Attributes:
        words: The words.
    """

    words: tuple[str, ...]

    def read(self, where: str, value: object, place: Place) -> str:  # noqa: ARG002  # as Kind
        """Returns the word."""
        if not isinstance(value, str) or value not in self.words:
            nearest = _nearest(value, self.words) if isinstance(value, str) else ""
            raise ConfigurationError(
                f"{where} must be one of {', '.join(self.words)}, and is {value!r}{nearest}"
            )
        return value


@dataclass(frozen=True)
class Text:
    """A text, which may be a path; in the file that is relative to the project."""

    def read(self, where: str, value: object, place: Place) -> str:
        """Returns the text; a path is as it is from where the user stands."""
        if not isinstance(value, str):
            raise ConfigurationError(f"{where} must be a text, and is {value!r}")
        return _from_standing(value, place)


@dataclass(frozen=True)
class Words:
    """A list of texts, or one text that is split as a shell does it.

    Attributes:
        are_paths: Whether they may be paths. In the file these are relative to the project.
    """

    are_paths: bool = False

    def read(self, where: str, value: object, place: Place) -> list[str]:
        """Returns the texts, with paths as they are from where the user stands."""
        if isinstance(value, str):
            try:
                words = shlex.split(value)
            except ValueError as error:
                raise ConfigurationError(
                    f"{where} is {value!r}, which cannot be split into arguments "
                    f"({str(error).lower()}); give a list of texts"
                ) from error
        elif isinstance(value, list) and all(isinstance(word, str) for word in value):
            words = list(value)
        else:
            raise ConfigurationError(f"{where} must be a text or a list of texts, and is {value!r}")
        return [_from_standing(word, place) for word in words] if self.are_paths else words


def _from_standing(word: str, place: Place) -> str:
    """Returns an argument whose path is relative to the project as the user would give it."""
    path, colons, inner = word.partition("::")
    if place.start == place.project or Path(path).is_absolute() or path.startswith("-"):
        return word
    if not path or not (place.project / path).exists():
        return word
    return os.path.relpath(place.project / path, place.start) + colons + inner


DETECT = Number("%", 0.1, 100, "3%")
ALPHA = Number("%", 1e-4, 50, "1%")
BUDGET = Number("s", 1, 1e6, "300s")
KEYS: dict[str, Kind] = {
    "suite": Words(are_paths=True),
    "detect": DETECT,
    "alpha": ALPHA,
    "budget": BUDGET,
    "suite-from": Choice(("candidate", "baseline", "each")),
    "python": Text(),
    "isolated": Switch(),
    "extra": Words(),
    "group": Words(),
    "with": Words(),
    "carry": Words(are_paths=True),
    "alternate-setup": Switch(),
    "report-only": Switch(),
    "inconclusive": Choice(("fail", "pass")),
    "calls": Switch(),
}
"""What the table may have. All but `suite` are options of `flopline gate`."""
BENCHMARK = "benchmark"
"""The key under which the tables for some benchmarks stand."""
BENCHMARK_KEYS: dict[str, Kind] = {
    "detect": DETECT,
    "ignore": Switch(),
    "report-only": Switch(),
}
"""What a table for some benchmarks may have."""


@dataclass(frozen=True)
class Configuration:
    """What a project's pyproject.toml says about its gate.

    Attributes:
        options: The values of options, by their names without dashes in front.
        suite: The arguments for pytest.
        rules: What is asked of some benchmarks in particular, in the order of the file.
    """

    options: dict[str, Any] = field(default_factory=dict)
    suite: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()


def read(place: Place) -> Configuration:
    """Reads the configuration of the project in which the user stands.

    Raises:
        ConfigurationError: The file cannot be read, or says something that flopline does not know.
    """
    file = place.project / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return Configuration()
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{file} is no TOML: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}") from error
    tools = _table(file, "tool", content.get("tool", {}))
    ours = _table(file, "tool.flopline", tools.get("flopline", {}))
    _refuse_unknown(file, "tool.flopline", ours, ["gate"])
    found = _table(file, TABLE, ours.get("gate", {}))
    _refuse_unknown(file, TABLE, found, [*KEYS, BENCHMARK])
    options = {}
    for key, kind in KEYS.items():
        if key in found:
            options[key] = kind.read(f"{file}: {TABLE}.{key}", found[key], place)
    suite = tuple(options.pop("suite", ()))
    return Configuration(options, suite, _rules(file, found.get(BENCHMARK, {}), place))


def _rules(file: Path, value: object, place: Place) -> tuple[Rule, ...]:
    """Returns what the tables for some benchmarks ask, in the order of the file."""
    rules = []
    for pattern, asked in _table(file, f"{TABLE}.{BENCHMARK}", value).items():
        name = f'{TABLE}.{BENCHMARK}."{pattern}"'
        where = f"{file}: {name}"
        if not pattern.strip():
            raise ConfigurationError(f"{where} names no benchmark; give a node id or a pattern")
        _refuse_unknown(file, name, _table(file, name, asked), BENCHMARK_KEYS)
        said: dict[str, Any] = {}
        for key, kind in BENCHMARK_KEYS.items():
            if key in asked:
                said[key.replace("-", "_")] = kind.read(f"{where}.{key}", asked[key], place)
        if "detect" in said:
            said["detect"] = DETECT.parse(f"{where}.detect", said["detect"]) / 100
        rules.append(Rule(pattern, **said))
    return tuple(rules)


def _table(file: Path, name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{file}: {name} must be a table, and is {value!r}")
    return value


def _refuse_unknown(
    file: Path, name: str, found: Mapping[str, object], known: Collection[str]
) -> None:
    """Refuses the first key that is not known, and names the one that was probably meant."""
    for key, value in found.items():
        if key in known:
            continue
        advice = f"known: {', '.join(known)}"
        if nearest := _nearest(key, known):
            advice = f"{nearest.removeprefix('; ')} ({advice})"
        elif isinstance(value, dict) and f".{BENCHMARK}." in name:
            advice = f"put a pattern with dots in quotes ({advice})"
        raise ConfigurationError(f"{file}: {name} has no key {key!r}; {advice}")


def _nearest(given: str, known: Collection[str]) -> str:
    """Returns a question with the known word that is nearest to a given one; empty without any."""
    nearest = difflib.get_close_matches(given.lower().replace("_", "-"), known, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else ""
