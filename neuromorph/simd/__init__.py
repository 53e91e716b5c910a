"""Vector instructions for generated kernels, each with a plain Python twin for when JIT is off."""

from .box import arrive, claim, leave, linger, post
from .clock import ticks
from .loops import span
from .matmul import Shape, product_of
from .moves import moves
from .pipeline import KernelCompiler
from .softmax import RowShape, softmax_gradient_of, softmax_of
from .squares import GradientShape, squares_of, strays_of
from .sums import SumShape, sums_of
from .threads import SYNC_SIZE, barrier
from .transpose import TurnShape, turn_of
from .twins import exp, log, sigmoid, tanh
from .vectors import absolute, maximum, minimum, sqrt, vectors, where
from .views import address_of, array_at, part

__all__ = [
    "SYNC_SIZE",
    "GradientShape",
    "KernelCompiler",
    "RowShape",
    "Shape",
    "SumShape",
    "TurnShape",
    "absolute",
    "address_of",
    "array_at",
    "arrive",
    "barrier",
    "claim",
    "exp",
    "leave",
    "linger",
    "log",
    "maximum",
    "minimum",
    "moves",
    "part",
    "post",
    "product_of",
    "sigmoid",
    "softmax_gradient_of",
    "softmax_of",
    "span",
    "sqrt",
    "squares_of",
    "strays_of",
    "sums_of",
    "tanh",
    "ticks",
    "turn_of",
    "vectors",
    "where",
]
