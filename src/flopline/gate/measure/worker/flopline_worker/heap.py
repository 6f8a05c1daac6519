"""A random layout of the heap, equal on both sides of a pair and new in every pair.

Where objects lie relative to each other belongs to a version and not to its speed: an unused
function that was added moves everything that is allocated after it. Hash seeds and the size of the
environment move the whole heap and leave that as it is. Holes and gaps of random sizes do not; so
what the layout of a version costs is another draw in every pair, and averages out.
"""

from __future__ import annotations

import random

SMALL_SIZES = range(1, 32)
"""Sizes of small objects, in units of 16 bytes: pymalloc keeps objects of one size together."""
PAGE = 4096
HOLES = (20, 200)
"""How many larger blocks there are, at least and at most; every other one becomes a hole."""
HOLE_BYTES = (600, 70_000)
HEADERS = 33, 3
"""Bytes that an empty `bytes` has, and slots of 8 bytes of an empty tuple."""


def scatter(seed: int) -> list[object]:
    """Returns what has to stay alive while the layout is wanted.

    It is a random number of objects of every small size, and larger blocks of random sizes of which
    half are free again. It takes some milliseconds and a few megabytes.

    Args:
        seed: From which the layout follows.
    """
    draw = random.Random(seed)  # noqa: S311  # it must repeat on the other side
    header, slots = HEADERS
    kept: list[object] = []
    for size in SMALL_SIZES:
        blobs = draw.randrange(3 * (PAGE // (16 * size)) + 3)
        kept.extend(bytes(max(1, 16 * size - header)) for _ in range(blobs))
        kept.extend((seed,) * max(1, 2 * size - slots) for _ in range(draw.randrange(120)))
    larger = [bytearray(draw.randrange(*HOLE_BYTES)) for _ in range(draw.randrange(*HOLES))]
    kept.extend(larger[::2])
    kept.extend(dict.fromkeys(range(draw.randrange(1, 40))) for _ in range(draw.randrange(60)))
    return kept
