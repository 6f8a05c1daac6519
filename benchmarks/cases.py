"""The one list of what is measured: names only, the same on every version and every machine.

A case is a name, `family/strategy=NAME/axis=NUMBER/...`; its strategy is looked up when the case is prepared, so that a
version that lacks it has a case less, not a suite that does not import. Nothing here imports the package it measures.
"""

SCALES = ("quick", "full", "gate")

ROUNDS, REPEAT = 4, 2
"""For asv: processes per case, and samples per process.

What is constant inside a process (layout, placement) differs between processes, and a rank test needs eight samples.
"""

_PANELS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_WHOLE = (
    "element",
    "element_assign",
    "row",
    "column",
    "column_assign",
    "outer",
    "full",
    "full_assign",
)


def _matmul(strategy: str, n: int, *blocks: int) -> list[str]:
    case = f"matmul/strategy={strategy}/n={n}"
    return [f"{case}/block={block}" for block in blocks] or [case]


def _sgd(*sizes: int) -> list[str]:
    strategies = ("loader", "autograd", "module", "manual")
    return [f"sgd/strategy={strategy}/batch={size}" for strategy in strategies for size in sizes]


QUICK = [
    *(case for strategy in _WHOLE for case in _matmul(strategy, 256)),
    *_matmul("column_block", 256, *_PANELS),
    *_matmul("column_block_assign", 256, 64),
    *_matmul("row_block", 256, 16, 64),
    *_matmul("tile", 256, 16, 64, 128),
    *_matmul("cube", 256, 16, 64, 128),
    *_matmul("full", 1024),
    *_matmul("column_block", 1024, 64, 256, 512),
    *_matmul("row_block", 1024, 256, 512),
    *_sgd(1, 10, 100, 1500),
]
"""About a minute on two cores: the chapter's own sizes, and panels at n = 1024."""

_FULL_PANELS = {256: _PANELS} | dict.fromkeys(
    (512, 1000, 1024, 2048), (8, 16, 32, 64, 128, 256, 512)
)

# Per entry, row or column the slow strategies stop where one run would take seconds.
_LARGEST = {"element": 256, "element_assign": 256, "outer": 1024}

FULL = [
    *(
        case
        for n in (64, 96, 128, 192, 256, 512, 1000, 1024, 2048)
        for strategy in _WHOLE
        if n <= _LARGEST.get(strategy, n)
        for case in _matmul(strategy, n)
    ),
    *(
        case
        for strategy in ("column_block", "column_block_assign", "row_block")
        for n, blocks in _FULL_PANELS.items()
        for case in _matmul(strategy, n, *blocks)
    ),
    *(
        case
        for strategy in ("tile", "cube")
        for n in (256, 512, 1024)
        for case in _matmul(strategy, n, n // 16, n // 8, n // 4, n // 2)
    ),
    *_sgd(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1500),
]
"""The quick cases and more sizes, for a night."""

GATE = [
    *_matmul("element", 16),
    *_matmul("element_assign", 16),
    *(
        case
        for strategy in ("row", "column", "column_assign", "outer")
        for case in _matmul(strategy, 128)
    ),
    *(case for strategy in ("full", "full_assign") for case in _matmul(strategy, 256)),
    *_matmul("full", 128),
    *_matmul("column_block", 128, 16, 64),
    *_matmul("column_block", 256, 32, 64, 128),
    *_matmul("column_block_assign", 256, 32, 64, 128),
    *_matmul("row_block", 256, 32, 64, 128),
    *_matmul("tile", 256, 64, 128),
    *_matmul("cube", 256, 64, 128),
    *_sgd(1500),
    "sgd/strategy=autograd/batch=500",
    *(f"sgd/strategy=manual/batch={size}" for size in (10, 100)),
]
"""Every strategy at a size of which one run takes about a millisecond at most: a gate needs many short batches."""

CASES = {"quick": QUICK, "full": FULL, "gate": GATE}

INSTALLED = {
    "flopline.matmul": ("matmul/strategy={}/n=256/block=64", "matmul/strategy={}/n=1024/block=256"),
    "flopline.sgd": tuple(f"sgd/strategy={{}}/batch={size}" for size in (1, 10, 100, 1500)),
}
"""At which sizes a strategy from another distribution is measured, by the group of its entry point."""


def axes(family: str, names: tuple[str, ...]) -> list[list[str | int]]:
    """Every value of the named axes in the cases that have exactly these, over all scales, in a fixed order.

    The parameters of an asv benchmark are the same on every machine and at every scale; their product holds
    combinations that are no case.
    """
    points = []
    for case in (case for scale in SCALES for case in CASES[scale]):
        found, *pairs = case.split("/")
        point = dict(pair.split("=") for pair in pairs)
        if found == family and tuple(point) == names:
            points.append(point)
    values: list[list[str | int]] = [list(dict.fromkeys(point["strategy"] for point in points))]
    values += [[*sorted({int(point[axis]) for point in points})] for axis in names[1:]]
    return values
