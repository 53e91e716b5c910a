"""Numba's side of a kernel: compiled, stored in the cache on disk, and found again."""
