"""From a plan to source text."""

from .divide import FORWARD, divide, seconds_of_step, threads_of_prediction
from .source import Kernel, KernelOptions, generate

__all__ = ["FORWARD", "Kernel", "KernelOptions", "divide", "generate", "seconds_of_step", "threads_of_prediction"]
