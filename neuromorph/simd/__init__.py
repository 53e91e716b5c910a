"""The functions that generated kernels import: SIMD routines, each with a plain Python twin for when JIT is off."""

from .barrier import SYNC_SIZE, barrier
from .calls import call_at, double_at, move, put_word, single_at, word_at
from .clock import ticks
from .column_sums import SumShape, sums_of
from .copies import moves
from .general_product import general_product
from .general_rows import block_transpose, general_softmax, general_softmax_gradient, general_sums
from .gradient_norm import GradientShape, non_finite_of, squares_of
from .loops import span
from .mailbox import arrive, claim, leave, linger, post
from .matmul import product_of
from .native import native
from .numpy_math import cos, exp, log, normal_cdf, sigmoid, sin, softplus, tanh
from .product_shape import Shape
from .programs import behind, number, word
from .softmax import RowShape, softmax_gradient_of, softmax_of
from .sparse_product import sparse_product_of
from .transpose import TransposeShape, transpose_of
from .vector_functions import vectors
from .vectors import absolute, fma, maximum, minimum, sqrt, where
from .views import address_of, array_at, part

__all__ = [
    "SYNC_SIZE",
    "GradientShape",
    "RowShape",
    "Shape",
    "SumShape",
    "TransposeShape",
    "absolute",
    "address_of",
    "array_at",
    "arrive",
    "barrier",
    "behind",
    "block_transpose",
    "call_at",
    "claim",
    "cos",
    "double_at",
    "exp",
    "fma",
    "general_product",
    "general_softmax",
    "general_softmax_gradient",
    "general_sums",
    "leave",
    "linger",
    "log",
    "maximum",
    "minimum",
    "move",
    "moves",
    "native",
    "non_finite_of",
    "normal_cdf",
    "number",
    "part",
    "post",
    "product_of",
    "put_word",
    "sigmoid",
    "sin",
    "single_at",
    "softmax_gradient_of",
    "softmax_of",
    "softplus",
    "span",
    "sparse_product_of",
    "sqrt",
    "squares_of",
    "sums_of",
    "tanh",
    "ticks",
    "transpose_of",
    "vectors",
    "where",
    "word",
    "word_at",
]
