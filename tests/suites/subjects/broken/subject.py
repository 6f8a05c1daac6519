def work(n=1000):
    raise RuntimeError("the candidate is broken")
