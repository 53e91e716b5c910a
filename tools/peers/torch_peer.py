"""PyTorch: eager, torch.compile and torch.nn.LSTM, plain SGD with one fused update of all parameters."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .cases import data
from .engine import Prepared, Task, Timing, in_windows, timed

TINY = 1e-7
GATES = ("in_gate", "forget_gate", "candidate", "out_gate")  # the order of torch.nn.LSTM


def _linear(x: Any, w: Any, b: Any) -> Any:
    if x.dim() == 2:
        return torch.addmm(b, x, w)
    return torch.addmm(b, x.flatten(0, 1), w).unflatten(0, x.shape[:2])


def _scan(step: Any, s: Any, over: Any) -> Any:
    """``step`` once for every step of the window; what came out, stacked."""
    results = []
    for t in zip(*(array.unbind(0) for array in over), strict=True):
        s, out = step(s, t)
        results.append(out)
    return s, tuple(torch.stack(column) for column in zip(*results, strict=True))


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
    "binary_step": lambda x: torch.where(x >= 0.0, 1.0, 0.0),
    "mse": functional.mse_loss,
    "mae": functional.l1_loss,
    "mape": lambda r, e: ((r - e).abs() / e.abs().clamp(min=TINY)).mean(),
    "huber": lambda r, e, delta: functional.huber_loss(r, e, delta=delta),
    "huber_modified": _huber_modified,
    "hinge": lambda r, e: torch.relu(1.0 - r * e).mean(),
    "cross_entropy": _clipped_cross_entropy,
    "softmax_cross_entropy": _softmax_cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "sigmoid_cross_entropy": functional.binary_cross_entropy_with_logits,
    "linear": _linear,
    "add_product": torch.addmm,
    "concatenate": lambda a, b: torch.cat((a, b), -1),
    "scan": _scan,
}


class Torch:
    """The task's model, a window at a time."""

    def __init__(self, task: Task) -> None:
        torch.set_num_threads(task.threads)
        self.task, self.case = task, task.case
        written = task.program()
        self.initial = [torch.from_numpy(array) for array in written.pack(task.parameters())]
        self.widths = written.state
        self.window = written.bind(FUNCTIONS)
        if task.variant.how == "module":
            self._use_module()
        arrays = (in_windows(self.case, array, written.recurrent) for array in data(self.case))
        self.samples = list(zip(*(torch.from_numpy(array).unbind(0) for array in arrays), strict=True))
        self.windows = len(self.samples)
        self.step = _compiled_step(self) if task.variant.how == "compile" else _eager_step(self)

    def _use_module(self) -> None:
        """torch.nn.LSTM and torch.nn.Linear in place of the program. Of PyTorch's two biases one stays zero."""
        assert self.case.cell is not None
        network = _TextbookLSTM(self.task.parameters(), self.case.cell)
        self.initial = [parameter.detach().clone() for parameter in network.learning()]
        self.parameters, self.window, self.widths = network.learning(), network.window, (self.case.cell,) * 2

    def _start(self) -> tuple[list[Any], tuple[Any, ...]]:
        """Initial parameters and state."""
        state = tuple(torch.zeros(self.case.batch, width) for width in self.widths)
        if self.task.variant.how != "module":
            learns = self.task.variant.how != "compile"
            return [array.clone().requires_grad_(learns) for array in self.initial], state
        with torch.no_grad():
            for parameter, value in zip(self.parameters, self.initial, strict=True):
                parameter.copy_(value)
        return self.parameters, state

    def prepare(self) -> Prepared:
        """Compile, train the windows that are compared, and see how many windows a run can have."""
        started = time.perf_counter()
        self._train(1)
        first = time.perf_counter() - started
        losses = self._train(self.task.check)
        took = timed(lambda: self._train(self.task.check), self.task.check).seconds / max(1, self.task.check)
        self.windows = max(1, min(self.windows, int(self.task.slow / took)))
        return Prepared(_version(), max(0.0, first - took), [float(loss) for loss in losses])

    def _train(self, windows: int) -> list[Any]:
        p, s = self._start()
        losses = []
        for x, e in self.samples[:windows]:
            p, s, loss = self.step(p, s, x, e)
            losses.append(loss)
        return losses

    def run(self) -> Timing:
        """All samples, or as many as the time allows, from the initial parameters."""
        return timed(lambda: self._train(self.windows), self.windows * self.case.window)


def _eager_step(peer: Torch) -> Any:
    """Forward, backward by autograd, and one update of all parameters in place."""
    window, rate = peer.window, peer.case.rate

    def step(p: Any, s: Any, x: Any, e: Any) -> Any:
        loss, s = window(p, s, x, e)
        gradients = torch.autograd.grad(loss, p)
        with torch.no_grad():
            torch._foreach_add_(p, gradients, alpha=-rate)
        return p, tuple(state.detach() for state in s), loss.detach()

    return step


def _compiled_step(peer: Torch) -> Any:
    """Forward, backward and update as one compiled function: faster here than compiling the first two only."""
    gradient, rate = torch.func.grad_and_value(peer.window, has_aux=True), peer.case.rate

    def step(p: Any, s: Any, x: Any, e: Any) -> Any:
        gradients, (loss, s) = gradient(p, s, x, e)
        return [a - rate * b for a, b in zip(p, gradients, strict=True)], s, loss

    return torch.compile(step, dynamic=False)


class _TextbookLSTM:
    """The textbook LSTM as a user of PyTorch writes it."""

    def __init__(self, parameters: dict[str, np.ndarray[Any, Any]], width: int) -> None:
        inputs = parameters["in_gate.weight"].shape[0] - width
        self.cell = nn.LSTM(inputs, width)
        self.output = nn.Linear(width, parameters["output.bias"].shape[0])
        gates = np.concatenate([parameters[f"{gate}.weight"] for gate in GATES], axis=1)
        with torch.no_grad():
            self.cell.weight_ih_l0.copy_(torch.from_numpy(gates[:inputs].T))
            self.cell.weight_hh_l0.copy_(torch.from_numpy(gates[inputs:].T))
            self.cell.bias_ih_l0.copy_(torch.from_numpy(np.concatenate([parameters[f"{g}.bias"] for g in GATES])))
            self.cell.bias_hh_l0.zero_()
            self.output.weight.copy_(torch.from_numpy(parameters["output.weight"].T))
            self.output.bias.copy_(torch.from_numpy(parameters["output.bias"]))
        self.cell.bias_hh_l0.requires_grad_(False)

    def learning(self) -> list[Any]:
        """All parameters but the second bias."""
        everything = [*self.cell.parameters(), *self.output.parameters()]
        return [parameter for parameter in everything if parameter.requires_grad]

    def window(self, p: Any, s: Any, x: Any, e: Any) -> Any:
        """Loss and the state (h, c) after a window."""
        hidden, (h, c) = self.cell(x, (s[0][None], s[1][None]))
        return functional.mse_loss(self.output(hidden), e), (h[0], c[0])


def _version() -> str:
    return f"PyTorch {torch.__version__} ({torch.get_num_threads()} threads)"
