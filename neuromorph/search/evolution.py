"""``evolve``: aging evolution of texts on processes of this machine or on Dask, the same with any number of workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from ..options import whole_number
from ..sweeps.store import Store
from .asking import Asked
from .evaluation import Steps
from .individuals import Evolution
from .journal import Journal, key_of
from .limits import Choices, Limits
from .operations import Operation
from .pools import pool_of
from .searching import Search


class Options(TypedDict, total=False):
    """The other arguments of `evolve`, in the order of their use.

    How networks are made at first: inputs, outputs, loss, activation, initializers, as in `random_text`. The widths are
    those of the data if there are any.

    How they are evaluated: arguments, a dict of arguments of ``compile`` and ``fit``; without them Adam with the
    learning rate 0.01, the batch size of the data (32 with a layout, 1 with ``fitness``) and the tier "instant".
    budget: epochs, 1 by default. score: what of the history counts, by default "val_loss" if there are data for
    validation, else "loss"; or a function ``f(model, data)`` of the trained model. maximize: whether larger scores are
    better; None means for accuracies and ``fitness``. rungs: successive halving, the epochs after which only the share
    ``keep`` (1/3) of each chunk goes on, such as ``(1, 3, 9)``; the last one is the whole budget. Those that stop have
    a score and no children.

    How children are made: population (64), how many live. tournament (8): how many of them are drawn, of which the
    best is the parent. crossover (0.1): the probability that a child is a cross of two. changes (1): the most
    operations of a mutation. limits, choices, operations: as in `mutate`; with the layout "NW", networks have no links
    in time, and limits must have the delay 0. inherit (True): whether children begin with their parents' parameters,
    see `inherit`. steps: Gaussian steps of these; None means ``Steps()`` with ``fitness``, and none with data.

    How work is divided, which decides the result too: chunk (8), individuals that a worker gets at once. ahead (8): the
    most chunks that are on their way at a time, and so the most workers that are busy. They are fewer where these would
    be more than ``population`` individuals; at least one.
    """

    inputs: int | None
    outputs: int | None
    loss: str
    activation: str | None
    initializers: str
    arguments: Mapping[str, Any] | None
    budget: int
    score: str | Callable[[Any, Any], Any] | None
    maximize: bool | None
    rungs: Sequence[int] | None
    keep: float
    population: int
    tournament: int
    crossover: float
    changes: int
    limits: Limits | None
    choices: Choices | None
    operations: Mapping[str, Operation] | None
    inherit: bool
    steps: Steps | None
    chunk: int
    ahead: int


def evolve(
    data: Any = None,
    *,
    fitness: Callable[[Any, Any], Any] | None = None,
    start: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    individuals: int = 1_000,
    target: float | None = None,
    seconds: float | None = None,
    seed: int = 0,
    workers: int | None = None,
    client: Any = None,
    store: str | os.PathLike[str] | None = None,
    verbosity: int = 1,
    **options: Unpack[Options],
) -> Evolution:
    """Search for a network by aging evolution (Real et al. 2019): texts that are changed, evaluated and chosen.

    data: ``(inputs, expected)``, or a dict of the data arguments of ``fit``, also ``validation``; each network is
    trained for some epochs. Or fitness: a function ``f(model, rng) -> float``, larger is better, which gets a built
    model and a random generator. It may change the model's parameters: children begin with what they are at its end.

    start: a text, or several, which are the first individuals; without it these are random. Each later one is a child
    of the best of some that live. It lives until ``population`` younger ones have a score. options: see `Options`.

    The search ends after so many ``individuals``; when a score is ``target`` or better; or when ``seconds`` are over,
    so that the number of individuals depends on the machine. Else the result depends on ``seed`` alone, and is the same
    with any number of workers: a child is made from those that lived when all chunks up to ``ahead`` before its own had
    ended. workers: processes; None means one for each processor, 0 means this process. client: a Dask client in their
    place. store: a file of SQLite, as of ``nm.sweep``, which gets each individual when it has ended. The same search
    goes on from there, also with more individuals, and `load` reads it; two at once share the work. verbosity: 1 shows
    a progress bar.

    Networks that diverge fail and have no children. The individuals of a killed worker's chunk are evaluated again,
    each alone; one whose worker is killed then fails. Raises TypeError or ValueError that names the argument, also for
    functions without a name of their own with a store, and SearchError, with the last error, if none of the first
    ``population`` individuals has a score. The KeyboardInterrupt of Ctrl-C has the individuals so far as ``results``.
    """
    own = {"data": data, "fitness": fitness, "start": start, "individuals": individuals, "target": target}
    asked = Asked.of({**own, "seconds": seconds, "seed": seed, "store": store, **options})
    shown = whole_number("verbosity", verbosity, least=0) > 0
    search = Search(asked)
    data = asked.data_of_fit
    functions = {"fitness": search.plan.fitness, "score": search.plan.score.function if data is not None else None}
    with pool_of(workers, client, data, functions) as pool:
        if asked.path is None:
            return search.run(pool, None, shown=shown)
        key, marks = key_of(search.decides, data)
        with Store(asked.path) as opened, opened.beating():
            return search.run(pool, Journal(opened, key, search.plan, marks), shown=shown)
