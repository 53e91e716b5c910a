"""The functions of programs in JAX."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn

TINY = 1e-7


class Sparse(NamedTuple):
    """A matrix of few numbers: for each column the rows of its numbers, and these, filled up with zeros."""

    rows: Any
    numbers: Any

    @classmethod
    def of(cls, matrix: np.ndarray[Any, Any]) -> Sparse:
        """A matrix without its zeros."""
        longest = int((matrix != 0).sum(axis=0).max())
        rows = np.argsort(matrix == 0, axis=0, kind="stable")[:longest].T
        return cls(jnp.asarray(rows.astype(np.int32)), jnp.asarray(np.take_along_axis(matrix, rows.T, axis=0).T))


def _product(x: Any, w: Any) -> Any:
    return jnp.sum(x[..., w.rows] * w.numbers, axis=-1) if isinstance(w, Sparse) else x @ w


def _history(s: Any, v: Any) -> Any:
    return jnp.concatenate([s, v])


def _as_product(h: Any, w: Any, b: Any, taps: int, dilation: int) -> Any:
    steps = len(h) - (taps - 1) * dilation
    return jnp.concatenate([h[tap * dilation :][:steps] for tap in range(taps)], axis=-1) @ w + b


def _as_sum(h: Any, w: Any, b: Any, taps: int, dilation: int) -> Any:
    steps, each = len(h) - (taps - 1) * dilation, jnp.split(w, taps)
    return sum((h[tap * dilation :][:steps] @ each[tap] for tap in range(taps)), b)


def _as_convolution(h: Any, w: Any, b: Any, taps: int, dilation: int) -> Any:
    kernel = w.reshape(taps, -1, w.shape[-1])
    names = ("WNC", "WIO", "WNC")
    return lax.conv_general_dilated(h, kernel, (1,), "VALID", rhs_dilation=(dilation,), dimension_numbers=names) + b


CONVOLUTIONS = {"product": _as_product, "sum": _as_sum, "convolution": _as_convolution}


def scan(unroll: int) -> Callable[..., Any]:
    """A loop over time, so many steps at once."""
    return lambda step, s, over: lax.scan(step, s, over, unroll=unroll)


def linear_loop(unroll: int) -> Callable[..., Any]:
    """All of h = a h' + b from the first h' on, step by step."""

    def step(s: Any, t: Any) -> Any:
        s = t[0] * s + t[1]
        return s, s

    return lambda a, b, s: lax.scan(step, s, (a, b), unroll=unroll)[1]


def parallel_scan(a: Any, b: Any, s: Any) -> Any:
    """The same, all steps at once."""

    def both(one: Any, other: Any) -> Any:
        return other[0] * one[0], other[0] * one[1] + other[1]

    return lax.associative_scan(both, (a, b.at[0].add(a[0] * s)))[1]


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _spike(x: Any, beta: float) -> Any:
    return jnp.where(x > 0.0, 1.0, 0.0)


@_spike.defjvp
def _spike_jvp(beta: float, x: Any, tangent: Any) -> Any:
    return _spike(x[0], beta), tangent[0] * jnp.square(1.0 / (1.0 + beta * jnp.abs(x[0])))


def _norm(x: Any, w: Any, b: Any, epsilon: float) -> Any:
    centered = x - jnp.mean(x, axis=-1, keepdims=True)
    return centered * lax.rsqrt(jnp.mean(jnp.square(centered), axis=-1, keepdims=True) + epsilon) * w + b


def _rms_norm(x: Any, w: Any, epsilon: float) -> Any:
    return x * lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + epsilon) * w


def _clipped(r: Any) -> Any:
    return jnp.clip(r, TINY, 1.0 - TINY)


def _huber(r: Any, e: Any, delta: float) -> Any:
    d = jnp.abs(r - e)
    return jnp.mean(jnp.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta)))


def _huber_modified(r: Any, e: Any, delta: float) -> Any:
    m = r * e
    beyond = (1.0 + delta) ** 2 - 2.0 * (1.0 + delta) * (m + delta)
    return jnp.mean(jnp.where(m >= -delta, jnp.square(jnp.maximum(0.0, 1.0 - m)), beyond))


def _log_cosh(r: Any, e: Any) -> Any:
    d = jnp.abs(r - e)
    return jnp.mean(d + nn.softplus(-2.0 * d) - np.log(2.0))


def _softmax_cross_entropy(z: Any, e: Any) -> Any:
    return -jnp.mean(jnp.sum(e * nn.log_softmax(z), axis=-1))


FUNCTIONS: dict[str, Any] = {
    "sigmoid": nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": nn.relu,
    "relu_leaky": nn.leaky_relu,
    "relu_parametric": nn.leaky_relu,
    "elu": nn.elu,
    "selu": nn.selu,
    "gelu": nn.gelu,
    "gelu_exact": lambda x: nn.gelu(x, approximate=False),
    "swish": lambda x, beta: x * nn.sigmoid(beta * x),
    "mish": lambda x: x * jnp.tanh(nn.softplus(x)),
    "softmax": nn.softmax,
    "softplus": nn.softplus,
    "softsign": nn.soft_sign,
    "binary_step": lambda x: jnp.where(x >= 0.0, 1.0, 0.0),
    "spike": _spike,
    "detach": lax.stop_gradient,
    "exp": jnp.exp,
    "log": lambda x: jnp.log(jnp.maximum(x, TINY)),
    "abs": jnp.abs,
    "square": jnp.square,
    "sin": jnp.sin,
    "cos": jnp.cos,
    "reciprocal": lambda x: 1.0 / x,
    "hard_sigmoid": lambda x: jnp.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "hard_tanh": lambda x: jnp.clip(x, -1.0, 1.0),
    "clip": lambda x, bound: jnp.clip(x, -bound, bound),
    "times": lambda x, factor: factor * x,
    "plus": lambda x, summand: x + summand,
    "mse": lambda r, e: jnp.mean(jnp.square(r - e)),
    "mae": lambda r, e: jnp.mean(jnp.abs(r - e)),
    "mape": lambda r, e: jnp.mean(jnp.abs(r - e) / jnp.maximum(jnp.abs(e), TINY)),
    "huber": _huber,
    "huber_modified": _huber_modified,
    "hinge": lambda r, e: jnp.mean(jnp.maximum(0.0, 1.0 - r * e)),
    "quantile": lambda r, e, q: jnp.mean(jnp.maximum(q * (e - r), (1.0 - q) * (r - e))),
    "poisson": lambda r, e: jnp.mean(r - e * jnp.log(jnp.maximum(r, TINY))),
    "log_cosh": _log_cosh,
    "cross_entropy": lambda r, e: -jnp.mean(jnp.sum(e * jnp.log(jnp.maximum(r, TINY)), axis=-1)),
    "softmax_cross_entropy": _softmax_cross_entropy,
    "binary_cross_entropy": lambda r, e: -jnp.mean(e * jnp.log(_clipped(r)) + (1.0 - e) * jnp.log1p(-_clipped(r))),
    "sigmoid_cross_entropy": lambda z, e: jnp.mean(nn.softplus(z) - z * e),
    "linear": lambda x, w, b: _product(x, w) + b,
    "product": _product,
    "add_product": lambda u, x, w: u + _product(x, w),
    "concatenate": lambda *parts: jnp.concatenate(parts, axis=-1),
    "where": jnp.where,
    "dot": lambda x, o: jnp.sum(x * o, axis=-1, keepdims=True),
    "spread": lambda b, x: jnp.broadcast_to(b, (*x.shape[:-1], b.shape[-1])),
    "history": _history,
    "norm": _norm,
    "rms_norm": _rms_norm,
}
