"""MNIST-1D: ten classes of short, noisy curves, read one number a step.

    python examples/benchmarks/mnist_1d.py            five seeds, all networks, a table and a picture
    python examples/benchmarks/mnist_1d.py --quick    a tiny setting, to see that everything runs

5,000 curves of 40 steps (Greydanus & Kobak 2024, Scaling down deep learning with MNIST-1D, arXiv 2011.14439), made by
the package mnist1d with its own numbers: 4,000 to learn from, of which every tenth is held out, and 1,000 to test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.running import benchmark, needs, options
from bench.task import Task, accuracy, classes

STEPS, CLASSES = 40, 10


def data() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Curves (N, 40, 1) and their classes, to learn from and to test. Nothing is downloaded."""
    needs("mnist1d")
    from mnist1d.data import get_dataset_args, make_dataset

    made = make_dataset(get_dataset_args())
    return (made["x"][:, :, None], made["y"]), (made["x_test"][:, :, None], made["y_test"])


def paper_gru() -> Any:
    """The GRU of the paper: 6 units in each direction, and an output that reads the values of all steps."""
    import torch
    from bench.torch_peers import flat_readout

    return flat_readout(torch.nn.GRU(1, 6, batch_first=True, bidirectional=True), STEPS, 12, CLASSES)


def task() -> Task:
    return Task(
        name="mnist_1d",
        title="MNIST-1D",
        source="made by the package mnist1d, 4,000 curves of 40 steps to learn from, 1,000 to test",
        **classes(*data(), share=10),
        loss="cross_entropy",
        outputs=CLASSES,
        score=accuracy,
        measure="accuracy",
        more_is_better=True,
        parameters=5000,
        texts=("gru", "lstm", "min_gru", "conv_gru"),
        epochs=40,
        batch=50,
        rates=(0.003, 0.01, 0.03),
        patience=12,
        peers={"PyTorch GRU of the paper": paper_gru},
        published=("a perceptron 68 %", "a GRU 91 %", "a convolutional network 94 %", "people 96 % (arXiv 2011.14439)"),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    benchmark("mnist_1d", [task], options(__doc__, arguments))


if __name__ == "__main__":
    main()
