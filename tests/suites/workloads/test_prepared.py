"""Cases that flopline's own fixtures prepare."""

import pytest

PRODUCTS = [
    "matmul/strategy=full/n=16",
    "matmul/strategy=row/n=16",
    "matmul/strategy=tile/n=16/block=5",
]


@pytest.mark.parametrize("product", PRODUCTS, indirect=True)
def test_product(product, measure):
    measure(product)


@pytest.mark.parametrize("epoch", ["sgd/strategy=manual/batch=100"], indirect=True)
def test_epoch(epoch, measure):
    measure(epoch)
