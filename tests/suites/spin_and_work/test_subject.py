import subject


def test_spin(benchmark):
    benchmark(subject.spin, 800)


def test_work(benchmark):
    benchmark(subject.work)
