"""Turns a plan into source text."""

from ..schedule import KernelOptions
from .source import Kernel, called, generate
from .sparse import SparseCopy, sparse_copies
from .window import ZEROS, Emitted
from .writer import Span

__all__ = [
    "ZEROS", "Emitted", "Kernel", "KernelOptions", "Span", "SparseCopy", "called", "generate", "sparse_copies",
]  # fmt: skip
