"""Optimizers, one record each: how a parameter moves along its gradient."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Optimizer:
    """The update of every parameter ``p`` from its gradient ``g``.

    ``slots`` are arrays like the parameters that the optimizer remembers, zero at first. ``statements`` are
    assignments in order, each a target (``p`` or a slot) and an expression over ``p``, ``g``, ``rate`` (the
    learning rate), the slots and ``constants``, numbers that reach the kernel as arguments.
    """

    name: str
    slots: tuple[str, ...]
    constants: tuple[str, ...]
    statements: tuple[tuple[str, str], ...]


RECORDS = (Optimizer("sgd", (), (), (("p", "p - rate * g"),)),)
