"""From a plan to source text."""

from .divide import FORWARD, divide, is_short, seconds_of_step, threads_of_prediction, worth_waking
from .source import Kernel, KernelOptions, generate
from .waiting import CALL_ARRAYS, TRAINED

__all__ = [
    "CALL_ARRAYS",
    "FORWARD",
    "TRAINED",
    "Kernel",
    "KernelOptions",
    "divide",
    "generate",
    "is_short",
    "seconds_of_step",
    "threads_of_prediction",
    "worth_waking",
]
