"""The functions of records as functions of PyTorch, made from the records' own texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch

from ..functions import Activation, ElementwiseLayer, Merge

Tensor = Any  # torch.Tensor; a type checker need not have PyTorch


def _where(condition: Tensor, one: Any, other: Any) -> Tensor:
    """A choice between tensors or numbers. Of two numbers in float64, so that no digit is lost."""
    if not isinstance(one, torch.Tensor) and not isinstance(other, torch.Tensor):
        one = torch.tensor(one, dtype=torch.float64, device=condition.device)
    return torch.where(condition, one, other)


def _maximum(one: Any, other: Any) -> Tensor:
    """The larger of a tensor and a number."""
    return one.clamp(min=other) if isinstance(one, torch.Tensor) else other.clamp(min=one)


def _minimum(one: Any, other: Any) -> Tensor:
    """The smaller of a tensor and a number."""
    return one.clamp(max=other) if isinstance(one, torch.Tensor) else other.clamp(max=one)


def _softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


WORDS: Mapping[str, Any] = {
    "exp": torch.exp, "log": torch.log, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "softplus": _softplus,
    "sin": torch.sin, "cos": torch.cos, "normal_cdf": torch.special.ndtr, "sqrt": torch.sqrt, "absolute": torch.abs,
    "maximum": _maximum, "minimum": _minimum, "where": _where,
}  # fmt: skip
# Activations whose components depend on one another.
COUPLED: Mapping[str, Callable[[Tensor], Tensor]] = {"softmax": lambda x: torch.softmax(x, -1)}


@lru_cache(maxsize=1024)
def function_of(text: str, *arguments: str) -> Callable[..., Any]:
    """The function that computes the text of a record from its variables."""
    made: Callable[..., Any] = eval(f"lambda {', '.join(arguments)}: {text}", dict(WORDS))
    return made


class _Activate(torch.autograd.Function):  # type: ignore[misc]
    """An activation with the derivative that its record gives."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, record: Activation, p: float | None) -> Tensor:
        return function_of(record.forward, "x", "p")(x, p)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        x, ctx.record, ctx.p = inputs
        ctx.save_for_backward(x, output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, y = ctx.saved_tensors
        known = {"x": x, "y": y, "p": ctx.p}
        for name, text in ctx.record.let:
            known[name] = function_of(text, *known)(**known)
        slope = function_of(ctx.record.derivative, *known)(**known)
        return gradients[0] * (slope.to(x.dtype) if isinstance(slope, torch.Tensor) else slope), None, None


def activate(record: Activation, x: Tensor, p: float | None) -> Tensor:
    """An activation of a tensor whose last axis has the components."""
    if record.couples:
        return COUPLED[record.name](x)
    if record.blocks_gradient:
        return function_of(record.forward, "x", "p")(x.detach(), p)
    if record.forward == "x" or _is_one_call(record):
        return function_of(record.forward, "x", "p")(x, p)
    return _Activate.apply(x, record, p)


def _is_one_call(record: Activation) -> bool:
    """Whether an activation is a function of PyTorch, whose own derivative is the record's."""
    return not record.surrogate and record.forward in {f"{word}(x)" for word in WORDS}


def elementwise(layer: ElementwiseLayer, x: Tensor, parameters: Mapping[str, Tensor], p: float | None) -> Tensor:
    """An elementwise layer that is no dropout. parameters: by role."""
    known = {role.variable: parameters[role.name] for role in layer.roles} | {"x": x, "p": p}
    for statistic in layer.statistics:
        mean = function_of(statistic.expression, *known)(**known).mean(-1, keepdim=True)
        known[statistic.variable] = function_of(statistic.finish, *known, "mean")(**known, mean=mean)
    return function_of(layer.forward, *known)(**known)


def merge(record: Merge, x: Tensor, o: Tensor) -> Tensor:
    """A merge of two tensors. Where it takes any width, components that only x has pass through unchanged."""
    if record.concatenates:
        return torch.cat((x, o), -1)
    formula = function_of(record.forward, "x", "o")
    if record.result == "one":
        return formula(x, o).sum(-1, keepdim=True)
    if record.result != "x" or record.other_width != "any":
        return formula(x, o)
    shared = min(x.shape[-1], o.shape[-1])
    value = formula(x[..., :shared], o[..., :shared])
    return value if shared == x.shape[-1] else torch.cat((value, x[..., shared:]), -1)
