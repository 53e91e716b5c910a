"""From a plan to source text."""

from .divide import FORWARD, divide, is_short, seconds_of_step, threads_of_prediction, worth_waking
from .source import Kernel, KernelOptions, generate

__all__ = [
    "FORWARD",
    "Kernel",
    "KernelOptions",
    "divide",
    "generate",
    "is_short",
    "seconds_of_step",
    "threads_of_prediction",
    "worth_waking",
]
