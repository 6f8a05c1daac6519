from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopline.registry import Registry, UnknownStrategyError
from flopline.workload import (
    Accuracy,
    Case,
    Workload,
    WrongAnswerError,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = st.text(st.characters(exclude_characters="/="), min_size=1)


@given(
    family=WORDS,
    strategy=WORDS,
    axes=st.dictionaries(WORDS.filter("strategy".__ne__), st.integers(0)),
)
def test_a_case_is_read_back_from_its_name(
    family: str, strategy: str, axes: dict[str, int]
) -> None:
    case = Case(family, strategy, axes)
    assert Case.parse(case.name) == case
    assert Case.parse(case.name).name == case.name


def test_a_cases_name_is_family_strategy_and_axes_in_order() -> None:
    case = Case("matmul", "column_block", {"n": 256, "block": 64})
    assert case.name == "matmul/strategy=column_block/n=256/block=64"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "matmul",
        "matmul/n=4",
        "/strategy=full/n=4",
        "matmul/strategy=/n=4",
        "matmul/strategy",
        "matmul/n=4/strategy=full",
        "matmul/strategy=full/strategy=4",
        "matmul/strategy=full/",
        "matmul/strategy=full/n",
        "matmul/strategy=full/n=",
        "matmul/strategy=full/=4",
        "matmul/strategy=full/n=-1",
        "matmul/strategy=full/n=4.0",
        "matmul/strategy=full/n=²",
        "matmul/strategy=full/n= 4",
        "matmul/strategy=full/n=4/n=5",
    ],
)
def test_a_text_that_is_no_case_is_refused(name: str) -> None:
    with pytest.raises(
        ValueError,
        match=f"^{re.escape(repr(name))} is not a case; a case reads family/strategy=NAME",
    ):
        Case.parse(name)


def counting(run: Callable[[list[float]], object]) -> Workload:
    """A workload that ought to leave 1, 2, 3 in three cells, right within a quarter."""
    cells = [0.0] * 3
    expected = [1.0, 2.0, 3.0]

    def check() -> Accuracy:
        errors = [abs(found - right) for found, right in zip(cells, expected, strict=True)]
        worst = max(range(3), key=lambda i: math.inf if math.isnan(errors[i]) else errors[i])
        return Accuracy(errors[worst], 0.25, (worst,), cells[worst], expected[worst])

    return Workload(
        case=Case("counting", "mine", {"n": 3}),
        run=lambda: run(cells),
        flops=3,
        bytes=24,
        calls=1,
        poison=lambda: cells.__setitem__(slice(None), [math.nan] * 3),
        check=check,
    )


@pytest.mark.parametrize("second", [2.0, 2.25, 1.75])
def test_an_answer_within_its_bound_is_accepted_with_its_accuracy(second: float) -> None:
    accuracy = verify(counting(lambda cells: cells.__setitem__(slice(None), [1.0, second, 3.0])))
    assert accuracy.right
    assert accuracy.error == abs(second - 2.0)


@pytest.mark.parametrize(
    ("left", "what"),
    [
        ([1.0, 2.5, 3.125], "[1]: 2.5 instead of 2, error 0.5, bound 0.25. It was not timed"),
        (
            [1.0, 2.0, math.nan],
            "[2]: nan instead of 3: a cell that was not written, or not a number. It was not timed",
        ),
        (
            [-math.inf, 2.0, 3.0],
            "[0]: -inf instead of 1: a cell that was not written, or not a number",
        ),
    ],
    ids=["wrong", "unwritten", "infinite"],
)
def test_a_wrong_answer_is_refused_with_the_worst_place_its_error_and_bound(
    left: list[float], what: str
) -> None:
    workload = counting(lambda cells: cells.__setitem__(slice(None), left))
    with pytest.raises(
        WrongAnswerError,
        match=re.escape(f"counting/strategy=mine/n=3: wrong answer, worst at {what}"),
    ):
        verify(workload)


def test_a_right_answer_of_an_earlier_run_does_not_count() -> None:
    answers = iter([[1.0, 2.0, 3.0]])
    workload = counting(lambda cells: cells.__setitem__(slice(None), next(answers, list(cells))))
    verify(workload)
    with pytest.raises(WrongAnswerError, match="not written"):
        verify(workload)


def column() -> None: ...


def row() -> None: ...


@pytest.fixture
def registry() -> Registry[Callable[[], None]]:
    registry: Registry[Callable[[], None]] = Registry("flopline.nobody_provides_this")
    registry.strategy(column)
    registry.strategy(row)
    return registry


def test_the_decorator_keeps_the_function_and_registers_it_under_its_name(
    registry: Registry[Callable[[], None]],
) -> None:
    def outer() -> None: ...

    assert registry.strategy(outer) is outer
    assert dict(registry) == {"column": column, "row": row, "outer": outer}
    assert list(registry) == ["column", "row", "outer"]


def test_a_second_function_of_one_name_is_refused(registry: Registry[Callable[[], None]]) -> None:
    with pytest.raises(
        ValueError, match="a strategy named 'row' exists already; choose another function name"
    ):
        registry.strategy(row)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("colum", "no strategy 'colum'. Did you mean 'column'? There are: column, row."),
        ("zzz", "no strategy 'zzz'. There are: column, row."),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_and_all_known_ones(
    registry: Registry[Callable[[], None]], name: str, message: str
) -> None:
    assert name not in registry
    with pytest.raises(
        UnknownStrategyError, match=re.escape(f"flopline.nobody_provides_this: {message}")
    ):
        registry[name]


def test_a_registry_gives_the_default_for_an_unknown_name_as_every_mapping_does(
    registry: Registry[Callable[[], None]],
) -> None:
    assert registry.get("zzz") is None
    assert registry.get("zzz", row) is row


PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "foreign-{name}"
version = "{version}"

[project.entry-points."flopline.matmul"]
{entry_points}
"""
ENTRY_POINTS = {
    ("one", "1.2"): {"chunked": "chunked", "full": "chunked", "constant": "NUMBER"},
    ("two", "3.4"): {"chunked": "chunked", "spiral": "chunked"},
}


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The search path of two distributions, really installed, that both provide `chunked`."""
    folders = []
    for (name, version), points in ENTRY_POINTS.items():
        project, folder = (
            tmp_path_factory.mktemp(f"{name}_{what}") for what in ("project", "installed")
        )
        lines = "\n".join(f'{point} = "foreign_{name}:{value}"' for point, value in points.items())
        text = PROJECT.format(name=name, version=version, entry_points=lines)
        (project / "pyproject.toml").write_text(text, encoding="utf-8")
        (project / f"foreign_{name}.py").write_text(
            f"NUMBER = 3\ndef chunked(out, b, c, *, block):\n    return 'foreign {name}'\n",
            encoding="utf-8",
        )
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
        ]
        subprocess.run([*pip, "--target", str(folder), str(project)], check=True)
        folders.append(str(folder))
    return os.pathsep.join(folders)


LOOK = """
import json, sys, warnings
from flopline.strategies import Registry, provider

registry = Registry("flopline.matmul")
@registry.strategy
def full(out, b, c, *, block):
    return "built in"

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    mine = ("full", "chunked", "constant", "spiral")
    names = [name for name in registry if name in mine]
    list(registry)
    warned = [str(warning.message) for warning in caught]
def loaded():
    return sorted(name for name in sys.modules if name.startswith("foreign"))
facts = {"names": names, "known": "chunked" in registry, "before": loaded(), "warned": warned}
facts |= {name: registry[name](0, 0, 0, block=1) for name in ("full", "chunked")}
facts |= {"after": loaded(), "provider": provider(registry.installed()["spiral"])}
facts["installed"] = sorted(name for name in registry.installed() if name in mine)
try:
    registry["constant"]
except TypeError as error:
    facts["constant"] = str(error)
print(json.dumps(facts))
"""


def printed(script: str, **environment: str) -> Any:  # noqa: ANN401  # whatever JSON the script prints
    command = [sys.executable, "-c", script]
    return json.loads(
        subprocess.run(
            command, check=True, capture_output=True, env=os.environ | environment
        ).stdout
    )


@pytest.fixture(scope="session")
def seen(installation: str) -> dict[str, Any]:
    """What a process sees in whose path the two distributions are."""
    path = os.pathsep.join(filter(None, [installation, os.environ.get("PYTHONPATH")]))
    facts: dict[str, Any] = printed(LOOK, PYTHONPATH=path)
    return facts


def test_installed_strategies_stand_behind_the_built_in_ones(seen: dict[str, Any]) -> None:
    assert seen["names"][0] == "full"
    assert sorted(seen["names"][1:]) == seen["installed"] == ["chunked", "constant", "spiral"]
    assert seen["provider"] == "foreign-two 3.4"


def test_an_installed_strategy_is_loaded_only_when_it_is_used(seen: dict[str, Any]) -> None:
    assert seen["known"]
    assert seen["before"] == []
    assert seen["after"] == ["foreign_one"]


def test_a_built_in_and_the_first_on_the_path_win_each_with_one_warning(
    seen: dict[str, Any],
) -> None:
    assert (seen["full"], seen["chunked"]) == ("built in", "foreign one")
    assert seen["warned"] == [
        "flopline.matmul: 'chunked' is provided by foreign-one 1.2 and by foreign-two 3.4; the first is used",
        "flopline.matmul: 'full' is built in; the one of foreign-one 1.2 is left out",
    ]


def test_an_entry_point_that_cannot_be_called_is_refused(seen: dict[str, Any]) -> None:
    assert seen["constant"] == "flopline.matmul: 'constant' is 3; a strategy is a function"


def test_importing_the_strategies_imports_no_torch() -> None:
    script = "import json, sys, flopline.strategies; print(json.dumps(sorted({'torch', 'numpy'} & sys.modules.keys())))"
    assert printed(script) == []
