"""Who is speaking? Sequences of unequal lengths, one label each.

    python examples/real/vowels.py            three seeds, the median, and PyTorch beside it
    python examples/real/vowels.py --quick    a tiny setting, to see that everything runs

Nine men say the Japanese vowel "ae". Each utterance is a sequence of 7 to 29 steps with 12 numbers each, the
coefficients of its spectrum. 270 are for training and 370, recorded later, for testing. The data set (Kudo, Toyama and
Shimbo 1999, Multidimensional curve classification using passing-through regions) comes with the package aeon.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from comparing import Result, needs, options, picture, runs, table, timed

import neuromorph as nm

SPEAKERS, WIDTH, EPOCHS, BATCH, RATE, PATIENCE = 9, 48, 100, 8, 0.003, 15
TEXT = f"""
/orthogonal,zero/                            # this and the GRU: chosen on held-out training data
(spectrum, 12)
(scaled, <standardize>)
(heard, {WIDTH}, <gru>)
(speaker, {SPEAKERS}, <softmax>, <cross_entropy>)
"""


def utterances(split: str) -> tuple[list[Any], Any]:
    """The sequences (S, 12), and the number of the speaker of each, from 0."""
    from aeon.datasets import load_japanese_vowels

    sequences, names = load_japanese_vowels(split=split)
    return [sequence.T for sequence in sequences], np.array(names).astype(int) - 1


def split(sequences: list[Any], labels: Any) -> tuple[list[Any], Any, tuple[list[Any], Any]]:
    """Every fifth utterance is held out, to choose the best epoch: the data are sorted by speaker."""
    held = np.arange(len(labels)) % 5 == 4
    first = [sequence for sequence, out in zip(sequences, held, strict=True) if not out]
    return first, labels[~held], ([s for s, out in zip(sequences, held, strict=True) if out], labels[held])


def ours(seed: int, epochs: int, train: Any, test: Any) -> Result:
    """A network of ours, trained with one seed."""
    sequences, labels, validation = train
    model = nm.compile(TEXT, BATCH, RATE, optimizer="adam")

    def learn() -> None:
        model.build(seed=seed)
        model.adapt(sequences, layout="NSW")
        stopping = nm.EarlyStopping(patience=PATIENCE)
        model.fit(sequences, labels, epochs=epochs, validation=validation, layout="NSW", shuffle=True, seed=seed,
                  callbacks=stopping, metrics="accuracy")  # fmt: skip

    _, seconds = timed(learn)
    return Result(model.accuracy(*test, layout="NSW"), seconds, model.parameter_count, model)


def torchs(seed: int, epochs: int, train: Any, test: Any) -> Result:
    """A GRU of PyTorch of the same size."""
    import torch
    import torch_peer

    torch.manual_seed(seed)
    sequences, labels, (held, held_labels) = train
    every = np.concatenate(sequences)
    mean, scale = every.mean(axis=0), every.std(axis=0)
    scaled, held, tested = ([(s - mean) / scale for s in part] for part in (sequences, held, test[0]))
    net = torch_peer.Recurrent("gru", 12, WIDTH, SPEAKERS)
    how = {"epochs": epochs, "batch": BATCH, "rate": lambda epoch: RATE, "patience": PATIENCE}
    _, seconds = timed(lambda: torch_peer.learn(net, scaled, labels, (held, held_labels), **how))
    right = (torch_peer.predict(net, tested).argmax(axis=1) == test[1]).mean()
    return Result(float(right), seconds, net.parameter_count, net)


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = options(__doc__, arguments)
    needs("aeon")
    train, test = split(*utterances("train")), utterances("test")
    epochs = 2 if chosen.quick else EPOCHS
    rows = {
        "neuromorph": runs("neuromorph", lambda seed: ours(seed, epochs, train, test), chosen.seeds),
        "PyTorch": runs("PyTorch", lambda seed: torchs(seed, epochs, train, test), chosen.seeds, "torch"),
    }
    table("accuracy, 370 utterances", rows)

    path = chosen.to / "vowels.safetensors"
    rows["neuromorph"][0].model.save(path, training=False)
    model = nm.load(path)
    print(f"\nsaved {path} and loaded it again")
    certain = model.predict(test[0], layout="NSW")  # for each step: what it thinks of what it has heard so far
    for number in range(0, 370, 90):
        said, speaker = certain[number], test[1][number] + 1
        print(f"utterance {number}: speaker {said[-1].argmax() + 1} with {said[-1].max():.0%}, "
              f"after 5 steps {said[4].argmax() + 1} with {said[4].max():.0%}; it was {speaker}")  # fmt: skip
    picture(chosen.to / "vowels.png", lambda axes: draw(axes, certain, test[1]))


def draw(axes: Any, certain: list[Any], labels: Any) -> None:
    """The share of right answers after so many steps."""
    steps = range(1, 30)
    answers = np.array([[said[min(step, len(said)) - 1].argmax() for said in certain] for step in steps])
    axes.plot(steps, (answers == labels).mean(axis=1))
    axes.set(xlabel="steps heard", ylabel="share of speakers recognised", ylim=(0, 1), title="Japanese vowels")


if __name__ == "__main__":
    main()
