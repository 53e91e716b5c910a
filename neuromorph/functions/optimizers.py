"""The updates of optimizers, one record each: the statements that move a parameter along its gradient.

The formulas are those of torch.optim 2.13. Adam's bias correction after t updates, 1 - beta^t, is computed as the
moving average of ones, which starts at 0 as the averages of gradients do.
"""

from dataclasses import dataclass

Assignments = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Optimizer:
    """The update of every parameter ``p`` from its gradient ``g``.

    ``slots`` are arrays like the parameters that the optimizer remembers, and ``counts`` numbers, all zero at first.
    ``constants`` are numbers that reach the kernel as arguments. Assignments, in order, are a target and an expression:
    once an update ``counts``, each over itself and the constants, then ``scalars``, new names over counts, constants
    and ``rate`` (the learning rate); for each parameter ``statements``, whose targets are ``p``, ``g`` or a slot, over
    all of these. Where ``p``, ``g`` and the slots are 0 they all have to stay exactly 0, for so is the padding.
    """

    name: str
    slots: tuple[str, ...]
    constants: tuple[str, ...]
    statements: Assignments
    counts: Assignments = ()
    scalars: Assignments = ()


_DECAY = ("g", "g + weight_decay * p")
_STEP = ("p", "p - rate * g")
_VELOCITY = ("velocity", "momentum * velocity + g")
_SQUARE = ("square", "alpha * square + (1.0 - alpha) * (g * g)")
_MOMENTS = (("mean", "beta1 * mean + (1.0 - beta1) * g"), ("square", "beta2 * square + (1.0 - beta2) * (g * g)"))
_ADAM_STEP = ("p", "p - stride * mean / (scale * sqrt(square) + eps)")
_ADAM_CONSTANTS = ("beta1", "beta2", "eps", "weight_decay")
_CORRECTIONS = (
    ("correction1", "beta1 * correction1 + (1.0 - beta1)"),
    ("correction2", "beta2 * correction2 + (1.0 - beta2)"),
)
_ADAM_SCALARS = (("stride", "rate / correction1"), ("scale", "1.0 / correction2**0.5"))

RECORDS = (
    Optimizer("sgd", (), (), (_STEP,)),
    Optimizer("sgd_decay", (), ("weight_decay",), (_DECAY, _STEP)),
    Optimizer(
        "sgd_momentum", ("velocity",), ("momentum", "weight_decay"), (_DECAY, _VELOCITY, ("p", "p - rate * velocity"))
    ),
    Optimizer(
        "sgd_nesterov",
        ("velocity",),
        ("momentum", "weight_decay"),
        (_DECAY, _VELOCITY, ("p", "p - rate * (g + momentum * velocity)")),
    ),
    Optimizer(
        "rmsprop",
        ("square",),
        ("alpha", "eps", "weight_decay"),
        (_DECAY, _SQUARE, ("p", "p - rate * g / (sqrt(square) + eps)")),
    ),
    Optimizer(
        "rmsprop_momentum",
        ("square", "velocity"),
        ("alpha", "eps", "weight_decay", "momentum"),
        (
            _DECAY,
            _SQUARE,
            ("velocity", "momentum * velocity + g / (sqrt(square) + eps)"),
            ("p", "p - rate * velocity"),
        ),
    ),
    Optimizer(
        "adam", ("mean", "square"), _ADAM_CONSTANTS, (_DECAY, *_MOMENTS, _ADAM_STEP), _CORRECTIONS, _ADAM_SCALARS
    ),
    Optimizer(
        "adamw",
        ("mean", "square"),
        _ADAM_CONSTANTS,
        (("p", "keep * p"), *_MOMENTS, _ADAM_STEP),
        _CORRECTIONS,
        (*_ADAM_SCALARS, ("keep", "1.0 - rate * weight_decay")),
    ),
)
