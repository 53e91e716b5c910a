"""A table with words, dates and gaps: is a penguin male or female? All by the command line.

    python examples/real/penguins.py            three seeds, the median, and scikit-learn beside it
    python examples/real/penguins.py --quick    a tiny setting, to see that everything runs

The data set comes with the package palmerpenguins (Gorman, Williams and Fraser 2014): 344 penguins of three species on
three islands, with the date of their eggs, their measures, and isotopes in their blood, some of them not known. The sex
of 333 is known. A quarter of these is the test; each seed draws another one. Another fifth of the rest is held out to
choose the best epoch, by each library in its own way. The seconds are those that the command prints.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from comparing import Result, needs, options, picture, runs, table, timed

import neuromorph as nm

WORDS = ["Species", "Island", "Clutch Completion"]
MEASURES = ["Culmen Length (mm)", "Culmen Depth (mm)", "Flipper Length (mm)", "Body Mass (g)", "Delta 15 N (o/oo)",
            "Delta 13 C (o/oo)"]  # fmt: skip
IGNORED = ["studyName", "Sample Number", "Region", "Stage", "Individual ID", "Comments"]
WIDTH, EPOCHS, BATCH, RATE, PATIENCE = 16, 300, 16, 0.003, 20
TEXT = f"""
/xavier,zero/
(row, 14)                       # 3 species, 3 islands, whether the clutch is complete, the date, 6 measures
(scaled, <standardize>)
(hidden, {WIDTH}, <relu>)
(sex, 2, <softmax>, <cross_entropy>)
"""


def penguins() -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the rows of all penguins whose sex is known."""
    with (files("palmerpenguins") / "data" / "penguins-raw.csv").open(encoding="utf-8", newline="") as file:
        names, *rows = csv.reader(file)
    return names, [row for row in rows if row[names.index("Sex")] in ("MALE", "FEMALE")]


def split(folder: Path, seed: int) -> tuple[Path, Path]:
    """Files with the rows to train and to test; which rows these are, the seed says."""
    names, rows = penguins()
    order = np.random.default_rng(seed).permutation(len(rows))
    parts = {"train": order[len(rows) // 4 :], "test": order[: len(rows) // 4]}
    for name, numbers in parts.items():
        with (folder / f"penguins-{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([names, *(rows[number] for number in numbers)])
    return folder / "penguins-train.csv", folder / "penguins-test.csv"


def neuromorph(*arguments: Any) -> str:
    """Run a command, as in a shell; what it prints. Its progress goes to the terminal."""
    command = [sys.executable, "-m", "neuromorph", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def number(pattern: str, said: str) -> float:
    """A number in what a command printed."""
    found = re.search(pattern, said)
    assert found is not None, said
    return float(found[1].replace(",", ""))


def ours(seed: int, epochs: int, folder: Path) -> Result:
    """A network of ours, trained with one seed."""
    train, test = split(folder, seed)
    text, saved = folder / "penguins.mdl", folder / "penguins.safetensors"
    text.write_text(TEXT, encoding="utf-8")
    trained = neuromorph(
        "train", text, "--data", train, "--targets", "Sex", "--ignore", ",".join(IGNORED), "--dates", "--missing",
        "mean", "--epochs", epochs, "--optimizer", "adam", "--rate", RATE, "--batch", BATCH, "--shuffle",
        "--validation", 0.2, "--patience", PATIENCE, "--seed", seed, "--save", saved,
    )  # fmt: skip
    score = number(r"accuracy ([\d.]+)", neuromorph("evaluate", saved, "--data", test))
    return Result(score, number(r"([\d.,]+) s$", trained.strip()), nm.load(saved).parameter_count, saved)


def scikits(seed: int, epochs: int, folder: Path) -> Result:
    """A perceptron of scikit-learn of the same size."""
    import pandas
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    train, test = (pandas.read_csv(path, parse_dates=["Date Egg"]) for path in split(folder, seed))
    for rows in (train, test):
        rows["Date Egg"] = (rows["Date Egg"] - pandas.Timestamp("2007-01-01")).dt.days
    encoder = make_column_transformer((OneHotEncoder(), WORDS), (SimpleImputer(), ["Date Egg", *MEASURES]))
    net = MLPClassifier(WIDTH, batch_size=BATCH, learning_rate_init=RATE, max_iter=epochs, early_stopping=True,
                        validation_fraction=0.2, n_iter_no_change=PATIENCE, random_state=seed)  # fmt: skip
    whole = make_pipeline(encoder, StandardScaler(), net)
    _, seconds = timed(lambda: whole.fit(train, train["Sex"]))
    parameters = sum(array.size for array in (*net.coefs_, *net.intercepts_))
    return Result(float(whole.score(test, test["Sex"])), seconds, parameters, whole)


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = options(__doc__, arguments)
    needs("palmerpenguins")
    needs("polars")
    epochs = 2 if chosen.quick else EPOCHS
    rows = {
        "neuromorph": runs("neuromorph", lambda seed: ours(seed, epochs, chosen.to), chosen.seeds),
        "scikit-learn": runs("scikit-learn", lambda seed: scikits(seed, epochs, chosen.to), chosen.seeds, "sklearn"),
    }
    table("accuracy, 83 penguins", rows)

    saved: Path = rows["neuromorph"][0].model
    print(f"\nsaved {saved} and loaded it again")
    _, test = split(chosen.to, chosen.seeds - 1)
    answers = neuromorph("predict", saved, "--data", test, "--labels", "-o", "-").split()
    with test.open(encoding="utf-8", newline="") as file:
        pairs = list(zip(csv.DictReader(file), answers, strict=True))
    with_gaps = [(row, answer) for row, answer in pairs if "NA" in (row[name] for name in MEASURES)]
    for row, answer in (*with_gaps[:2], *pairs[:2]):
        gaps = [name for name in MEASURES if row[name] == "NA"]
        known = f"without {' and '.join(gaps)}" if gaps else "all known"
        print(f"{row['Species'].split()[0]} of {row['Island']}, {known}: {answer}; it was {row['Sex']}")
    picture(saved.with_suffix(".png"), nm.load(saved).history.plot)


if __name__ == "__main__":
    main()
