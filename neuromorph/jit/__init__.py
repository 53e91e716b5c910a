"""Compiles generated source with Numba, or loads it from the cache on disk."""
