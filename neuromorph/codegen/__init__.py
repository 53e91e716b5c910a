"""Turns a plan into source text."""

from ..schedule import KernelOptions
from .source import Kernel, called, generate
from .window import ZEROS, Emitted
from .writer import Span

__all__ = ["ZEROS", "Emitted", "Kernel", "KernelOptions", "Span", "called", "generate"]
