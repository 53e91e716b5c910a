"""Small models that several threads run together, their data, and a digest of what they learned."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import neuromorph as nm
from helpers.threads import LIMIT
from neuromorph.schedule import InChunks
from neuromorph.training import loop

RECURRENT = """/xavier,const_uneven 0.1 0.3/
(input, 3) {both, recur, concatenate} (a, 5, <tanh>) [link, [recur,]] (output, 2, <linear>, <mse>)"""
FORWARD = "/xavier,zero/ (input, 3) (a, 6, <tanh>) (output, 2, <sigmoid>, <mse>)"
KINDS = {
    "two": (RECURRENT, 8, 2),
    "three": (RECURRENT, 8, 3),
    "four": (RECURRENT, 8, 4),
    "three, in chunks": (FORWARD, 300, 3),
}


def made(kind: str, seed: int = 1, rate: float = 0.05) -> nm.Model:
    """A built model with the number of threads of its kind."""
    text, batch, threads = (RECURRENT, 8, 1) if kind == "alone" else KINDS[kind]
    nm.seed(seed)
    model = nm.build(nm.compile(text, batch, rate, bptt_steps=4, threads=threads))
    assert model.kernels.kernel.options.threads == threads
    assert isinstance(model.kernels.kernel.options.division, InChunks) == kind.endswith("chunks")
    return model


def data(model: nm.Model, samples: int = 100, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (samples, model.batch_size)
    return rng.normal(size=(*shape, 3)).astype(np.float32), rng.random((*shape, 2), np.float32)


def digest(model: nm.Model) -> str:
    """A hash of all bits of the parameters, the recurrent state and the losses."""
    arrays = [*model.get_parameters().values(), *model.state.values(), model.losses]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def trained(model: nm.Model, samples: int = 100, passes: int = 2) -> str:
    """The digest of a model after some training."""
    for number in range(passes):
        model.train(*data(model, samples, number), 0)
    return digest(model)


@contextmanager
def training_of(model: nm.Model, *, daemon: bool = False) -> Iterator[None]:
    """Train a model again and again in another thread during the block. A daemon goes on after the block."""
    began, over = threading.Event(), threading.Event()
    run, inputs = loop.Pass.run, data(model, 200)

    def observed(self: loop.Pass, start: int, stop: int) -> int:
        reached = run(self, start, stop)
        began.set()
        return reached

    def train() -> None:
        while daemon or not over.is_set():
            model.train(*inputs, 0)

    thread = threading.Thread(target=train, daemon=daemon)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Pass, "run", observed)
        thread.start()
        assert began.wait(LIMIT)
        yield
    over.set()
    if not daemon:
        thread.join()
