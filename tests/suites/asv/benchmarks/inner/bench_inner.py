def time_inner():
    sum(range(1000))
