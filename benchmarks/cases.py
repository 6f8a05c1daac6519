"""The one list of what is measured: names only, the same on every version and every machine.

A case is a name, `family/strategy=NAME/axis=NUMBER/...`. Its strategy is looked up when the case is
prepared, so that a version that lacks it has a case less, not a suite that does not import. Nothing
here imports the package that it measures.

To measure a new strategy, add it to every scale. One without blocks joins `_WHOLE`, which `_quick`
and `_full` use, and the function `_gate`; if one run of it takes seconds at a large size, it joins
`_LARGEST` too. One with blocks gets a line in each of the functions `_quick`, `_full` and `_gate`.
"""

SCALES = ("quick", "full", "gate")

ROUNDS, REPEAT = 4, 2
"""For asv: processes per case, and samples per process.

What is constant inside a process (layout, placement) differs between processes, and a rank test
needs eight samples.
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
_EPOCHS = ("loader", "autograd", "module", "manual")


def _matmul(strategy: str, n: int, *blocks: int) -> list[str]:
    """Returns the products of one strategy and size, one for each block if it has blocks."""
    case = f"matmul/strategy={strategy}/n={n}"
    if not blocks:
        return [case]
    return [f"{case}/block={block}" for block in blocks]


def _sgd(*sizes: int) -> list[str]:
    """Returns the epochs of every strategy with these minibatch sizes."""
    names = []
    for strategy in _EPOCHS:
        names += [f"sgd/strategy={strategy}/batch={size}" for size in sizes]
    return names


def _quick() -> list[str]:
    names = []
    for strategy in _WHOLE:
        names += _matmul(strategy, 256)
    names += _matmul("column_block", 256, *_PANELS)
    names += _matmul("column_block_assign", 256, 64)
    names += _matmul("row_block", 256, 16, 64)
    names += _matmul("tile", 256, 16, 64, 128)
    names += _matmul("cube", 256, 16, 64, 128)
    names += _matmul("full", 1024)
    names += _matmul("column_block", 1024, 64, 256, 512)
    names += _matmul("row_block", 1024, 256, 512)
    names += _sgd(1, 10, 100, 1500)
    return names


QUICK = _quick()
"""About a minute on two cores: the chapter's own sizes, and panels at n = 1024."""

# A strategy with a call per entry or per row of k stops where one run would take seconds.
_LARGEST = {"element": 256, "element_assign": 256, "outer": 1024}


def _full() -> list[str]:
    names = []
    for n in (64, 96, 128, 192, 256, 512, 1000, 1024, 2048):
        for strategy in _WHOLE:
            if n <= _LARGEST.get(strategy, n):
                names += _matmul(strategy, n)
    for strategy in ("column_block", "column_block_assign", "row_block"):
        names += _matmul(strategy, 256, *_PANELS)
        for n in (512, 1000, 1024, 2048):
            names += _matmul(strategy, n, 8, 16, 32, 64, 128, 256, 512)
    for strategy in ("tile", "cube"):
        for n in (256, 512, 1024):
            names += _matmul(strategy, n, n // 16, n // 8, n // 4, n // 2)
    names += _sgd(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1500)
    return names


FULL = _full()
"""The quick cases and more sizes, for a night."""


def _gate() -> list[str]:
    names = _matmul("element", 16) + _matmul("element_assign", 16)
    for strategy in ("row", "column", "column_assign", "outer"):
        names += _matmul(strategy, 128)
    names += _matmul("full", 256) + _matmul("full_assign", 256)
    names += _matmul("full", 128)
    names += _matmul("column_block", 128, 16, 64)
    names += _matmul("column_block", 256, 32, 64, 128)
    names += _matmul("column_block_assign", 256, 32, 64, 128)
    names += _matmul("row_block", 256, 32, 64, 128)
    names += _matmul("tile", 256, 64, 128)
    names += _matmul("cube", 256, 64, 128)
    names += _sgd(1500)
    names.append("sgd/strategy=autograd/batch=500")
    names.append("sgd/strategy=manual/batch=10")
    names.append("sgd/strategy=manual/batch=100")
    return names


GATE = _gate()
"""Every strategy at a size of which one run takes about a millisecond at most.

A gate needs many short batches.
"""

CASES = {"quick": QUICK, "full": FULL, "gate": GATE}

INSTALLED = {
    "flopline.matmul": ("matmul/strategy={}/n=256/block=64", "matmul/strategy={}/n=1024/block=256"),
    "flopline.sgd": tuple(f"sgd/strategy={{}}/batch={size}" for size in (1, 10, 100, 1500)),
}
"""The sizes at which a strategy of another distribution is measured, by its entry point's group."""


def axes(family: str, names: tuple[str, ...]) -> list[list[str | int]]:
    """Returns every value of the named axes, strategies first, over all scales, in a fixed order.

    Only the cases that have exactly these axes count. The parameters of an asv benchmark are the
    same on every machine and at every scale; their product includes combinations that are no case.
    """
    points = []
    for case in QUICK + FULL + GATE:
        case_family, *pairs = case.split("/")
        point = dict(pair.split("=") for pair in pairs)
        if case_family == family and tuple(point) == names:
            points.append(point)
    strategies: list[str | int] = list(dict.fromkeys(point["strategy"] for point in points))
    values = [strategies]
    for axis in names[1:]:
        sizes = {int(point[axis]) for point in points}
        values.append([*sorted(sizes)])
    return values
