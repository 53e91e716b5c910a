"""The digits demonstration: two networks read handwritten digits, one the whole image at once, the other row by row.

``neuromorph demo`` and ``examples/digits.py`` run it. It uses only the public interface, so that it can be read as an
example. It has the texts of both networks, brings the data into shape, trains by ``nm.train`` and prints the results.

The data set comes with scikit-learn: 1,797 images of 8 x 8 pixels. The first half is for training, the second half for
testing. Nothing is shuffled between the halves, so the digits of the test are by writers that the networks never saw.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import neuromorph as nm

from .host.frozen import frozen

Floats = NDArray[np.float32]
SIDE, CLASSES = 8, 10

PERCEPTRON = """
/xavier,zero/
(image, 64)
(hidden, 128, <tanh>)
(digit, 10, <softmax>, <cross_entropy>)
"""

LSTM = """
/xavier,zero/
(row, 8)
{seen, recur, concatenate}          # this row of pixels, and what the step before had to say
[gates,
    (in_gate, 64, <sigmoid>)
  | (candidate, 64, <tanh>) {scaled, in_gate, multiplicative}
  | (out_gate, 64, <sigmoid>)
]
(forget_gate, 64, <sigmoid>)
{kept, memory, multiplicative}
{cell, scaled, additive}
[m, [memory,]]                      # read by `kept` one step later
(squashed, <tanh>)
{hidden, out_gate, multiplicative}
[h, [recur,]]                       # read by `seen` one step later
(digit, 10, <softmax>, <cross_entropy>)
"""


@frozen
class Recipe:
    """A network and its training: images of an update, the first learning rate (it falls linearly to 0), epochs."""

    title: str
    mdl: str
    by_row: bool
    batch: int
    rate: float
    epochs: int
    clip_norm: float | None = None
    start: dict[str, float] = field(default_factory=dict)


# Chosen by examples/digits.py --choose: the settings with the best mean accuracy of a grid, by five-fold
# cross-validation on the training half with two seeds each. The test half was not used.
#   perceptron  batch 8, rate 0.3: 0.925; the others of the grid 0.911 to 0.925
#   LSTM        batch 8, rate 2: 0.931; the others of the grid 0.920 to 0.931
# The best settings differ by less than the noise of the search, about 0.005. With other rounding, on another processor
# or version, the search may choose a neighbour.
RECIPES = (
    Recipe("64-128-10 perceptron", PERCEPTRON, by_row=False, batch=8, rate=0.3, epochs=60),
    # The forget gate's bias starts at 1, so that the cell remembers at first: Jozefowicz et al. 2015, "An empirical
    # exploration of recurrent network architectures".
    Recipe(
        "LSTM of 64, row by row", LSTM, by_row=True, batch=8, rate=2.0, epochs=40, clip_norm=1.0,
        start={"forget_gate.bias": 1.0},
    ),
)  # fmt: skip


@frozen
class Digits:
    """Images (N, 64), with numbers from 0 to 1, and the digits that they show, (N,)."""

    images: Floats
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, which: Any) -> Digits:
        return Digits(self.images[which], self.labels[which])


@frozen
class Result:
    """The result of a run: training and test loss after every epoch, test accuracy, seconds in ``train``."""

    train_losses: tuple[float, ...]
    test_losses: tuple[float, ...]
    accuracy: float
    seconds: float


def digits_in_halves() -> tuple[Digits, Digits]:
    """The first half of the digits, for training, and the second, for testing. ImportError without scikit-learn."""
    from sklearn.datasets import load_digits

    data = load_digits()
    whole = Digits((data.data / 16).astype(np.float32), data.target)
    return whole[: len(whole) // 2], whole[len(whole) // 2 :]


def batched(recipe: Recipe, digits: Digits) -> tuple[Floats, Floats, Floats]:
    """Inputs, expected outputs and sample weights of some digits, as arguments of ``train``."""
    inputs, expected, weight = nm.batches(digits.images, digits.labels, recipe.batch, classes=CLASSES)
    return row_by_row(inputs, expected, weight) if recipe.by_row else (inputs, expected, weight)


def row_by_row(inputs: Floats, expected: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Each batch (B, 64) as a sequence of image rows (8, B, 8); only the answer after the last row has a weight."""
    batches, lanes, _ = inputs.shape
    rows = np.ascontiguousarray(inputs.reshape(batches, lanes, SIDE, SIDE).swapaxes(1, 2))
    answers = np.repeat(expected[:, np.newaxis], SIDE, axis=1)
    last = np.zeros((batches, SIDE, lanes), np.float32)
    last[:, -1] = weight
    return rows, answers, last


def made(recipe: Recipe, seed: int) -> nm.Model:
    """A new network of a recipe, ready to train."""
    nm.seed(seed)
    steps = SIDE if recipe.by_row else None
    model = nm.compile(recipe.mdl, recipe.batch, recipe.rate, bptt_steps=steps, clip_norm=recipe.clip_norm)
    nm.build(model)
    nm.set_parameters(model, recipe.start)
    return model


def answers(recipe: Recipe, model: nm.Model, digits: Digits) -> Floats:
    """The probability of each class for each image, (N, 10). All images are lanes of one prediction."""
    if recipe.by_row:
        found: Floats = nm.predict(model, digits.images.reshape(-1, SIDE, SIDE).swapaxes(0, 1))[-1]
    else:
        found = nm.predict(model, digits.images[np.newaxis])[0]
    return found


def accuracy(recipe: Recipe, model: nm.Model, digits: Digits) -> float:
    """The share of images whose digit is recognised."""
    return float((answers(recipe, model, digits).argmax(axis=1) == digits.labels).mean())


def learn(recipe: Recipe, train: Digits, test: Digits, seed: int, *, talk: bool = True) -> Result:
    """Train a new network on one set of digits and test it on the other."""
    shuffle = np.random.default_rng(seed)
    with made(recipe, seed) as model:
        seconds, losses, tests = 0.0, [], []
        for epoch in range(recipe.epochs):
            model.learning_rate = recipe.rate * (1 - epoch / recipe.epochs)
            inputs, expected, weight = batched(recipe, train[shuffle.permutation(len(train))])
            started = time.perf_counter()
            losses.append(nm.train(model, inputs, expected, 0, sample_weight=weight))
            seconds += time.perf_counter() - started
            inputs, expected, weight = batched(recipe, test)
            tests.append(nm.evaluate(model, inputs, expected, sample_weight=weight))
            if talk and (epoch + 1) % max(1, recipe.epochs // 5) == 0:
                right = accuracy(recipe, model, test)
                print(f"  epoch {epoch + 1:3}: loss {losses[-1]:.4f}, test loss {tests[-1]:.4f}, accuracy {right:.3f}")
        return Result(tuple(losses), tuple(tests), accuracy(recipe, model, test), seconds)


def compile_kernels(recipe: Recipe, digits: Digits) -> None:
    """Compile the kernels of a network, or load them from disk, and print how long it took."""
    started = time.perf_counter()
    with made(recipe, 0) as model:
        answers(recipe, model, digits[:1])
    took = time.perf_counter() - started
    print(f"  compiling kernels, {took:.1f} s" if took >= 0.5 else "  kernels found in the cache")


def demonstrate(recipe: Recipe, seeds: int) -> list[Result]:
    """Train and test a network with several seeds, and print the results."""
    train, test = digits_in_halves()
    print(f"{recipe.title}: {len(train)} images to train, {len(test)} to test, {recipe.epochs} epochs")
    compile_kernels(recipe, test)
    results = []
    for seed in range(seeds):
        result = learn(recipe, train, test, seed, talk=seed == 0)
        each = result.seconds / (recipe.epochs * len(train)) * 1e6
        print(f"  seed {seed}: test accuracy {result.accuracy:.4f}; {each:.1f} µs to learn from an image")
        results.append(result)
    if seeds > 1:
        print(f"  median test accuracy of {seeds} seeds: {median(r.accuracy for r in results):.4f}")
    return results


_NEXT = """\
wrote {there}; to try them:
  neuromorph train perceptron.mdl --data train.npz --batch 8 --rate 0.3 --epochs 60 --save perceptron.safetensors
  neuromorph evaluate perceptron.safetensors --data test.npz
  neuromorph train lstm.mdl --data train-rows.npz --sequences --batch 8 --window 8 --rate 1 --clip 1 --epochs 40 \\
      --save lstm.safetensors
  neuromorph evaluate lstm.safetensors --data test-rows.npz --sequences"""


def write(folder: str | Path) -> str:
    """Write the texts of both networks, and the digits as files for the command line, whole and row by row; a text that
    says what can be done with the files.

    Missing folders are made. Raises NotADirectoryError if a file is in the way.
    """
    place = Path(folder).resolve()  # so that a path such as new/../there does not make the folder new
    if place.exists() and not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    place.mkdir(parents=True, exist_ok=True)
    for name, text in (("perceptron.mdl", PERCEPTRON), ("lstm.mdl", LSTM)):
        (place / name).write_text(text.lstrip(), encoding="utf-8")
    for name, digits in zip(("train", "test"), digits_in_halves(), strict=True):
        rows = digits.images.reshape(-1, SIDE, SIDE)
        np.savez_compressed(place / f"{name}.npz", inputs=digits.images, labels=digits.labels)
        np.savez_compressed(place / f"{name}-rows.npz", inputs=rows, labels=digits.labels)
    return _NEXT.format(there=", ".join(sorted(path.name for path in place.iterdir())))
