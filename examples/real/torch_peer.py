"""The peer of the sequence examples: a recurrent layer and a linear one in PyTorch, trained in the same way as ours.

The same data, number of epochs, batches, optimizer (Adam) and rate; the same held-out sequences decide which epoch is
the best, and when training stops.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)  # for networks of this size, one thread is quicker than two


class Recurrent(nn.Module):
    """An LSTM or GRU and a linear layer. answers: "last" for one at the end of each sequence, "every" for all steps."""

    def __init__(self, kind: str, inputs: int, width: int, outputs: int, answers: str = "last"):
        super().__init__()
        self.recurrent = getattr(nn, kind.upper())(inputs, width, batch_first=True)
        self.head = nn.Linear(width, outputs)
        self.answers = answers

    def forward(self, inputs: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        values, _ = self.recurrent(inputs)
        return self.head(values[torch.arange(len(lengths)), lengths - 1] if self.answers == "last" else values)

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


def padded(sequences: Sequence[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences as one tensor (N, S, W), zero after the end of each, and their lengths (N,)."""
    tensors = [torch.as_tensor(np.array(sequence), dtype=torch.float32) for sequence in sequences]
    return nn.utils.rnn.pad_sequence(tensors, batch_first=True), torch.tensor([len(tensor) for tensor in tensors])


def expected_tensor(expected: Any) -> torch.Tensor:
    """Labels as integers, all else as float32."""
    array = np.array(expected)
    return torch.as_tensor(array, dtype=torch.int64 if array.dtype.kind in "iu" else torch.float32)


def loss_of(found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Cross entropy for labels, without those of -100; else the mean squared error of all numbers that are known."""
    if not expected.is_floating_point():
        return nn.functional.cross_entropy(found.flatten(0, -2), expected.flatten())
    known = ~expected.isnan()
    return ((found[known] - expected[known]) ** 2).mean()


def learn(model: Recurrent, inputs: Any, expected: Any, validation: Any, *, epochs: int, batch: int,
          rate: Callable[[int], float], patience: int, clip_norm: float = math.inf,
          loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = loss_of) -> Recurrent:  # fmt: skip
    """Train, and go back to the epoch with the lowest loss of the held-out sequences. rate: of each epoch, from 0."""
    (sequences, lengths), wanted = padded(inputs), expected_tensor(expected)
    held, held_wanted = padded(validation[0]), expected_tensor(validation[1])
    optimizer = torch.optim.Adam(model.parameters(), lr=rate(0))
    lowest, best, waited = np.inf, copy.deepcopy(model.state_dict()), 0
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = rate(epoch)
        for chosen in torch.randperm(len(sequences)).split(batch):
            optimizer.zero_grad()
            loss(model(sequences[chosen], lengths[chosen]), wanted[chosen]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
        with torch.no_grad():
            reached = loss(model(*held), held_wanted).item()
        if reached < lowest:
            lowest, best, waited = reached, copy.deepcopy(model.state_dict()), 0
        else:
            waited += 1
            if waited == patience:
                break
    model.load_state_dict(best)
    return model


def predict(model: Recurrent, inputs: Any) -> Any:
    """The answers to sequences as an array."""
    with torch.no_grad():
        return model(*padded(inputs)).numpy()


def forecast(model: Recurrent, history: Any, steps: int) -> Any:
    """Run over a history (N, S, W), then feed each answer back: (N, steps, W)."""
    answers = []
    with torch.no_grad():
        values, state = model.recurrent(torch.as_tensor(np.array(history), dtype=torch.float32))
        for _ in range(steps):
            answers.append(model.head(values[:, -1:]))
            values, state = model.recurrent(answers[-1], state)
    return torch.cat(answers, dim=1).numpy()
