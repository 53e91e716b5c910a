"""PyTorch's own layers in place of a program, as its users write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

Parameters = Mapping[str, np.ndarray[Any, Any]]

LSTM_GATES = ("in_gate", "forget_gate", "candidate", "out_gate")  # the order of torch.nn.LSTM
GRU_GATES = ("reset", "update")  # the order of torch.nn.GRU; its third is the candidate


class LSTM:
    """torch.nn.LSTM, of one layer or more, and torch.nn.Linear. Of its two biases one stays zero."""

    def __init__(self, parameters: Parameters, cells: Sequence[str]) -> None:
        width = parameters[f"{cells[0]}in_gate.bias"].shape[0]
        inputs = parameters[f"{cells[0]}in_gate.weight"].shape[0] - width
        self.cell, self.output = nn.LSTM(inputs, width, len(cells)), linear(parameters)
        for layer, cell in enumerate(cells):
            weights = np.concatenate([parameters[f"{cell}{gate}.weight"] for gate in LSTM_GATES], axis=1)
            biases = np.concatenate([parameters[f"{cell}{gate}.bias"] for gate in LSTM_GATES])
            own = [weights[:-width].T, weights[-width:].T, biases, np.zeros_like(biases)]
            with torch.no_grad():
                for parameter, value in zip(self.cell.all_weights[layer], own, strict=True):
                    parameter.copy_(torch.from_numpy(value))
            getattr(self.cell, f"bias_hh_l{layer}").requires_grad_(False)
        self.state = ((len(cells), width),) * 2
        everything = [*self.cell.parameters(), *self.output.parameters()]
        self.learning = [parameter for parameter in everything if parameter.requires_grad]

    def window(self, p: Any, s: Any, x: Any, e: Any) -> Any:
        """Loss and the state (h, c) after a window."""
        hidden, s = self.cell(x, s)
        return functional.mse_loss(self.output(hidden), e), s


class GRU:
    """What torch.nn.GRU calls, and torch.nn.Linear. Of its second bias only the candidate's part learns."""

    def __init__(self, parameters: Parameters, cells: Sequence[str]) -> None:
        (cell,) = cells
        own = {name.removeprefix(cell): torch.from_numpy(array.T) for name, array in parameters.items()}
        width = len(own["reset.bias"])
        weights, biases = ([own[f"{gate}.{role}"] for gate in GRU_GATES] for role in ("weight", "bias"))
        seen = torch.cat([*(weight[:, :-width] for weight in weights), own["fresh.weight"]])
        recalled = torch.cat([*(weight[:, -width:] for weight in weights), own["recalled.weight"]])
        bias = torch.cat([*biases, own["fresh.bias"]])
        cell_parameters = (seen, recalled, bias, own["recalled.bias"])
        self.output, self.zeros, self.state = linear(parameters), torch.zeros(2 * width), ((1, width),)
        learning = [nn.Parameter(array.clone()) for array in cell_parameters]
        self.learning = [*learning, *self.output.parameters()]

    def window(self, p: Any, s: Any, x: Any, e: Any) -> Any:
        """Loss and the state (h,) after a window."""
        seen, recalled, bias, candidate = p[:4]
        weights = (seen, recalled, bias, torch.cat((self.zeros, candidate)))
        hidden, h = torch.gru(x, s[0], weights, True, 1, 0.0, True, False, False)
        return functional.mse_loss(self.output(hidden), e), (h,)


class RNN:
    """A frozen torch.nn.RNN, of which no gradient is asked, and torch.nn.Linear."""

    def __init__(self, parameters: Parameters, cells: Sequence[str]) -> None:
        (cell,) = cells
        names = [f"{layer}.{role}" for role in ("weight", "bias") for layer in ("fed", "recalled")]
        inputs, width = parameters[f"{cell}fed.weight"].shape
        self.cell, self.output, self.state = nn.RNN(inputs, width), linear(parameters), ((1, width),)
        self.cell.requires_grad_(False)
        for parameter, name in zip(self.cell.all_weights[0], names, strict=True):
            parameter.copy_(torch.from_numpy(parameters[f"{cell}{name}"].T))
        self.learning = list(self.output.parameters())

    def window(self, p: Any, s: Any, x: Any, e: Any) -> Any:
        """Loss and the state (h,) after a window."""
        hidden, h = self.cell(x, s[0])
        return functional.mse_loss(self.output(hidden), e), (h,)


def linear(parameters: Parameters) -> nn.Linear:
    """The output."""
    weight = parameters["output.weight"]
    output = nn.Linear(*weight.shape)
    with torch.no_grad():
        output.weight.copy_(torch.from_numpy(weight.T))
        output.bias.copy_(torch.from_numpy(parameters["output.bias"]))
    return output


MODULES: dict[str, Any] = {"LSTM": LSTM, "GRU": GRU, "RNN": RNN}
