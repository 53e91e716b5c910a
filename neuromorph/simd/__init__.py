"""Vector instructions for generated kernels, each with a plain Python twin for when JIT is off."""

from .loops import span
from .matmul import Shape, product_of
from .pipeline import KernelCompiler
from .sums import SumShape, sums_of
from .threads import SYNC_SIZE, barrier, linger
from .transpose import TurnShape, turn_of
from .twins import exp, log, sigmoid, tanh
from .vectors import absolute, maximum, minimum, sqrt, vectors, where

__all__ = [
    "SYNC_SIZE",
    "KernelCompiler",
    "Shape",
    "SumShape",
    "TurnShape",
    "absolute",
    "barrier",
    "exp",
    "linger",
    "log",
    "maximum",
    "minimum",
    "product_of",
    "sigmoid",
    "span",
    "sqrt",
    "sums_of",
    "tanh",
    "turn_of",
    "vectors",
    "where",
]
