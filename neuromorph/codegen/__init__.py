"""From a plan to source text."""

from .divide import divide, threads_of_prediction
from .source import Kernel, KernelOptions, generate

__all__ = ["Kernel", "KernelOptions", "divide", "generate", "threads_of_prediction"]
