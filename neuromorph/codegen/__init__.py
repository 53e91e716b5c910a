"""From a plan to source text."""

from .divide import divide
from .source import Kernel, KernelOptions, generate

__all__ = ["Kernel", "KernelOptions", "divide", "generate"]
