"""The recurrent networks of PyTorch: the peer of examples/real, with one of two numbers of threads and any loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bench.entry import Entry, Run, falling, nearest_width, processors, timed
from bench.ours import CLIP_NORM
from bench.task import Part, Task

KINDS = ("LSTM", "GRU")


def parameters_of(kind: str, width: int, inputs: int, outputs: int) -> int:
    """The number of parameters of a recurrent layer of PyTorch and a linear one."""
    return {"LSTM": 4, "GRU": 3}[kind] * width * (inputs + width + 2) + (width + 1) * outputs


def entries(task: Task) -> list[Entry]:
    """An LSTM and a GRU of the task's number of parameters, and what else a task compares with."""

    def recurrent(kind: str) -> Callable[[], Any]:
        def make() -> Any:
            import torch_peer

            answers = "every" if task.train.every_step else "last"
            width = nearest_width(
                lambda width: parameters_of(kind, width, task.inputs, task.outputs), task.parameters
            )  # fmt: skip
            return torch_peer.Recurrent(kind, task.inputs, width, task.outputs, answers)

        return make

    networks = {f"PyTorch {kind}": recurrent(kind) for kind in KINDS} | dict(task.peers)
    return [
        Entry(name, False, task.rates, lambda seed, rate, make=make: train(task, make, seed, rate), "torch")
        for name, make in networks.items()
    ]  # fmt: skip


def train(task: Task, make: Callable[[], Any], seed: int, rate: float) -> Run:
    """Train a network with one seed, and go back to the epoch with the lowest loss of the data to choose by."""
    import torch
    import torch_peer

    torch.manual_seed(seed)
    net = make()
    loss = binary_loss if task.loss == "binary_cross_entropy" else torch_peer.loss_of
    how = {"epochs": task.epochs, "batch": task.batch, "rate": falling(rate, task.epochs), "patience": task.patience,
           "clip_norm": CLIP_NORM, "loss": loss}  # fmt: skip
    torch.set_num_threads(quickest_threads(task, make, loss))
    train, choose = (part.inputs for part in (task.train, task.choose))
    learn = lambda: torch_peer.learn(net, train, task.train.expected, (choose, task.choose.expected), **how)  # noqa: E731
    _, seconds = timed(learn)
    with torch.no_grad():
        lowest = loss(net(*torch_peer.padded(choose)), torch_peer.expected_tensor(task.choose.expected)).item()
    scores = [task.score(part, answers(task, net, part)) for part in (task.test, task.choose)]
    return Run(*scores, lowest, seconds, sum(parameter.numel() for parameter in net.parameters()))


def binary_loss(found: Any, expected: Any) -> Any:
    """The binary cross entropy of all numbers that are known, from logits."""
    import torch

    known = ~expected.isnan()
    return torch.nn.functional.binary_cross_entropy_with_logits(found[known], expected[known])


def answers(task: Task, net: Any, part: Part) -> Any:
    """The answers of a network in the form of ours: those at every step, or a single one for each sequence."""
    import torch
    import torch_peer

    found = torch_peer.predict(net, part.inputs)
    if task.loss == "binary_cross_entropy":
        found = torch.sigmoid(torch.as_tensor(found)).numpy()
    return found if part.every_step else found[:, None]


_THREADS: dict[tuple[str, int, int], int] = {}  # what was found for a task, its width and its batch


def quickest_threads(task: Task, make: Callable[[], Any], loss: Any) -> int:
    """One thread, or as many as there are processors: whichever is quicker for a few updates. This is not timed."""
    import torch
    import torch_peer

    several = processors()
    state = torch.get_rng_state()
    net = make()
    key = task.name, sum(parameter.numel() for parameter in net.parameters()), task.batch
    if key not in _THREADS:
        few = 3 * task.batch
        data = task.train.inputs[:few], task.train.expected[:few]
        how = {"epochs": 1, "batch": task.batch, "rate": lambda epoch: 0.001, "patience": 1, "loss": loss}
        taken = dict.fromkeys((1, several), math.inf)
        for threads in [1, several] * 3:
            torch.set_num_threads(threads)
            _, seconds = timed(lambda: torch_peer.learn(net, *data, data, **how))
            taken[threads] = min(taken[threads], seconds)
        _THREADS[key] = min(taken, key=lambda threads: taken[threads])
    torch.set_rng_state(state)
    return _THREADS[key]


def flat_readout(recurrent: Any, steps: int, width: int, outputs: int) -> Any:
    """A network of PyTorch whose linear output reads the recurrent layer's values of all steps."""
    import torch

    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.recurrent = recurrent
            self.head = torch.nn.Linear(steps * width, outputs)

        def forward(self, inputs: Any, lengths: Any) -> Any:
            return self.head(self.recurrent(inputs)[0].flatten(1))

    return Flat()
