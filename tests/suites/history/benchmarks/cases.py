"""What is measured."""

ROUNDS, REPEAT = 2, 4

GATE = ["toy/strategy=counted/n=50", "toy/strategy=counted/n=100"]

QUICK = [
    *GATE,
    "toy/strategy=absent/n=50",
    "toy/strategy=wrong/n=50",
    "toy/strategy=endless/n=50",
]

CASES = {"gate": GATE, "quick": QUICK}
