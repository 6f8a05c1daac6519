import pytest


@pytest.fixture
def renamed(benchmark):
    benchmark.extra_info["renamed"] = True
    return benchmark


@pytest.fixture(scope="session")
def table():
    return list(range(1000))
