def work(n=1000):
    return n * (n - 1) // 2
