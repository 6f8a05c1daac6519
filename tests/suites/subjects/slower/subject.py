def extra(x):
    return x


def work(n=1000):
    total = 0
    for i in range(n):
        total += i
    for i in range(n // 8):
        extra(i)
    return total
