"""PyTorch: eager, torch.compile and its own layers, plain SGD with one fused update of all parameters."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from .engine import SPARSE, Prepared, Task, Timing, timed
from .torch_functions import CONVOLUTIONS, FUNCTIONS, linear_loop, parallel_scan
from .torch_modules import MODULES


class Torch:
    """The task's model, a window at a time."""

    def __init__(self, task: Task) -> None:
        torch.set_num_threads(task.threads)
        self.task, self.case = task, task.case
        if task.variant.how == "module":
            self._use_module()
        else:
            self._use_program()
        arrays = (torch.from_numpy(array).unbind(0) for array in task.windows())
        self.samples = list(zip(*arrays, strict=True))
        self.windows = len(self.samples)
        self.step = _compiled_step(self) if task.variant.how == "compile" else _eager_step(self)

    def _use_program(self) -> None:
        written, variant, parameters = self.task.written, self.task.variant, self.task.parameters()
        functions = {"linear_scan": parallel_scan if variant.parallel else linear_loop}
        functions["convolution"] = CONVOLUTIONS[variant.convolution]
        self.initial = [torch.from_numpy(array) for array in written.pack(parameters)]
        self.shapes = written.start(self.case.batch)
        self.window = written.bind({**FUNCTIONS, **functions}, self._constants(written.constants(parameters)))

    def _constants(self, arrays: dict[str, Any]) -> dict[str, Any]:
        """Parameters that never learn; matrices transposed and without their zeros where the variant wants that."""
        sparse = self.task.variant.sparse
        return {
            name: torch.from_numpy(array.T.copy()).to_sparse_csr()
            if sparse and array.ndim == 2 and np.mean(array != 0) < SPARSE
            else torch.from_numpy(array)
            for name, array in arrays.items()
        }

    def _use_module(self) -> None:
        module = MODULES[self.case.module or ""](self.task.parameters(), self.case.cells)
        self.initial = [parameter.detach().clone() for parameter in module.learning]
        self.parameters, self.window = module.learning, module.window
        self.shapes = [(layers, self.case.batch, width) for layers, width in module.state]

    def _start(self) -> tuple[list[Any], tuple[Any, ...]]:
        """Initial parameters and state."""
        state = tuple(torch.zeros(shape) for shape in self.shapes)
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

    def first_run(self) -> None:
        """Compile where that is needed, and train all windows once."""
        self._train(self.windows)

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


def _version() -> str:
    return f"PyTorch {torch.__version__} ({torch.get_num_threads()} threads)"
