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
from jax import lax

from .engine import SPARSE, Prepared, Task, Timing, timed
from .jax_functions import CONVOLUTIONS, FUNCTIONS, Sparse, linear_loop, parallel_scan, scan


class Jax:
    """The task's program under ``jax.jit``."""

    _call: Callable[[Any, Any], Any]  # all windows: (p, s) -> losses

    def __init__(self, task: Task) -> None:
        self.task, self.case = task, task.case
        written, parameters = task.written, task.parameters()
        functions = {"scan": scan(task.variant.unroll), "convolution": CONVOLUTIONS[task.variant.convolution]}
        functions["linear_scan"] = parallel_scan if task.variant.parallel else linear_loop(task.variant.unroll)
        self.window = written.bind({**FUNCTIONS, **functions}, self._constants(written.constants(parameters)))
        self.parameters = [jnp.asarray(array) for array in written.pack(parameters)]
        self.state = tuple(jnp.zeros(shape, jnp.float32) for shape in written.start(self.case.batch))
        self.windows = task.windows()

    def _constants(self, arrays: dict[str, Any]) -> dict[str, Any]:
        """Parameters that never learn; matrices without their zeros where the variant wants that."""
        sparse = self.task.variant.sparse
        return {
            name: Sparse.of(array)
            if sparse and array.ndim == 2 and np.mean(array != 0) < SPARSE
            else jnp.asarray(array)
            for name, array in arrays.items()
        }

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

    def first_run(self) -> None:
        """Compile, and train all windows once."""
        self.prepare()

    def run(self) -> Timing:
        """All samples from the initial parameters."""
        p, s = self._fresh()
        return timed(lambda: self._call(p, s), self.case.samples)


class JaxMany(Jax):
    """Many models of one text and the same data, by ``jax.vmap``; each has parameters and state of its own."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)

        def repeated(array: Any) -> Any:
            return jnp.repeat(array[None], task.models, axis=0)

        self.parameters, self.state = jax.tree.map(repeated, (self.parameters, self.state))

    def _update(self, carried: Any, sample: Any) -> Any:
        return jax.vmap(super()._update, in_axes=(0, None))(carried, sample)

    def prepare(self) -> Prepared:
        """Compile ahead of time, then run once. The losses are those of the first model."""
        started = time.perf_counter()
        self._compile_all()
        compiling = time.perf_counter() - started
        losses = np.asarray(self._call(*self._fresh()))
        return Prepared(_version(), compiling, [float(loss) for loss in losses[: self.task.check, 0]])


def _version() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"JAX {jax.__version__} (jaxlib {jaxlib.__version__}, {jax.default_backend()}, {cores} threads)"
