"""C1 to C6 on made-up times of memory and made-up ceilings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from flopline.chapter.ceilings import Ceilings, Level
from flopline.chapter.claims.measurements.memory import STRIDES
from flopline.chapter.claims.register import CLAIMS

if TYPE_CHECKING:
    from flopline.chapter.claims.measurements import Measurements


def made_up_ceilings(flops: float, copy: float) -> Ceilings:
    """Returns ceilings with a rate of products and a rate of copies."""
    level = Level("L1", 32768, 1e11)
    return Ceilings(
        threads=2, flops=flops, rows=(), columns=(), levels=(level,), copy=copy, dispatch=1e-6
    )


def test_the_product_of_the_processor_claim_is_right(measurements: Measurements) -> None:
    measurements.ceilings = [made_up_ceilings(2e11, 1e10)] * 8
    finding = CLAIMS["C1"].assess(measurements)
    assert finding.answer == "confirmed"
    assert [quantity.value for quantity in finding.measured] == [1.024e12, 2e11, 1e11]


@pytest.mark.parametrize(("copy", "answer"), [(1e10, "confirmed"), (4e10, "refuted")])
def test_memory_is_compared_with_the_fastest_product(
    measurements: Measurements, copy: float, answer: str
) -> None:
    measurements.ceilings = [made_up_ceilings(2e11, copy)] * 8
    assert CLAIMS["C3"].assess(measurements).answer == answer


@pytest.mark.parametrize(("factor", "answer"), [(0.5, "confirmed"), (0.1, "refuted")])
def test_a_stride_of_a_cache_line_decides_about_single_numbers(
    measurements: Measurements, factor: float, answer: str
) -> None:
    measurements.strided_sums = {}
    for stride in STRIDES:
        measurements.strided_sums[stride] = [max(1.0, factor * stride)] * 15
    finding = CLAIMS["C4"].assess(measurements)
    assert finding.answer == answer
    names = [quantity.what for quantity in finding.measured]
    assert names[3] == "useful bandwidth lost at stride 64 B"


@pytest.mark.parametrize(("random", "answer"), [(9e-9, "confirmed"), (2e-9, "refuted")])
def test_random_fetches_are_compared_with_those_in_order(
    measurements: Measurements, random: float, answer: str
) -> None:
    measurements.fetches = {
        "sequential": [1e-9] * 15,
        "L1": [1e-9] * 15,
        "memory": [random] * 15,
    }
    finding = CLAIMS["C5"].assess(measurements)
    assert finding.answer == answer
    names = [quantity.what for quantity in finding.measured[1:]]
    assert names == ["random from L1", "random from memory"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_a_claim_about_a_gpu_is_not_testable_without_one(measurements: Measurements) -> None:
    finding = CLAIMS["C2"].assess(measurements)
    assert (finding.answer, finding.measured) == ("not testable here", ())


@pytest.mark.cuda
def test_a_gpu_is_measured_where_there_is_one(measurements: Measurements) -> None:
    finding = CLAIMS["C2"].assess(measurements)
    assert finding.answer != "not testable here"
    assert [quantity.what for quantity in finding.measured] == ["bfloat16 product", "copy"]
