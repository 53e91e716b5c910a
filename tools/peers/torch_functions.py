"""The functions of programs in PyTorch."""

from __future__ import annotations

from math import log
from typing import Any

import torch
from torch.nn import functional

TINY = 1e-7


def _flat(multiply: Any, x: Any) -> Any:
    """A product of matrices for vectors with an axis of time, too."""
    return multiply(x) if x.dim() == 2 else multiply(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def _linear(x: Any, w: Any, b: Any) -> Any:
    if w.layout != torch.strided:  # a sparse matrix, transposed
        return _flat(lambda rows: torch.addmm(b[:, None], w, rows.T).T, x)
    return _flat(lambda rows: torch.addmm(b, rows, w), x)


def _product(x: Any, w: Any) -> Any:
    return x @ w if w.layout == torch.strided else (w @ x.T).T


def _add_product(u: Any, x: Any, w: Any) -> Any:
    return torch.addmm(u, x, w) if w.layout == torch.strided else torch.addmm(u.T, w, x.T).T


def _history(s: Any, v: Any) -> Any:
    return torch.cat((s, v))


def _as_product(h: Any, w: Any, b: Any, taps: int, dilation: int) -> Any:
    steps = len(h) - (taps - 1) * dilation
    return _linear(torch.cat([h[tap * dilation :][:steps] for tap in range(taps)], -1), w, b)


def _as_sum(h: Any, w: Any, b: Any, taps: int, dilation: int) -> Any:
    steps, each = len(h) - (taps - 1) * dilation, w.tensor_split(taps)
    total = torch.addmm(b, h[:steps].flatten(0, 1), each[0])
    for tap in range(1, taps):
        total = torch.addmm(total, h[tap * dilation :][:steps].flatten(0, 1), each[tap])
    return total.unflatten(0, (steps, h.shape[1]))


def _as_convolution(h: Any, w: Any, b: Any, taps: int, dilation: int) -> Any:
    kernel = w.unflatten(0, (taps, -1)).permute(2, 1, 0)
    return functional.conv1d(h.permute(1, 2, 0), kernel, b, dilation=dilation).permute(2, 0, 1)


CONVOLUTIONS = {"product": _as_product, "sum": _as_sum, "convolution": _as_convolution}


def _scan(step: Any, s: Any, over: Any) -> Any:
    """``step`` once for every step of the window; what came out, stacked."""
    results = []
    for t in zip(*(array.unbind(0) for array in over), strict=True):
        s, out = step(s, t)
        results.append(out)
    return s, tuple(torch.stack(column) for column in zip(*results, strict=True))


def linear_loop(a: Any, b: Any, s: Any) -> Any:
    """All of h = a h' + b from the first h' on, step by step."""
    results = []
    for factor, summand in zip(a.unbind(0), b.unbind(0), strict=True):
        s = torch.addcmul(summand, factor, s)
        results.append(s)
    return torch.stack(results)


def parallel_scan(a: Any, b: Any, s: Any) -> Any:
    """The same, all steps at once: each pass doubles how many steps a pair (a, b) stands for."""
    b = torch.cat((torch.addcmul(b[:1], a[:1], s[None]), b[1:]))
    step = 1
    while step < len(a):
        b = torch.cat((b[:step], torch.addcmul(b[step:], a[step:], b[:-step])))
        a = torch.cat((a[:step], a[step:] * a[:-step]))
        step *= 2
    return b


class _Spike(torch.autograd.Function):
    """1 above 0, with a surrogate derivative."""

    @staticmethod
    def forward(x: Any, beta: float) -> Any:
        return (x > 0.0).to(x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, ctx.beta = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (x,) = ctx.saved_tensors
        return gradients[0] / (1.0 + ctx.beta * x.abs()).square(), None


def _rms_norm(x: Any, w: Any, epsilon: float) -> Any:
    return functional.rms_norm(x, w.shape, w, epsilon)


def _huber_modified(r: Any, e: Any, delta: float) -> Any:
    m = r * e
    beyond = (1.0 + delta) ** 2 - 2.0 * (1.0 + delta) * (m + delta)
    return torch.where(m >= -delta, torch.relu(1.0 - m).square(), beyond).mean()


def _clipped_cross_entropy(r: Any, e: Any) -> Any:
    return -(e * r.clamp(min=TINY).log()).sum(-1).mean()


def _binary_cross_entropy(r: Any, e: Any) -> Any:
    clipped = r.clamp(TINY, 1.0 - TINY)
    return -(e * clipped.log() + (1.0 - e) * torch.log1p(-clipped)).mean()


def _softmax_cross_entropy(z: Any, e: Any) -> Any:
    return functional.cross_entropy(z.flatten(0, -2), e.flatten(0, -2))


def _log_cosh(r: Any, e: Any) -> Any:
    d = (r - e).abs()
    return (d + functional.softplus(-2.0 * d) - log(2.0)).mean()


FUNCTIONS: dict[str, Any] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "relu_leaky": functional.leaky_relu,
    "relu_parametric": functional.leaky_relu,
    "elu": functional.elu,
    "selu": functional.selu,
    "gelu": lambda x: functional.gelu(x, approximate="tanh"),
    "swish": lambda x, beta: functional.silu(x) if beta == 1.0 else x * torch.sigmoid(beta * x),
    "softmax": lambda x: torch.softmax(x, -1),
    "gelu_exact": functional.gelu,
    "mish": functional.mish,
    "softplus": functional.softplus,
    "softsign": functional.softsign,
    "spike": _Spike.apply,
    "detach": torch.Tensor.detach,
    "exp": torch.exp,
    "log": lambda x: x.clamp(min=TINY).log(),
    "abs": torch.abs,
    "square": torch.square,
    "sin": torch.sin,
    "cos": torch.cos,
    "reciprocal": torch.reciprocal,
    "hard_sigmoid": functional.hardsigmoid,
    "hard_tanh": functional.hardtanh,
    "clip": lambda x, bound: x.clamp(-bound, bound),
    "times": lambda x, factor: factor * x,
    "plus": lambda x, summand: x + summand,
    "binary_step": lambda x: torch.where(x >= 0.0, 1.0, 0.0),
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "mape": lambda r, e: ((r - e).abs() / e.abs().clamp(min=TINY)).mean(),
    "huber": lambda r, e, delta: functional.huber_loss(r, e, delta=delta),
    "huber_modified": _huber_modified,
    "hinge": lambda r, e: torch.relu(1.0 - r * e).mean(),
    "quantile": lambda r, e, q: torch.maximum(q * (e - r), (1.0 - q) * (r - e)).mean(),
    "poisson": lambda r, e: (r - e * r.clamp(min=TINY).log()).mean(),
    "log_cosh": _log_cosh,
    "cross_entropy": _clipped_cross_entropy,
    "softmax_cross_entropy": _softmax_cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "sigmoid_cross_entropy": functional.binary_cross_entropy_with_logits,
    "linear": _linear,
    "product": _product,
    "add_product": _add_product,
    "concatenate": lambda *parts: torch.cat(parts, -1),
    "where": torch.where,
    "dot": lambda x, o: (x * o).sum(-1, keepdim=True),
    "spread": lambda b, x: b.expand(*x.shape[:-1], -1),
    "history": _history,
    "norm": lambda x, w, b, epsilon: functional.layer_norm(x, w.shape, w, b, epsilon),
    "rms_norm": _rms_norm,
    "scan": _scan,
}
