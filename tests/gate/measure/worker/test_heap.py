from __future__ import annotations

from flopline.gate.measure.worker.flopline_worker.heap import scatter


def sizes(seed: int) -> list[int]:
    return [len(thing) for thing in scatter(seed)]  # type: ignore[arg-type]


def test_one_seed_gives_one_layout_and_another_gives_another() -> None:
    assert sizes(1) == sizes(1)
    assert sizes(1) != sizes(2)


def test_a_layout_takes_little_memory_and_some() -> None:
    for seed in range(5):
        held = scatter(seed)
        large = [len(thing) for thing in held if isinstance(thing, bytearray)]
        assert 10 <= len(large) <= 100
        assert 1000 < len(held) < 20_000
        assert max(large) < 70_000
