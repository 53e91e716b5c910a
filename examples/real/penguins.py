"""A table with words, dates and gaps: is a penguin male or female?

    python examples/real/penguins.py            three seeds, the median, and scikit-learn beside it
    python examples/real/penguins.py --quick    a tiny setting, to see that everything runs

The data set comes with the package palmerpenguins (Gorman, Williams and Fraser 2014): 344 penguins of three species on
three islands, with the date of their eggs, their measures, and isotopes in their blood, some of them not known. The sex
of 333 is known. A quarter of these is the test; each seed draws another one. Another fifth of the rest is held out to
choose the best epoch, by each library in its own way.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from importlib.resources import files
from typing import Any

import numpy as np
from comparing import Result, needs, options, picture, runs, table, timed

import neuromorph as nm

WORDS = ("Species", "Island", "Clutch Completion")
MEASURES = ("Culmen Length (mm)", "Culmen Depth (mm)", "Flipper Length (mm)", "Body Mass (g)", "Delta 15 N (o/oo)",
            "Delta 13 C (o/oo)")  # fmt: skip
WIDTH, EPOCHS, BATCH, RATE, PATIENCE = 16, 300, 16, 0.003, 20
TEXT = """
/xavier,zero/
(row, {columns})
(scaled, <standardize>)
(hidden, {width}, <relu>)
(male, 1, <sigmoid>, <binary_cross_entropy>)
"""
Row = dict[str, str]


@dataclass
class Encoding:
    """How rows become numbers. words: of each column of words, in order. fillings: the mean of each measure."""

    words: dict[str, list[str]]
    fillings: dict[str, float]

    @classmethod
    def of(cls, rows: list[Row]) -> Encoding:
        """The encoding that is learnt from the rows to train."""
        known = {name: [float(row[name]) for row in rows if row[name] != "NA"] for name in MEASURES}
        return cls({name: sorted({row[name] for row in rows}) for name in WORDS},
                   {name: float(np.mean(numbers)) for name, numbers in known.items()})  # fmt: skip

    def numbers(self, rows: list[Row]) -> Any:
        """Rows as numbers (N, W): 1 for each word that is there, the day of the season, measures, the mean for gaps."""
        return np.array([[*self._words(row), _day(row["Date Egg"]), *self._measures(row)] for row in rows])

    def _words(self, row: Row) -> list[float]:
        return [float(row[name] == word) for name, words in self.words.items() for word in words]

    def _measures(self, row: Row) -> list[float]:
        return [mean if row[name] == "NA" else float(row[name]) for name, mean in self.fillings.items()]


def _day(written: str) -> float:
    """The days since the first of October of the season, from a date such as 2007-11-11."""
    day = date.fromisoformat(written)
    return float((day - date(day.year, 10, 1)).days)


def penguins() -> list[Row]:
    """The rows of all penguins whose sex is known."""
    with (files("palmerpenguins") / "data" / "penguins-raw.csv").open(encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["Sex"] in ("MALE", "FEMALE")]


def split(rows: list[Row], seed: int) -> tuple[list[Row], list[Row]]:
    """The rows to train, and a quarter to test, as the seed says."""
    order = np.random.default_rng(seed).permutation(len(rows))
    return [rows[n] for n in order[len(rows) // 4 :]], [rows[n] for n in order[: len(rows) // 4]]


def labels_of(rows: list[Row]) -> Any:
    """1 for a male, 0 for a female."""
    return np.array([int(row["Sex"] == "MALE") for row in rows])


def ours(seed: int, epochs: int, rows: list[Row]) -> Result:
    """A network of ours, trained with one seed."""
    train, test = split(rows, seed)
    encoding = Encoding.of(train)
    inputs, labels = encoding.numbers(train), labels_of(train)
    text = TEXT.format(columns=inputs.shape[1], width=WIDTH)
    model = nm.compile(text, BATCH, RATE, optimizer="adam")

    def learn() -> None:
        model.build(seed=seed)
        model.adapt(inputs, layout="NW")
        model.fit(inputs, labels, epochs=epochs, validation=0.2, layout="NW", shuffle=True, seed=seed,
                  callbacks=nm.EarlyStopping(patience=PATIENCE), metrics="accuracy")  # fmt: skip

    _, seconds = timed(learn)
    score = model.accuracy(encoding.numbers(test), labels_of(test), layout="NW")
    return Result(score, seconds, model.parameter_count, (model, encoding))


def scikits(seed: int, epochs: int, rows: list[Row]) -> Result:
    """A perceptron of scikit-learn of the same size."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = split(rows, seed)
    encoding = Encoding.of(train)
    net = MLPClassifier(WIDTH, batch_size=BATCH, learning_rate_init=RATE, max_iter=epochs, early_stopping=True,
                        validation_fraction=0.2, n_iter_no_change=PATIENCE, random_state=seed)  # fmt: skip
    whole = make_pipeline(StandardScaler(), net)
    _, seconds = timed(lambda: whole.fit(encoding.numbers(train), labels_of(train)))
    parameters = sum(array.size for array in (*net.coefs_, *net.intercepts_))
    return Result(float(whole.score(encoding.numbers(test), labels_of(test))), seconds, parameters, whole)


def main(arguments: Sequence[str] | None = None) -> None:
    chosen = options(__doc__, arguments)
    needs("palmerpenguins")
    rows, epochs = penguins(), 2 if chosen.quick else EPOCHS
    results = {
        "neuromorph": runs("neuromorph", lambda seed: ours(seed, epochs, rows), chosen.seeds),
        "scikit-learn": runs("scikit-learn", lambda seed: scikits(seed, epochs, rows), chosen.seeds, "sklearn"),
    }
    table(f"accuracy, {len(rows) // 4} penguins", results)

    path = chosen.to / "penguins.safetensors"
    trained, encoding = results["neuromorph"][0].model
    trained.save(path)
    path.with_suffix(".json").write_text(json.dumps(asdict(encoding)), encoding="utf-8")
    model = nm.load(path)
    encoding = Encoding(**json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    print(f"\nsaved {path} and loaded it again")
    with_gaps = [row for row in split(rows, 0)[1] if "NA" in (row[name] for name in MEASURES)]
    for row in with_gaps[:3]:
        male = model.predict(encoding.numbers([row]), layout="NW")[0, 0]
        print(f"{row['Species'].split()[0]} of {row['Island']}, {row['Body Mass (g)']} g, isotopes not known: "
              f"male with {male:.0%}; it was {row['Sex'].lower()}")  # fmt: skip
    picture(chosen.to / "penguins.png", model.history.plot)


if __name__ == "__main__":
    main()
