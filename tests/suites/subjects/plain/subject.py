def work(n=1000):
    total = 0
    for i in range(n):
        total += i
    return total
