"""Make optimizers.json, the figures that tests/test_optimizers.py compares with: what torch.optim does in 50 steps.

    python -m venv torch-venv && torch-venv/bin/pip install torch==2.13.0 numpy
    torch-venv/bin/python tests/recorded/optimizers.py

All is float64. "vector" is a vector after steps along gradients that a formula gives, and "single" how far torch's
own float32 strays from it; "network" the parameters of a small network after as many steps, one batch each, gradients
by autograd. The formulas are those of ``start``, ``gradient`` and ``batch`` below, which the tests take from here.
"""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

STEPS = 50
LENGTH = 12
RATE = 0.02
LANES, WIDTHS = 3, (3, 4, 2)
CASES: dict[str, dict[str, Any]] = {
    "sgd": {"optimizer": "SGD"},
    "sgd with decay": {"optimizer": "SGD", "weight_decay": 0.1},
    "momentum": {"optimizer": "SGD", "momentum": 0.9},
    "momentum with decay": {"optimizer": "SGD", "momentum": 0.8, "weight_decay": 0.1},
    "nesterov": {"optimizer": "SGD", "momentum": 0.9, "nesterov": True},
    "nesterov with decay": {"optimizer": "SGD", "momentum": 0.7, "nesterov": True, "weight_decay": 0.1},
    "rmsprop": {"optimizer": "RMSprop"},
    "rmsprop with all": {"optimizer": "RMSprop", "alpha": 0.9, "eps": 1e-4, "momentum": 0.5, "weight_decay": 0.1},
    "rmsprop with decay": {"optimizer": "RMSprop", "alpha": 0.95, "weight_decay": 0.2},
    "adam": {"optimizer": "Adam"},
    "adam with all": {"optimizer": "Adam", "betas": [0.8, 0.99], "eps": 1e-5, "weight_decay": 0.1},
    "adam without memory": {"optimizer": "Adam", "betas": [0.0, 0.0], "eps": 1e-3},
    "adamw": {"optimizer": "AdamW"},
    "adamw with all": {"optimizer": "AdamW", "betas": [0.7, 0.9], "eps": 1e-4, "weight_decay": 0.5},
    "sgd clipped": {"optimizer": "SGD", "weight_decay": 0.1, "clip": 0.25},
    "nesterov clipped": {"optimizer": "SGD", "momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "clip": 0.25},
    "adam clipped": {"optimizer": "Adam", "weight_decay": 0.1, "clip": 0.25},
}  # beside "optimizer" and "clip", arguments of torch.optim


def start(count: int) -> np.ndarray:
    """Where a vector starts, rounded so that float32 holds it."""
    return np.cos(1.0 + np.arange(count)).astype(np.float32).astype(np.float64)


def gradient(step: int) -> np.ndarray:
    """The vector's gradient in a step: components of very different sizes, one always 0, one 0 half of the time."""
    places = np.arange(LENGTH)
    found = np.sin(0.7 * places + 1.3 * step) * np.exp(-places)
    found[5] = 0.0
    found[6] *= step % 2
    return found.astype(np.float32).astype(np.float64)


def batch(step: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (3, 3) and expected outputs (3, 2) of a step."""
    inputs = np.sin(1.7 * (step + 1) * (1 + np.arange(9))).reshape(3, 3)
    return inputs, np.stack([inputs[:, 0] * inputs[:, 1], 2.0 * inputs[:, 2] - 1.0], axis=1)


def parameters() -> dict[str, np.ndarray]:
    """What the network starts from."""
    shapes = {}
    for name, (n, m) in zip(("hidden", "output"), pairwise(WIDTHS), strict=True):
        shapes |= {f"{name}.weight": (n, m), f"{name}.bias": (m,)}
    return {name: start(int(np.prod(shape))).reshape(shape) / 2.0 for name, shape in shapes.items()}


def record(case: dict[str, Any]) -> dict[str, Any]:
    """All runs of one case; the network alone where gradients are clipped."""
    if "clip" in case:
        return {"network": _network(case)}
    vector, single = _vector(case, "float64"), _vector(case, "float32")
    return {"vector": vector, "single": float(np.abs(np.subtract(vector, single)).max()), "network": _network(case)}


def _optimizer(case: dict[str, Any], tensors: list[Any]) -> Any:
    import torch

    arguments = {name: value for name, value in case.items() if name not in ("optimizer", "clip")}
    return getattr(torch.optim, case["optimizer"])(tensors, lr=RATE, **arguments)


def _vector(case: dict[str, Any], dtype: str) -> list[float]:
    import torch

    kind = getattr(torch, dtype)
    vector = torch.tensor(start(LENGTH), dtype=kind, requires_grad=True)
    optimizer = _optimizer(case, [vector])
    for step in range(STEPS):
        vector.grad = torch.tensor(gradient(step), dtype=kind)
        optimizer.step()
    return vector.detach().tolist()


def _network(case: dict[str, Any]) -> dict[str, Any]:
    import torch

    named = {name: torch.tensor(value, requires_grad=True) for name, value in parameters().items()}
    optimizer, losses = _optimizer(case, list(named.values())), []
    for step in range(STEPS):
        inputs, expected = (torch.tensor(array) for array in batch(step))
        hidden = torch.tanh(inputs @ named["hidden.weight"] + named["hidden.bias"])
        loss = torch.nn.functional.mse_loss(hidden @ named["output.weight"] + named["output.bias"], expected)
        optimizer.zero_grad()
        loss.backward()
        if "clip" in case:
            torch.nn.utils.clip_grad_norm_(list(named.values()), case["clip"])
        optimizer.step()
        losses.append(loss.item())
    return {"losses": losses} | {name: tensor.detach().tolist() for name, tensor in named.items()}


def main() -> None:
    """Write optimizers.json beside this file."""
    import torch

    found = {"made with": f"torch {torch.__version__}"} | {name: record(case) for name, case in CASES.items()}
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(found, indent=None, separators=(",", ":")).replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main()
