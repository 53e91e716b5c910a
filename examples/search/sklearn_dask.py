"""scikit-learn's GridSearchCV over texts, on the workers of a Dask cluster through joblib.

The cluster is one of this machine. For another one, give its scheduler's address to ``Client``; see docs/sweeps.md.

    pip install -e ".[sklearn,distributed]"
    python examples/search/sklearn_dask.py
"""

from __future__ import annotations

import argparse

import joblib
from distributed import Client, LocalCluster
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from neuromorph.sklearn import MDLClassifier

TEXT = "/xavier,zero/ (input, $inputs) (hidden, {}, <tanh>) (output, $outputs, <softmax>, <cross_entropy>)"
GATED = """
/xavier,zero/
(input, $inputs)
[gate, (g, 8, <sigmoid>)]
(hidden, 8, <tanh>)
{gated, g, multiplicative}
(output, $outputs, <softmax>, <cross_entropy>)
"""


def search(epochs: int, rates: list[float]) -> GridSearchCV:
    """A search over texts and learning rates that is fitted; joblib's backend decides where."""
    X, y = load_wine(return_X_y=True)  # noqa: N806 - scikit-learn's name
    network = MDLClassifier(TEXT.format(4), epochs=epochs, optimizer="adam", tier="instant", random_state=0)
    grid = {
        "mdlclassifier__mdl": [TEXT.format(4), TEXT.format(16), GATED],
        "mdlclassifier__learning_rate": rates,
    }
    return GridSearchCV(make_pipeline(StandardScaler(), network), grid, cv=3).fit(X, y)


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Search over texts by GridSearchCV on Dask.")
    parser.add_argument("--workers", type=int, default=2, help="processes of the cluster (default 2)")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of each network (default 30)")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.003, 0.03], help="learning rates")
    chosen = parser.parse_args(given)
    with (
        LocalCluster(n_workers=chosen.workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
        joblib.parallel_backend("dask"),
    ):
        found = search(chosen.epochs, chosen.rates)
    print(f"{len(found.cv_results_['params'])} settings, the best accuracy {found.best_score_:.3f}")
    print(f"learning rate {found.best_params_['mdlclassifier__learning_rate']}, and the text")
    print(found.best_params_["mdlclassifier__mdl"].strip())


if __name__ == "__main__":
    main()
