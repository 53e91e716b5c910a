"""The same recurrent networks in JAX: a scan over the steps and one compiled function for each update.

Equations, first parameters, data, batches, epochs and the choice of the best epoch are those of the peers of PyTorch.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np

from bench.entry import Entry, Run, falling, nearest_width, timed
from bench.ours import CLIP_NORM
from bench.task import NO_ANSWER, Part, Task
from bench.torch_peers import KINDS, parameters_of


def entries(task: Task) -> list[Entry]:
    """An LSTM and a GRU of the task's number of parameters."""
    return [
        Entry(f"JAX {kind}", False, task.rates, lambda seed, rate, kind=kind: train(task, kind, seed, rate), "jax")
        for kind in KINDS
    ]  # fmt: skip


def drawn(kind: str, inputs: int, width: int, outputs: int, seed: int) -> dict[str, Any]:
    """First parameters, uniform within one over the root of the width, as PyTorch draws them."""
    rng, gates, bound = np.random.default_rng(seed), {"LSTM": 4, "GRU": 3}[kind], width**-0.5
    shapes = {"seen": (inputs, gates * width), "seen_bias": (gates * width,), "old": (width, gates * width),
              "old_bias": (gates * width,), "head": (width, outputs), "head_bias": (outputs,)}  # fmt: skip
    return {name: rng.uniform(-bound, bound, shape).astype(np.float32) for name, shape in shapes.items()}


def step_of(kind: str, p: Any, state: Any, seen: Any) -> tuple[Any, Any]:
    """One step of the recurrent layer. seen: the input's share of all gates. Returns the state and the value."""
    import jax
    import jax.numpy as jnp

    if kind == "LSTM":
        hidden, memory = state
        i, f, g, o = jnp.split(seen + hidden @ p["old"] + p["old_bias"], 4, axis=-1)
        memory = jax.nn.sigmoid(f) * memory + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(memory)
        return (hidden, memory), hidden
    (hidden,) = state
    (r, z, n), (old_r, old_z, old_n) = (
        jnp.split(part, 3, axis=-1) for part in (seen, hidden @ p["old"] + p["old_bias"])
    )
    gate = jax.nn.sigmoid(z + old_z)
    hidden = (1 - gate) * jnp.tanh(n + jax.nn.sigmoid(r + old_r) * old_n) + gate * hidden
    return (hidden,), hidden


def logits(kind: str, every_step: bool, p: Any, inputs: Any, lengths: Any) -> Any:
    """The outputs (B, S, W_out), or (B, W_out) at the end of sequences of some lengths, before softmax or sigmoid."""
    import jax
    import jax.numpy as jnp

    seen = jnp.swapaxes(inputs, 0, 1) @ p["seen"] + p["seen_bias"]
    zero = jnp.zeros((len(inputs), p["old"].shape[0]), jnp.float32)
    _, values = jax.lax.scan(partial(step_of, kind, p), (zero,) * (2 if kind == "LSTM" else 1), seen)
    values = jnp.swapaxes(values, 0, 1)
    if not every_step:
        values = values[jnp.arange(len(inputs)), lengths - 1]
    return values @ p["head"] + p["head_bias"]


def loss_of(loss: str, found: Any, wanted: Any) -> Any:
    """The mean loss of all that counts."""
    import jax
    import jax.numpy as jnp

    if loss == "cross_entropy":
        counts = wanted != NO_ANSWER
        log = jax.nn.log_softmax(found)
        each = -jnp.take_along_axis(log, jnp.where(counts, wanted, 0)[..., None], axis=-1)[..., 0]
    else:
        counts = ~jnp.isnan(wanted)
        known = jnp.where(counts, wanted, 0)
        each = (found - known) ** 2 if loss == "mse" else jnp.logaddexp(0, found) - known * found
    return jnp.where(counts, each, 0).sum() / counts.sum()


@lru_cache
def compiled(kind: str, loss: str, every_step: bool) -> tuple[Any, Any, Any]:
    """Compiled functions: one update by Adam, the loss, and the outputs."""
    import jax
    import jax.numpy as jnp

    outputs = partial(logits, kind, every_step)

    def cost(p: Any, inputs: Any, lengths: Any, wanted: Any) -> Any:
        return loss_of(loss, outputs(p, inputs, lengths), wanted)

    def update(p: Any, first: Any, second: Any, count: Any, rate: Any, inputs: Any, lengths: Any, wanted: Any) -> Any:
        gradient = jax.grad(cost)(p, inputs, lengths, wanted)
        norm = jnp.sqrt(sum((one**2).sum() for one in jax.tree.leaves(gradient)))
        gradient = jax.tree.map(lambda g: g * jnp.minimum(1, CLIP_NORM / (norm + 1e-6)), gradient)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, second, gradient)
        size, scale = rate / (1 - 0.9**count), 1 - 0.999**count
        p = jax.tree.map(lambda w, m, v: w - size * m / (jnp.sqrt(v / scale) + 1e-8), p, first, second)
        return p, first, second

    return jax.jit(update, donate_argnums=(0, 1, 2)), jax.jit(cost), jax.jit(outputs)


def padded(part: Part) -> tuple[Any, Any, Any]:
    """Inputs (N, S, W) with zeros after the end of each sequence, lengths (N,), and what is expected."""
    lengths = np.array([len(sequence) for sequence in part.inputs], np.int32)
    inputs = np.zeros((len(lengths), lengths.max(), np.shape(part.inputs[0])[1]), np.float32)
    for row, sequence in zip(inputs, part.inputs, strict=True):
        row[: len(sequence)] = sequence
    return inputs, lengths, part.expected.astype(np.int32 if part.expected.dtype.kind in "iu" else np.float32)


def train(task: Task, kind: str, seed: int, rate: float) -> Run:
    """Train a network with one seed, and go back to the epoch with the lowest loss of the data to choose by."""
    import jax

    width = nearest_width(lambda width: parameters_of(kind, width, task.inputs, task.outputs), task.parameters)
    update, cost, outputs = compiled(kind, task.loss, task.train.every_step)
    inputs, lengths, wanted = padded(task.train)
    choose = padded(task.choose)
    rates, rng = falling(rate, task.epochs), np.random.default_rng(seed)

    def learn() -> tuple[Any, float]:
        p = jax.tree.map(jax.numpy.asarray, drawn(kind, task.inputs, width, task.outputs, seed))
        first, second = (jax.tree.map(jax.numpy.zeros_like, p) for _ in range(2))
        best, lowest, waited, count = jax.tree.map(np.array, p), np.inf, 0, 0
        for epoch in range(task.epochs):
            order = rng.permutation(len(inputs))
            for begin in range(0, len(order), task.batch):
                chosen, count = order[begin : begin + task.batch], count + 1
                p, first, second = update(p, first, second, float(count), rates(epoch), inputs[chosen],
                                          lengths[chosen], wanted[chosen])  # fmt: skip
            reached = float(cost(p, *choose))
            if reached < lowest:
                best, lowest, waited = jax.tree.map(np.array, p), reached, 0
            elif (waited := waited + 1) == task.patience:
                break
        return best, lowest

    (best, lowest), seconds = timed(learn)

    def score(part: Part) -> float:
        found = np.asarray(outputs(best, *padded(part)[:2]))
        if task.loss == "binary_cross_entropy":
            found = 1 / (1 + np.exp(-found))
        return task.score(part, found if part.every_step else found[:, None])

    return Run(
        score(task.test), score(task.choose), lowest, seconds, parameters_of(kind, width, task.inputs, task.outputs)
    )
