"""The gate: is the candidate slower than the baseline? It knows nothing of what is measured."""
