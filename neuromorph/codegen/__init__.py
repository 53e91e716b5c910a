"""From a plan to source text."""

from ..schedule import KernelOptions
from .source import Kernel, generate

__all__ = ["Kernel", "KernelOptions", "generate"]
