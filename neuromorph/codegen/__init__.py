"""Turns a plan into source text."""

from ..schedule import KernelOptions
from .source import Kernel, generate
from .sparse import SparseCopy, sparse_copies
from .window import ZEROS, Emitted
from .writer import Span

__all__ = ["ZEROS", "Emitted", "Kernel", "KernelOptions", "Span", "SparseCopy", "generate", "sparse_copies"]
