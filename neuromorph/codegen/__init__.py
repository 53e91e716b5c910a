"""From a plan to source text."""

from .source import Kernel, KernelOptions, generate

__all__ = ["Kernel", "KernelOptions", "generate"]
