"""Two networks read handwritten digits: one sees a whole image at once, the other reads it row by row.

    python examples/digits.py             one seed of both, with learning curves in out/digits.png
    python examples/digits.py --seeds 5   five seeds, and the median of their accuracies
    python examples/digits.py --choose    how their settings were chosen

The networks and their training are in `neuromorph/demo.py`, since `neuromorph demo` runs them too. The data set comes
with scikit-learn: 1,797 images of 8 x 8 pixels. The first half is for training, the second half for testing. Nothing is
shuffled between the halves, so the digits of the test are by writers that the networks never saw.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np

from neuromorph.demo import RECIPES, Digits, Recipe, Result, demonstrate, digits_in_halves, learn

PLOT = Path(__file__).resolve().parent.parent / "out" / "digits.png"
GRIDS = {False: ((8, 32), (0.1, 0.3, 0.5), (60,)), True: ((8, 16), (1.0, 2.0, 4.0), (40,))}  # batches, rates, epochs


def draw(results: dict[str, Result], path: Path) -> bool:
    """Draw the learning curves to a PNG; False if matplotlib is not installed."""
    try:
        os.environ.setdefault(
            "MPLCONFIGDIR", str(PLOT.parent / "matplotlib")
        )  # so that its list of fonts is written inside the checkout
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for number, (title, result) in enumerate(results.items()):
        axes = figure.add_subplot(1, len(results), number + 1)
        epochs = range(1, len(result.train_losses) + 1)
        axes.semilogy(epochs, result.train_losses, label="training half")
        axes.semilogy(epochs, result.test_losses, label="test half")
        axes.set(title=f"{title}: {result.accuracy:.1%} right", xlabel="epoch", ylabel="cross entropy")
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return True


def held_out_accuracy(recipe: Recipe, digits: Digits, folds: int = 5, seeds: int = 2) -> float:
    """The mean accuracy of networks on each fifth of some digits, after training on the other four fifths."""
    fold = np.arange(len(digits)) * folds // len(digits)
    return mean(
        learn(recipe, digits[fold != held], digits[fold == held], seed, talk=False).accuracy
        for held in range(folds)
        for seed in range(seeds)
    )


def choose(recipe: Recipe) -> None:
    """Try the settings of the grid on held-out parts of the training half, and print the best."""
    train, _ = digits_in_halves()
    batches, rates, epochs = GRIDS[recipe.by_row]
    tried = [replace(recipe, batch=b, rate=r, epochs=e) for b in batches for r in rates for e in epochs]
    scores = []
    print(recipe.title)
    for one in tried:
        scores.append(held_out_accuracy(one, train))
        print(f"  batch {one.batch}, rate {one.rate:g}, {one.epochs} epochs: held-out accuracy {scores[-1]:.4f}")
    best = tried[scores.index(max(scores))]
    print(f"  chosen: batch {best.batch}, rate {best.rate:g}, {best.epochs} epochs")


def whole_number(text: str) -> int:
    """The whole number of at least 1 that an argument's text gives."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Handwritten digits, read by two networks.")
    parser.add_argument("--seeds", type=whole_number, default=1, help="how many seeds, from 0 (default 1)")
    parser.add_argument("--epochs", type=whole_number, help="epochs of training, in place of the recipes' own")
    parser.add_argument("--choose", action="store_true", help="repeat the search for the settings, and stop")
    parser.add_argument("--plot", type=Path, default=PLOT, help="where the learning curves go (default out/digits.png)")
    options = parser.parse_args()
    recipes = [replace(r, epochs=options.epochs or r.epochs) for r in RECIPES]
    if options.choose:
        for recipe in recipes:
            choose(recipe)
        return
    curves = {recipe.title: demonstrate(recipe, options.seeds)[0] for recipe in recipes}
    drawn = draw(curves, options.plot)
    print(f"learning curves: {options.plot}" if drawn else "matplotlib is not installed: no learning curves drawn")


if __name__ == "__main__":
    main()
