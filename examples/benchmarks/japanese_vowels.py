"""Who is speaking? Sequences of 7 to 29 steps with 12 numbers each, of nine speakers.

    python examples/benchmarks/japanese_vowels.py            five seeds, all networks, a table and a picture
    python examples/benchmarks/japanese_vowels.py --quick    a tiny setting, to see that everything runs

Kudo, Toyama & Shimbo 1999, Multidimensional curve classification using passing-through regions; from the package aeon.
270 utterances to learn from, of which every fifth of a speaker is held out, and 370 to test.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.running import benchmark, needs, options
from bench.task import Task, accuracy, classes


def task() -> Task:
    needs("aeon")
    import vowels  # of examples/real

    return Task(
        name="japanese_vowels",
        title="Japanese vowels",
        source="recorded speech from the package aeon, 270 utterances to learn from, 370 to test",
        **classes(vowels.utterances("train"), vowels.utterances("test"), share=5),
        loss="cross_entropy",
        outputs=vowels.SPEAKERS,
        score=accuracy,
        measure="accuracy",
        more_is_better=True,
        parameters=9000,
        texts=("gru", "lstm", "min_gru", "conv_gru"),
        epochs=100,
        batch=8,
        rates=(0.001, 0.003, 0.01),
        patience=20,
        published=("the authors' method 94.1 %", "a hidden Markov model 96.2 %"),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    benchmark("japanese_vowels", [task], options(__doc__, arguments))


if __name__ == "__main__":
    main()
