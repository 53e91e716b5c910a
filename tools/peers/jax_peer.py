"""JAX: one jitted call over all windows (or one a window), plain SGD, parameters and state donated."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import lax, nn

from .cases import data
from .engine import Prepared, Task, Timing, in_windows, timed

TINY = 1e-7


def _clipped(r: Any) -> Any:
    return jnp.clip(r, TINY, 1.0 - TINY)


def _huber(r: Any, e: Any, delta: float) -> Any:
    d = jnp.abs(r - e)
    return jnp.mean(jnp.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta)))


def _huber_modified(r: Any, e: Any, delta: float) -> Any:
    m = r * e
    beyond = (1.0 + delta) ** 2 - 2.0 * (1.0 + delta) * (m + delta)
    return jnp.mean(jnp.where(m >= -delta, jnp.square(jnp.maximum(0.0, 1.0 - m)), beyond))


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
    "swish": lambda x, beta: x * nn.sigmoid(beta * x),
    "softmax": nn.softmax,
    "binary_step": lambda x: jnp.where(x >= 0.0, 1.0, 0.0),
    "mse": lambda r, e: jnp.mean(jnp.square(r - e)),
    "mae": lambda r, e: jnp.mean(jnp.abs(r - e)),
    "mape": lambda r, e: jnp.mean(jnp.abs(r - e) / jnp.maximum(jnp.abs(e), TINY)),
    "huber": _huber,
    "huber_modified": _huber_modified,
    "hinge": lambda r, e: jnp.mean(jnp.maximum(0.0, 1.0 - r * e)),
    "cross_entropy": lambda r, e: -jnp.mean(jnp.sum(e * jnp.log(jnp.maximum(r, TINY)), axis=-1)),
    "softmax_cross_entropy": _softmax_cross_entropy,
    "binary_cross_entropy": lambda r, e: -jnp.mean(e * jnp.log(_clipped(r)) + (1.0 - e) * jnp.log1p(-_clipped(r))),
    "sigmoid_cross_entropy": lambda z, e: jnp.mean(nn.softplus(z) - z * e),
    "linear": lambda x, w, b: x @ w + b,
    "add_product": lambda u, x, w: u + x @ w,
    "concatenate": lambda a, b: jnp.concatenate([a, b], axis=-1),
}


class Jax:
    """The task's program under ``jax.jit``."""

    _call: Callable[[Any, Any], Any]  # all windows: (p, s) -> losses

    def __init__(self, task: Task) -> None:
        self.task, self.case = task, task.case
        written = task.program()
        unroll = task.variant.unroll
        scan = {"scan": lambda step, s, over: lax.scan(step, s, over, unroll=unroll)}
        self.window = written.bind({**FUNCTIONS, **scan})
        self.parameters = [jnp.asarray(array) for array in written.pack(task.parameters())]
        self.state = tuple(jnp.zeros((self.case.batch, width), jnp.float32) for width in written.state)
        self.windows = [in_windows(self.case, array, written.recurrent) for array in data(self.case)]

    def _update(self, carried: Any, sample: Any) -> Any:
        """One window: loss, gradient, step."""
        (p, s), (x, e) = carried, sample
        gradient = jax.value_and_grad(self.window, has_aux=True)
        (loss, s), g = gradient(p, s, x, e)
        return ([a - self.case.rate * b for a, b in zip(p, g, strict=True)], s), loss

    def prepare(self) -> Prepared:
        """Compile ahead of time, then run once."""
        started = time.perf_counter()
        if self.task.variant.how == "scan":
            self._compile_all()
        else:
            self._compile_window()
        compiling = time.perf_counter() - started
        losses = self._call(*self._fresh())
        first = [float(loss) for loss in np.asarray(losses)[: self.task.check]]
        return Prepared(_version(), compiling, first)

    def _compile_all(self) -> None:
        def train(p: Any, s: Any, x: Any, e: Any) -> Any:
            (p, s), losses = lax.scan(self._update, (p, s), (x, e))
            return p, s, losses

        samples = [jnp.asarray(array) for array in self.windows]
        call = jax.jit(train, donate_argnums=(0, 1)).lower(self.parameters, self.state, *samples).compile()
        self._call = lambda p, s: jax.block_until_ready(call(p, s, *samples))[2]

    def _compile_window(self) -> None:
        samples = [tuple(map(jnp.asarray, window)) for window in zip(*self.windows, strict=True)]
        jax.block_until_ready(samples)
        step = jax.jit(self._update, donate_argnums=0)
        call = step.lower((self.parameters, self.state), samples[0]).compile()

        def train(p: Any, s: Any) -> Any:
            carried, losses = (p, s), []
            for sample in samples:
                carried, loss = call(carried, sample)
                losses.append(loss)
            return jax.block_until_ready((carried, losses))[1]

        self._call = train

    def _fresh(self) -> Any:
        """Copies of initial parameters and state, to be donated."""
        copies = jax.tree.map(lambda array: jnp.array(array, copy=True), (self.parameters, self.state))
        return jax.block_until_ready(copies)

    def run(self) -> Timing:
        """All samples from the initial parameters."""
        p, s = self._fresh()
        return timed(lambda: self._call(p, s), self.case.samples)


def _version() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"JAX {jax.__version__} (jaxlib {jaxlib.__version__}, {jax.default_backend()}, {cores} threads)"
