"""``evolve``: aging evolution of texts on processes of this machine or on Dask, the same with any number of workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..options import whole_number
from .asking import Asked
from .evaluation import Steps
from .individuals import Evolution
from .limits import Choices, Limits
from .operations import Operation
from .pools import pool_of
from .searching import Search


def evolve(
    data: Any = None,
    *,
    fitness: Callable[[Any, Any], Any] | None = None,
    start: str | Iterable[str] | None = None,
    inputs: int | None = None,
    outputs: int | None = None,
    loss: str = "mse",
    activation: str | None = None,
    initializers: str = "xavier,zero",
    arguments: Mapping[str, Any] | None = None,
    budget: int = 1,
    rungs: Sequence[int] | None = None,
    keep: float = 1 / 3,
    score: Any = None,
    maximize: bool | None = None,
    individuals: int = 1_000,
    seconds: float | None = None,
    target: float | None = None,
    population: int = 64,
    tournament: int = 8,
    crossover: float = 0.1,
    changes: int = 1,
    inherit: bool = True,
    steps: Steps | None = None,
    limits: Limits | None = None,
    choices: Choices | None = None,
    operations: Mapping[str, Operation] | None = None,
    seed: int = 0,
    workers: int | None = None,
    client: Any = None,
    chunk: int = 8,
    ahead: int = 8,
    verbosity: int = 1,
) -> Evolution:
    """Search for a network by aging evolution (Real et al. 2019): texts that are changed, evaluated and chosen.

    The first ``population`` individuals are random. Each later one is a child of the best of ``tournament`` individuals
    drawn from those that live; with the probability ``crossover`` it is a cross of two of these, else the parent's text
    after 1 to ``changes`` operations. It lives until ``population`` younger ones have a score. The result is the same
    with any number of workers: each child is made from those that lived ``ahead`` chunks before.

    What a network is good for is found in one of two ways:

    - data: ``(inputs, expected)``, or a dict of the data arguments of ``fit``, also ``validation``. Each network is
      trained for ``budget`` epochs. score: what of its history counts, ``"val_loss"`` if there are data for validation,
      else ``"loss"``; or a function ``f(model, data)``. maximize: whether larger is better; None means for accuracies.
    - fitness: a function ``f(model, rng) -> float``, larger is better, which gets the built model, of ``batch_size`` 1,
      and a random generator. It may change the model's parameters: children begin with what they are at its end.

    arguments: of ``compile`` and ``fit``; by default Adam with the learning rate 0.01 on the tier "instant". start: a
    text, or several, to begin with; else the first ones are random, with inputs, outputs, loss, activation and
    initializers as in `random_text`; widths are those of the data. inherit: whether children begin with their parents'
    parameters, see `inherit`. steps: Gaussian steps of parameters, see `Steps`; None means ``Steps()`` with fitness,
    and none with data. limits, choices, operations: as in `mutate`.

    rungs: successive halving, the epochs after which only the share ``keep`` of each chunk goes on, such as ``(1, 3,
    9)``; the last one is the whole budget. Those that stop have a score, but no children.

    The search ends after so many ``individuals``; when a score is ``target`` or better; or, if ``seconds`` are given,
    when no more may begin: then the number of individuals depends on the machine. chunk: individuals that a worker gets
    at once. ahead: chunks on their way at a time, at least the number of workers. workers: processes; None means one
    for each processor, 0 means this process. client: a Dask client in their place. seed: of everything. verbosity: 1
    shows a progress bar.

    Networks that diverge fail and have no children. A killed worker's chunk is evaluated again, once. Raises TypeError
    or ValueError that names the argument, DataError for data that do not fit, and SearchError, with the last error, if
    none of the first ``population`` individuals has a score.
    """
    asked = Asked(
        data=data, fitness=fitness, start=start, inputs=inputs, outputs=outputs, loss=loss, activation=activation,
        initializers=initializers, arguments=arguments, budget=budget, rungs=rungs, keep=keep, score=score,
        maximize=maximize, individuals=individuals, seconds=seconds, target=target, population=population,
        tournament=tournament, crossover=crossover, changes=changes, inherit=inherit, steps=steps, limits=limits,
        choices=choices, operations=operations, seed=seed, chunk=chunk, ahead=ahead,
    )  # fmt: skip
    shown = whole_number("verbosity", verbosity, least=0) > 0
    search = Search(asked)
    with pool_of(workers, client, asked.data_of_fit) as pool:
        return search.run(pool, shown=shown)
