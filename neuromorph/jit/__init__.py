"""Compiles generated source by LLVM, or loads it from the cache on disk."""
