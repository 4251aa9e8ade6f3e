"""Benchmarks: one file each says which subsets there are and what is reported of them."""
