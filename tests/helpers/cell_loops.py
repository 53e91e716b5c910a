"""The published cells of ``examples/cells``, computed by loops over the equations of their papers.

Each function yields, step by step, the vector that the output reads. All functions but ``spike`` and ``detached`` are
analytic, or choose one of two analytic pieces by the real part. So a loop also computes with complex numbers: a tiny
imaginary part on a parameter gives the derivative (the complex-step method).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Loop = Callable[["Weights", Array], Iterator[Array]]


class Weights:
    """The parameters of a model. ``prefix`` is the node, or the use of a cell, that names are relative to."""

    def __init__(self, values: dict[str, Array], prefix: str = "h") -> None:
        self._values, self._prefix = values, prefix

    def of(self, prefix: str) -> Weights:
        """The same parameters with another prefix."""
        return Weights(self._values, prefix)

    def __call__(self, node: str, *vectors: Array) -> Array:
        """W [vectors] + b of a layer; the node "" is the one that gives the cell its name."""
        result: Array = np.concatenate(vectors, axis=-1) @ self.weight(node) + self.bias(node)
        return result

    def weight(self, node: str) -> Array:
        return self._values[f"{self._named(node)}.weight"]

    def bias(self, node: str) -> Array:
        return self._values[f"{self._named(node)}.bias"]

    def _named(self, node: str) -> str:
        return ".".join(part for part in (self._prefix, node) if part)


def sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result


def softplus(x: Array) -> Array:
    result: Array = np.log(1 + np.exp(x))
    return result


def relu(x: Array) -> Array:
    return np.where(x.real > 0, x, 0)


def larger(x: Array, o: Array) -> Array:
    return np.where(x.real >= o.real, x, o)


def spike(x: Array) -> Array:
    """1 above 0, else 0, with the derivative 1 / (1 + 25 |x|)^2."""
    fired = np.where(x.real > 0, 1.0, 0.0)
    return fired + 1j * x.imag / (1 + 25 * abs(x.real)) ** 2 if np.iscomplexobj(x) else fired


def detached(x: Array) -> Array:
    return x.real


def zeros(inputs: Array, width: int) -> Array:
    """Zeros (lanes, width)."""
    return np.zeros((inputs.shape[1], width))


# LSTMs and their kin --------------------------------------------------------------------------------------------------


def peephole_lstm(w: Weights, inputs: Array) -> Iterator[Array]:
    h = c = zeros(inputs, 4)
    for x in inputs:
        i = sigmoid(w("in_sum", x, h) + w.weight("in_peep") * c)
        f = sigmoid(w("forget_sum", x, h) + w.weight("forget_peep") * c)
        c = f * c + i * np.tanh(w("candidate", x, h))
        o = sigmoid(w("out_sum", x, h) + w.weight("out_peep") * c)
        h = o * np.tanh(c)
        yield h


def cifg_lstm(w: Weights, inputs: Array) -> Iterator[Array]:
    h = c = zeros(inputs, 4)
    for x in inputs:
        f, o = sigmoid(w("forget_gate", x, h)), sigmoid(w("out_gate", x, h))
        c = f * c + (1 - f) * np.tanh(w("candidate", x, h))
        h = o * np.tanh(c)
        yield h


def multiplicative_lstm(w: Weights, inputs: Array) -> Iterator[Array]:
    h = c = zeros(inputs, 4)
    for x in inputs:
        m = w("of_input", x) * w("of_state", h)
        i, f, o = (sigmoid(w(name, x, m)) for name in ("in_gate", "forget_gate", "out_gate"))
        c = f * c + i * np.tanh(w("candidate", x, m))
        h = np.tanh(c) * o
        yield h


def slstm(w: Weights, inputs: Array) -> Iterator[Array]:
    h = c = n = m = zeros(inputs, 4)
    for x in inputs:
        log_i, log_f = w("in_log", x, h), w("forget_log", x, h)
        z, o = np.tanh(w("candidate", x, h)), sigmoid(w("out_gate", x, h))
        before, m = m, larger(log_f + m, log_i)
        i, f = np.exp(log_i - m), np.exp(log_f + before - m)
        c, n = f * c + i * z, f * n + i
        h = o * (c / n)
        yield h


def janet(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        s = w("sum", x, h)
        h = sigmoid(s) * h + (1 - sigmoid(s - 1)) * np.tanh(w("candidate", x, h))
        yield h


def ran(w: Weights, inputs: Array) -> Iterator[Array]:
    h = c = zeros(inputs, 4)
    for x in inputs:
        i, f = sigmoid(w("i", x, h)), sigmoid(w("f", x, h))
        c = i * w("fresh", x) + f * c
        h = np.tanh(c)
        yield h


# Gated units ----------------------------------------------------------------------------------------------------------


def mgu(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        f = sigmoid(w("gate", x, h))
        h = (1 - f) * h + f * np.tanh(w("candidate", x, f * h))
        yield h


def ugrnn(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        g = sigmoid(w("gate", x, h))
        h = g * h + (1 - g) * np.tanh(w("candidate", x, h))
        yield h


def mut1(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 3)
    for x in inputs:
        z, r = sigmoid(w("update", x)), sigmoid(w("reset", x, h))
        h = np.tanh(w("again", r * h) + np.tanh(x)) * z + h * (1 - z)
        yield h


def star(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        k, z = sigmoid(w("gate", x, h)), np.tanh(w("candidate", x))
        h = np.tanh((1 - k) * h + k * z)
        yield h


def minimal_rnn(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        z = np.tanh(w("fresh", x))
        u = sigmoid(w("update", z, h))
        h = u * h + (1 - u) * z
        yield h


def cfn(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        theta, eta = sigmoid(w("t", x, h)), sigmoid(w("e", x, h))
        h = theta * np.tanh(h) + eta * np.tanh(w("fresh", x))
        yield h


def bistable(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        a = 1 + np.tanh(w("a_new", x) + w.weight("a_old") * h)
        c = sigmoid(w("c_new", x) + w.weight("c_old") * h)
        h = c * h + (1 - c) * np.tanh(w("fresh", x) + a * h)
        yield h


def cfc(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        s = sigmoid(-w("f", x, h))
        h = s * np.tanh(w("g", x, h)) + (1 - s) * np.tanh(w("k", x, h))
        yield h


def fast_grnn(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    zeta, nu = sigmoid(w.bias("z_raw")), sigmoid(w.bias("n_raw"))
    for x in inputs:
        s = np.concatenate([x, h], axis=-1) @ w.weight("sum")
        z = sigmoid(s + w.bias("sum"))
        c = np.tanh(s + w.bias("sum") + w.bias("apart"))
        h = (zeta * (1 - z) + nu) * c + z * h
        yield h


def recurrent_highway(w: Weights, inputs: Array) -> Iterator[Array]:
    s = zeros(inputs, 4)
    for x in inputs:
        k, t = np.tanh(w("fresh_1", x, s)), sigmoid(w("gate_1", x, s))
        s = k * t + s * (1 - t)
        k, t = np.tanh(w("fresh_2", s)), sigmoid(w("gate_2", s))
        s = k * t + s * (1 - t)
        yield s


# Recurrences element by element ---------------------------------------------------------------------------------------


def sru(w: Weights, inputs: Array) -> Iterator[Array]:
    c = zeros(inputs, 3)
    for x in inputs:
        f = sigmoid(w("forget_sum", x) + w.weight("forget_peep") * c)
        r = sigmoid(w("reset_sum", x) + w.weight("reset_peep") * c)
        c = f * c + (1 - f) * w("fresh", x)
        yield r * c + (1 - r) * x


def qrnn(w: Weights, inputs: Array) -> Iterator[Array]:
    c, before = zeros(inputs, 4), zeros(inputs, 3)
    for x in inputs:
        z = np.tanh(w("fresh_sum", before, x))
        f, o = sigmoid(w("forget_sum", before, x)), sigmoid(w("out_sum", before, x))
        c, before = f * c + (1 - f) * z, x
        yield o * c


def rotations(w: Weights, inputs: Array, size: int, scale: Callable[[Array], Array]) -> Iterator[tuple[Array, Array]]:
    """The real and the imaginary half of a state that rotates and decays. Two layers, times ``scale(radius)``, drive
    it."""
    r = m = zeros(inputs, size)
    radius, angle = np.exp(-np.exp(w.bias("nu"))), np.exp(w.bias("theta"))
    for x in inputs:
        g = scale(radius)
        r, m = (
            radius * np.cos(angle) * r - radius * np.sin(angle) * m + g * w("real_in", x),
            radius * np.sin(angle) * r + radius * np.cos(angle) * m + g * w("other_in", x),
        )
        yield r, m


def lru(w: Weights, inputs: Array) -> Iterator[Array]:
    states = rotations(w, inputs, 5, lambda radius: np.exp(w.bias("gamma")))
    for x, (r, m) in zip(inputs, states, strict=True):
        yield w("", r, m, x)


def rtu(w: Weights, inputs: Array) -> Iterator[Array]:
    for r, m in rotations(w, inputs, 3, lambda radius: np.sqrt(1 - radius**2)):
        yield np.tanh(np.concatenate([r, m], axis=-1))


def mamba(w: Weights, inputs: Array) -> Iterator[Array]:
    s = zeros(inputs, 3)
    for x in inputs:
        d = softplus(w("step_in", x) @ w.weight("d") + w.bias("d"))
        s = np.exp(-np.exp(w.bias("l")) * d) * s + d * w("b", x) * x
        yield w("c", x) * s + w.weight("direct") * x


def rg_lru(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 3)
    for x in inputs:
        a = sigmoid(w.bias("l")) ** (8 * sigmoid(w("r", x)))
        h = a * h + np.sqrt(1 - a**2) * (sigmoid(w("i", x)) * x)
        yield h


def rwkv(w: Weights, inputs: Array) -> Iterator[Array]:
    n = d = zeros(inputs, 4)
    before = zeros(inputs, 3)
    decay = np.exp(-np.exp(w.bias("w")))
    for x in inputs:
        mixed = [w.weight(f"{name}.part") * x + (1 - w.weight(f"{name}.part")) * before for name in ("r_sum", "k", "v")]
        r, k, v = (w(name, mix) for name, mix in zip(("r_sum", "k", "v"), mixed, strict=True))
        bonus = np.exp(w.bias("u") + k)
        yield w("", sigmoid(r) * (n + bonus * v) / (d + bonus))
        n, d, before = decay * n + np.exp(k) * v, decay * d + np.exp(k), x


# Plain recurrent networks ---------------------------------------------------------------------------------------------


def elman(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        h = sigmoid(w("", x, h))
        yield h


def jordan(w: Weights, inputs: Array) -> Iterator[Array]:
    s = y = zeros(inputs, 2)
    for x in inputs:
        s = 0.5 * s + y
        y = sigmoid(w("", sigmoid(w("k", x, s))))
        yield y


def irnn(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        h = relu(w("seen", x) + w("recalled", h))
        yield h


def multiplicative_rnn(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        h = np.tanh(w("", x, w("of_input", x) * w("of_state", h)))
        yield h


def layer_norm_rnn(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        a = w("sum", x, h)
        apart = a - a.mean(axis=-1, keepdims=True)
        scaled = apart / np.sqrt((apart**2).mean(axis=-1, keepdims=True) + 1e-5)
        h = np.tanh(w.weight("normal") * scaled + w.bias("normal"))
        yield h


def scrn(w: Weights, inputs: Array) -> Iterator[Array]:
    h, s = zeros(inputs, 4), zeros(inputs, 3)
    for x in inputs:
        s = (1 - 0.95) * w("fresh", x) + 0.95 * s
        h = sigmoid(w("", x, h, s))
        yield np.concatenate([h, s], axis=-1)


def statistical_unit(w: Weights, inputs: Array) -> Iterator[Array]:
    p = m = n = zeros(inputs, 4)
    for x in inputs:
        p = relu(w("fresh", x, relu(w("recalled", p, m, n))))
        m, n = 0.5 * m + (1 - 0.5) * p, 0.95 * n + (1 - 0.95) * p
        yield relu(w("", p, m, n))


def clockwork(w: Weights, inputs: Array) -> Iterator[Array]:
    fast = medium = slow = zeros(inputs, 2)
    for t, x in enumerate(inputs):
        read = {"slow": [x, slow], "medium": [x, slow, medium], "fast": [x, slow, medium, fast]}
        new = {name: np.tanh(w(f"{name}.candidate", *vectors)) for name, vectors in read.items()}
        fast = new["fast"]
        medium = new["medium"] if t % 2 == 0 else medium
        slow = new["slow"] if t % 4 == 0 else slow
        yield np.concatenate([fast, medium, slow], axis=-1)


def echo_state(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 20)
    for x in inputs:
        h = (1 - 0.3) * h + 0.3 * np.tanh(w("fed", x) + w("recalled", h))
        yield np.concatenate([h, x], axis=-1)


def lmu(w: Weights, inputs: Array) -> Iterator[Array]:
    h, m = zeros(inputs, 4), zeros(inputs, 6)
    for x in inputs:
        m = w("from_memory", m) + w("from_signal", w("u", x, h, m))
        h = np.tanh(w("", x, h, m))
        yield h


def legendre(order: int, window: float) -> tuple[Array, Array]:
    """The matrices A and B of the Legendre memory unit, equations 1 and 5 of its paper, Euler's method."""
    i, j = np.mgrid[:order, :order]
    a = (2 * i + 1.0) * np.where(i < j, -1.0, (-1.0) ** (i - j + 1.0))
    b = ((2 * i + 1.0) * (-1.0) ** i)[:, :1]
    return a / window + np.eye(order), b / window


# Oscillators, spikes, delays ------------------------------------------------------------------------------------------


def cornn(w: Weights, inputs: Array) -> Iterator[Array]:
    y = z = zeros(inputs, 4)
    for x in inputs:
        z = z + 0.1 * (np.tanh(w("drive", x, y, z)) - 1 * y - 0.5 * z)
        y = y + 0.1 * z
        yield y


def lem(w: Weights, inputs: Array) -> Iterator[Array]:
    h = z = zeros(inputs, 4)
    for x in inputs:
        s, t = sigmoid(w("share_s", x, h)), sigmoid(w("share_t", x, h))
        z = (1 - s) * z + s * np.tanh(w("fresh_z", x, h))
        h = (1 - t) * h + t * np.tanh(w("fresh_h", x, z))
        yield h


def unicornn(w: Weights, inputs: Array) -> Iterator[Array]:
    h = z = zeros(inputs, 4)
    s = 0.3 * sigmoid(w.bias("c"))
    for x in inputs:
        z = z - s * (np.tanh(w.weight("recalled") * h + w("sum", x)) + 1 * h)
        h = h + s * z
        yield h


def recurrent_lif(w: Weights, inputs: Array) -> Iterator[Array]:
    u = s = zeros(inputs, 4)
    for x in inputs:
        u = 0.9 * u + w("current", x, s) - detached(s)
        s = spike(u - 1)
        yield s


def synaptic_lif(w: Weights, inputs: Array) -> Iterator[Array]:
    i = u = s = zeros(inputs, 4)
    for x in inputs:
        u = 0.9 * u + i - detached(s)
        i = 0.8 * i + w("sum", x, s)
        s = spike(u - 1)
        yield s


def antisymmetric(w: Weights, inputs: Array) -> Iterator[Array]:
    h = zeros(inputs, 4)
    for x in inputs:
        turned = w("to_first", w.bias("a") * w("second", h)) - w("to_second", w.bias("a") * w("first", h))
        h = h + 0.1 * np.tanh(turned - 0.01 * h + w("fed", x))
        yield h


def pair_matrices(units: int) -> dict[str, Array]:
    """The given matrices of the antisymmetric RNN: two that pick the units of each pair, and two that add to them."""
    first, second = (np.eye(units)[:, one] for one in np.triu_indices(units, 1))
    names = ("h.first.weight", "h.second.weight", "h.to_first.weight", "h.to_second.weight")
    return dict(zip(names, (first, second, first.T, second.T), strict=True))


def narx(w: Weights, inputs: Array) -> Iterator[Array]:
    x1 = x2 = zeros(inputs, 3)
    y1 = y2 = zeros(inputs, 2)
    for x in inputs:
        y = w("", np.tanh(w("k", x, x1, x2, y1, y2)))
        yield y
        x1, x2, y1, y2 = x, x1, y, y1


def tdnn(w: Weights, inputs: Array) -> Iterator[Array]:
    last_x = deque([zeros(inputs, 3)] * 3, maxlen=3)
    last_k = deque([zeros(inputs, 5)] * 5, maxlen=5)
    for x in inputs:
        last_x.append(x)
        last_k.append(sigmoid(w("sum_1", *last_x)))
        yield sigmoid(w("sum_2", *last_k))


def wavenet(w: Weights, inputs: Array) -> Iterator[Array]:
    pasts = [deque([zeros(inputs, 4)] * dilation, maxlen=dilation) for dilation in (1, 2, 4)]
    for x in inputs:
        v, skips = w.of("start")("", x), 0
        for name, past in zip(("a.z", "b.z", "c"), pasts, strict=True):
            gated, block = w.of(name), w.of(name[0])
            z = np.tanh(gated("fresh_sum", past[0], v)) * sigmoid(gated("gate_sum", past[0], v))
            past.append(v)
            skips = skips + (w.of("last_skip")("", z) if name == "c" else block("skip", z))
            v = v if name == "c" else v + block("residual", z)
        yield relu(w.of("mixed")("", relu(skips)))


CELLS: dict[str, Loop] = {
    loop.__name__: loop
    for loop in (
        antisymmetric, bistable, cfc, cfn, cifg_lstm, clockwork, cornn, echo_state, elman, fast_grnn, irnn, janet,
        jordan, layer_norm_rnn, lem, lmu, lru, mamba, mgu, minimal_rnn, multiplicative_lstm, multiplicative_rnn, mut1,
        narx, peephole_lstm, qrnn, ran, recurrent_highway, recurrent_lif, rg_lru, rtu, rwkv, scrn, slstm, sru, star,
        statistical_unit, synaptic_lif, tdnn, ugrnn, unicornn, wavenet,
    )
}  # fmt: skip
