"""A fit on a cluster gives what a fit in one process gives, whatever the data are; all workers are in this process."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("distributed")

import dask.array
import dask.bag
from distributed import Client, LocalCluster

import neuromorph as nm
from helpers.division import divide_everything
from neuromorph import distributed as cluster
from neuromorph.distributed import member
from neuromorph.distributed.member import members_here
from neuromorph.distributed.trainer import Trainer

SEQUENCE = "/xavier,zero/ (x, 3) {both, r, concatenate} (h, 5, <tanh>) [t, [r,]] (y, 2, <linear>, <mse>)"
VECTORS = "/xavier,zero/ (x, 3) (h, 5, <tanh>) (y, 2, <softmax>, <cross_entropy>)"
DROPS = SEQUENCE.replace("(y,", "(d, <dropout, 0.3>) (y,")
RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(16, 9, 3)), RNG.normal(size=(16, 9, 2))  # sequences: 16 in 7 lanes
LONG_X, LONG_Y = RNG.normal(size=(40, 7, 3)), RNG.normal(size=(40, 7, 2))  # one sequence
V, LABELS = RNG.normal(size=(59, 3)), RNG.integers(0, 2, 59)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A client of three workers in this process."""
    with (
        LocalCluster(n_workers=3, threads_per_worker=1, processes=False, dashboard_address=":0") as here,
        Client(here, set_as_default=False) as found,
    ):
        yield found
        assert not any(found.run(members_here).values())


def made(text: str = SEQUENCE, **options: Any) -> nm.Model:
    given = {"optimizer": nm.Adam(), "dtype": "float64", "clip_norm": 0.5, **options}
    return nm.build(nm.compile(text, 7, 0.05, **given), seed=3)


def assert_same(one: nm.Model, other: nm.Model, tolerance: float = 1e-12) -> None:
    for mine, others in (
        (one.get_parameters(), other.get_parameters()),
        (one.optimizer_state, other.optimizer_state),
        (one.state, other.state),
    ):
        for name in mine:
            np.testing.assert_allclose(mine[name], others[name], rtol=0, atol=tolerance, err_msg=name)
    for name in set(one.history.names) - {"seconds"}:
        mine, others = getattr(one.history, name), getattr(other.history, name)
        np.testing.assert_allclose(mine, others, rtol=0, atol=tolerance, err_msg=name)
    assert (one.history.updates, one.history.ended) == (other.history.updates, other.history.ended)


def check(client: Client, data: Any, alone: Any = None, text: str = SEQUENCE, **options: Any) -> nm.Model:
    """Fit by a cluster and in this process, and compare. alone: the data in this process."""
    compiled = {name: options.pop(name) for name in ("bptt_steps", "dtype", "optimizer") if name in options}
    here, there = made(text, **compiled), made(text, **compiled)
    here.fit(*(data if alone is None else alone), epochs=2, progress=False, **options)
    history = cluster.fit(client, there, *data, epochs=2, progress=False, **options)
    assert there.history is history
    assert history.cluster.workers == [3, 3]
    assert_same(here, there, 2e-6 if compiled.get("dtype") == "float32" else 1e-12)
    return there


@pytest.mark.parametrize(
    "options",
    [
        {"metrics": ("mae", "rmse"), "validation": (Y[:3] @ np.ones((2, 3)), Y[:3])},
        {"validation": 0.3},
        {"lengths": RNG.integers(1, 10, 16)},
        {"sample_weight": RNG.uniform(size=(16, 9)) * 1e-6},
        {"callbacks": nm.WarmupCosine(0.1, 2, 6)},
        {"bptt_steps": 4, "optimizer": nm.SGD(momentum=0.9)},
        {"dtype": "float32", "optimizer": "sgd"},
    ],
    ids=["metrics", "fraction", "lengths", "weights", "schedule", "windows", "float32"],
)
def test_sequences_in_uneven_shares(client: Client, options: dict[str, Any]) -> None:
    check(client, (X, Y), layout="NSW", **options)


def test_one_long_sequence_whose_state_goes_on(client: Client) -> None:
    there = check(client, (LONG_X, LONG_Y), bptt_steps=8, carry_state=True, validation=0.2, metrics="mae")
    assert there.history.updates == 2 * 4


def test_groups_of_sequences_with_four_axes(client: Client) -> None:
    lengths = np.array([9, 4])
    data = X[:14].reshape(2, 7, 9, 3).swapaxes(1, 2), Y[:14].reshape(2, 7, 9, 2).swapaxes(1, 2)
    check(client, data, lengths=lengths)
    check(client, tuple(map(dask.array.from_array, data)), data, lengths=lengths)


def test_components_that_are_not_known(client: Client) -> None:
    expected = np.where(RNG.uniform(size=Y.shape) < 0.3, np.nan, Y)
    check(client, (X, expected), layout="NSW", missing="skip")
    check(
        client, (dask.array.from_array(X), dask.array.from_array(expected)), (X, expected), layout="NSW", missing="skip"
    )


@pytest.mark.parametrize(("text", "data", "layout"), [(SEQUENCE, (X, Y), "NSW"), (VECTORS, (V, LABELS), "NW")])
def test_workers_of_several_threads(monkeypatch: pytest.MonkeyPatch, text: str, data: Any, layout: str) -> None:
    divide_everything(monkeypatch, 4)
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as here,
        Client(here, set_as_default=False) as found,
    ):
        one, other = made(text), made(text)
        one.fit(*data, layout=layout, epochs=2, progress=False)
        cluster.fit(found, other, *data, layout=layout, epochs=2, progress=False)
    assert (other.kernels.plan.gradient_copies > 1) == (text == SEQUENCE)
    assert_same(one, other)


def test_vectors_with_labels_and_weights_of_classes(client: Client) -> None:
    options = {"layout": "NW", "class_weight": {0: 2.0}, "metrics": "accuracy", "text": VECTORS, "bptt_steps": 2}
    check(client, (V, LABELS), validation=0.3, **options)
    check(client, (dask.array.from_array(V, chunks=(20, 3)), LABELS), (V, LABELS), **options)


@pytest.mark.parametrize("every", [1, 2])
def test_lanes_that_end_within_the_last_window_have_as_many_windows_as_others(client: Client, every: int) -> None:
    """Some lanes have 9 vectors and some 8, in windows of 3. Workers with one more window would wait for ever."""
    there = made(VECTORS, bptt_steps=3)
    data = dask.array.from_array(V, chunks=(20, 3)), LABELS
    options: dict[str, Any] = {"epochs": 2, "sync_every": every, "layout": "NW", "progress": False}
    fit = threading.Thread(target=cluster.fit, args=(client, there, *data), kwargs=options, daemon=True)
    fit.start()
    fit.join(60.0)
    assert not fit.is_alive()
    history = there.history
    assert isinstance(history, cluster.ClusterHistory)
    assert (history.updates, history.cluster.rounds) == (6, 6 if every == 1 else 4)
    if every == 1:
        here = made(VECTORS, bptt_steps=3)
        here.fit(V, LABELS, epochs=2, layout="NW", progress=False)
        assert_same(here, there)


def test_dask_arrays_and_futures(client: Client) -> None:
    lazy = dask.array.from_array(X, chunks=(5, 9, 3)), dask.array.from_array(Y, chunks=(6, 9, 2))
    check(client, lazy, (X, Y), layout="NSW", lengths=np.arange(16) % 9 + 1)
    futures = [[client.scatter(part, hash=False) for part in (array[:4], array[4:])] for array in (X, Y)]
    check(client, futures, (X, Y), layout="NSW")


def test_files(client: Client, tmp_path: Path) -> None:
    paths: dict[str, list[Path]] = {"x": [], "y": [], "z": []}
    for number, part in enumerate((slice(0, 3), slice(3, 11), slice(11, 16))):
        for name, array in (("x", X), ("y", Y)):
            paths[name].append(tmp_path / f"{name}{number}.npy")
            np.save(paths[name][-1], array[part])
        paths["z"].append(tmp_path / f"{number}.npz")
        np.savez(paths["z"][-1], inputs=X[part], expected=Y[part])
    check(client, (paths["x"], paths["y"]), (X, Y), layout="NSW", metrics="mae")
    bag = dask.bag.from_sequence(map(str, paths["z"]))
    there = made()
    cluster.fit(client, there, bag, epochs=2, layout="NSW", progress=False, validation=(paths["z"],))
    here = made()
    here.fit(X, Y, epochs=2, layout="NSW", progress=False, validation=(X, Y))
    assert_same(here, there)
    np.save(tmp_path / "v.npy", V)
    np.save(tmp_path / "labels.npy", LABELS)
    files = str(tmp_path / "v.npy"), tmp_path / "labels.npy"
    for steps in (2, 3):
        check(client, files, (V, LABELS), layout="NW", text=VECTORS, bptt_steps=steps, metrics="accuracy")
    for name, array in (("long_x", LONG_X), ("long_y", LONG_Y)):
        np.save(tmp_path / f"{name}.npy", array)
    check(client, (tmp_path / "long_x.npy", tmp_path / "long_y.npy"), (LONG_X, LONG_Y), bptt_steps=8)


def test_a_shuffle_does_not_depend_on_where_the_data_are(client: Client, tmp_path: Path) -> None:
    """Each lane has its own order, whoever has the lane."""
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    found = []
    for data, workers in (((X, Y), None), ((X, Y), 1), ((tmp_path / "x.npy", tmp_path / "y.npy"), None)):
        model = made()
        chosen = None if workers is None else list(client.nthreads())[:workers]
        options = {"epochs": 2, "progress": False, "layout": "NSW", "shuffle": True, "seed": 5, "workers": chosen}
        cluster.fit(client, model, *data, **options)
        found.append(model)
    for other in found[1:]:
        assert_same(found[0], other)
    plain = made()
    plain.fit(X, Y, epochs=2, progress=False, layout="NSW")
    assert not np.allclose(plain.history.loss, found[0].history.loss, rtol=0, atol=1e-9)


def test_averages_after_several_updates(client: Client) -> None:
    model = made(bptt_steps=4)
    history = cluster.fit(client, model, LONG_X, LONG_Y, epochs=3, sync_every=3, progress=False)
    assert (history.updates, history.cluster.rounds) == (30, 3 * 4)
    assert history.loss[-1] < history.loss[0]
    one = made(bptt_steps=4)
    address = next(iter(client.nthreads()))
    cluster.fit(client, one, LONG_X, LONG_Y, epochs=3, sync_every=3, progress=False, workers=[address])
    alone = made(bptt_steps=4)
    alone.fit(LONG_X, LONG_Y, epochs=3, progress=False)
    assert_same(alone, one)


@pytest.mark.parametrize("frozen", [(), "h"])
@pytest.mark.parametrize("every", [1, 3])
def test_workers_whose_flat_arrays_differ_get_the_same_numbers(
    client: Client, monkeypatch: pytest.MonkeyPatch, every: int, frozen: Any
) -> None:
    """Such as those of processors with other vectors: averages are then in text order."""
    alike, different = made(bptt_steps=4, frozen=frozen), made(bptt_steps=4, frozen=frozen)
    before = alike.get_parameters()
    cluster.fit(client, alike, LONG_X, LONG_Y, epochs=2, sync_every=every, progress=False)
    monkeypatch.setattr(Trainer, "layout_digest", lambda trainer: os.urandom(16))
    cluster.fit(client, different, LONG_X, LONG_Y, epochs=2, sync_every=every, progress=False)
    assert_same(alike, different)
    for name, value in alike.get_parameters().items():
        is_same = np.array_equal(value, before[name])
        assert is_same == (bool(frozen) and name.startswith("h.")), name


@pytest.mark.parametrize("every", [1, 2])
def test_dropout(client: Client, every: int) -> None:
    """Each worker has masks of its own; the count of updates is that of one process."""
    here, there = made(DROPS, bptt_steps=8), made(DROPS, bptt_steps=8)
    plain = made(SEQUENCE, bptt_steps=8)
    for model in (here, plain):
        model.fit(LONG_X, LONG_Y, epochs=2, progress=False)
    cluster.fit(client, there, LONG_X, LONG_Y, epochs=2, sync_every=every, progress=False)
    assert there.dropout_state == here.dropout_state
    assert abs(there.history.loss[1] - plain.history.loss[1]) > 1e-6
    assert np.isfinite(there.history.loss).all()


def test_two_runs_at_once(client: Client) -> None:
    """Neither waits for a worker that the other one holds."""
    here = made()
    here.fit(X, Y, epochs=3, layout="NSW", progress=False)
    models = [made(), made()]
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(cluster.fit, client, model, X, Y, epochs=3, layout="NSW", progress=False) for model in models
        ]
        assert [run.result(60).cluster.workers for run in runs] == [[3] * 3] * 2
    for model in models:
        assert_same(here, model)


def test_pickles_have_a_plain_history(client: Client) -> None:
    model = made()
    history = cluster.fit(client, model, X, Y, epochs=1, layout="NSW", progress=False)
    again = pickle.loads(pickle.dumps(model))
    assert type(again.history) is nm.History
    assert again.history.loss == history.loss


def test_callbacks_run_here(client: Client, tmp_path: Path) -> None:
    model, path = made(), tmp_path / "model.nm"
    stopping = nm.EarlyStopping(patience=1, min_delta=1e9)
    history = cluster.fit(
        client, model, X, Y, epochs=9, layout="NSW", validation=(X, Y), progress=False,
        callbacks=[nm.Checkpoint(path), stopping],
    )  # fmt: skip
    assert (len(history), history.ended, history.best_epoch) == (2, "early stopping", 0)
    loaded = nm.load(path)
    assert loaded.history.loss == history.loss
    cluster.fit(client, model, X, Y, epochs=1, layout="NSW", initial_epoch=history.next_epoch, progress=False)
    assert model.history.updates == 3 * 3


def test_members_do_not_answer_for_an_epoch_that_they_have_not_begun(client: Client) -> None:
    """Their last average is that of the epoch before."""
    answers = []

    class Asking(nm.Callback):
        def after_epoch(self, run: Any) -> None:
            for (key, address), one in member._members.items():
                asked = [(key, one.opening.generation, epoch, True) for epoch in (0, 1)]
                answers.append([client.run(member.look, *each, workers=[address])[address] for each in asked])

    cluster.fit(client, made(), X, Y, epochs=1, layout="NSW", progress=False, callbacks=Asking())
    assert [(now[0][0], then) for now, then in answers] == [(3, None)] * 3


def test_divergence_leaves_the_last_average(client: Client) -> None:
    model = made(optimizer="sgd", clip_norm=None)
    model.learning_rate = 1e300
    before = model.get_parameters()
    with pytest.raises(nm.TrainingDivergedError, match="epoch 1, window 1"):
        cluster.fit(client, model, X * 1e30, Y * 1e30, epochs=2, layout="NSW", progress=False)
    assert model.history.ended == "diverged"
    for name, value in model.get_parameters().items():
        np.testing.assert_array_equal(value, before[name])


def test_wrong_arguments_change_nothing(client: Client, tmp_path: Path) -> None:
    model = made()
    bad = Y.copy()
    bad[9, 2, 1] = np.nan
    cases: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
        (nm.DataError, "expected.9, 2, 1. is nan", (X, bad), {}),
        (nm.DataError, "lanes . to ., on inproc.*expected.*is nan", (dask.array.from_array(X), bad), {}),
        (nm.DataError, "can't read .*none.npy", (tmp_path / "none.npy", tmp_path / "none.npy"), {}),
        (nm.DataError, "must be paths of files as well", (tmp_path / "none.npy", Y), {}),
        (nm.DataError, "fraction", (dask.array.from_array(X), Y), {"validation": 0.2}),
        (nm.DataError, "inputs has width 2", (dask.array.from_array(Y), Y), {}),
        (nm.DataError, "expected has 9 on axis 0", (dask.array.from_array(X), Y[:9]), {}),
        (nm.DataError, "each sequence starts from zero state", (X, Y), {"carry_state": True}),
        (ValueError, "metrics has a function", (X, Y), {"metrics": lambda expected, result: 0.0}),
        (ValueError, "sync_every must be at least 1", (X, Y), {"sync_every": 0}),
        (TypeError, "callbacks must be", (X, Y), {"callbacks": 3}),
        (TypeError, "workers must be a list of addresses", (X, Y), {"workers": "tcp://127.0.0.1:1"}),
    ]
    for kind, message, data, options in cases:
        with pytest.raises(kind, match=message):
            cluster.fit(client, model, *data, epochs=1, progress=False, **{"layout": "NSW", **options})
    with pytest.raises(TypeError, match=r"client must be a distributed\.Client"):
        cluster.fit(None, model, X, Y, epochs=1)
    with pytest.raises(nm.ModelStateError, match="not built"):
        cluster.fit(client, nm.compile(SEQUENCE, 7, 0.1), X, Y, epochs=1)


def test_more_workers_than_lanes(client: Client) -> None:
    here, there = (nm.build(nm.compile(SEQUENCE, 2, 0.05, dtype="float64"), seed=1) for _ in range(2))
    here.fit(X, Y, epochs=1, layout="NSW", progress=False)
    history = cluster.fit(client, there, X, Y, epochs=1, layout="NSW", progress=False)
    assert_same(here, there)
    assert history.cluster.workers == [2]
    assert "1 of 3 workers have nothing to do" in str(history.cluster)
