"""From a plan to source text."""

from ..schedule import KernelOptions
from .source import Kernel, generate
from .window import Emitted
from .writer import Span

__all__ = ["Emitted", "Kernel", "KernelOptions", "Span", "generate"]
