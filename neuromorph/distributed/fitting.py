"""``fit`` on a cluster: reads its arguments as ``neuromorph.fit`` does, and runs the same loop over epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from numbers import Real
from typing import Any

from distributed import Client

from ..data.arrays import TrainingData
from ..errors import ClusterError, DataError, brief
from ..host.frozen import frozen
from ..interface import Callback, Model
from ..options import finite_number, flag, whole_number
from ..prediction import State
from ..runtime import seeding
from ..training.callbacks import Run
from ..training.checks import check_carried
from ..training.epochs import checked_callbacks, names_of, run_epochs, run_of
from ..training.fit import divided
from ..training.metrics import Metric, checked_metrics
from ..training.sources import Reading
from ..training.truncation import warn_of_hidden_steps
from .cluster import Workers
from .monitoring import servers_of, slower_monitoring
from .report import ClusterHistory
from .running import ClusterRun, Settings
from .sources import NAMES, Here, Source, read_source


@frozen
class _Measured:
    """What a run on a cluster measures after each epoch. follows: whether the data held out continue the sequence."""

    run: ClusterRun
    metrics: tuple[Metric, ...]
    held_out: bool
    carries: bool
    follows: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The histories that the run records."""
        return names_of(self.metrics, trained=True, held_out=self.held_out)

    def measure(self, run: Run, before: State | None) -> dict[str, float]:
        """The numbers that are measured with the parameters at the end of an epoch, by name."""
        found: dict[str, float] = {}
        if self.metrics:
            found |= self.run.measure("data", self.metrics, self.carries, before)
        if self.held_out:
            after = run.model.state if self.follows else None
            numbers = self.run.measure("held_out", self.metrics, self.follows, after)
            found |= {f"validation_{name}": value for name, value in numbers.items()}
        return found


def fit(
    client: Client, model: Model, inputs: Any, expected: Any = None, *, epochs: int, sync_every: int = 1,
    validation: Any = None, shuffle: bool = False, callbacks: Callback | Iterable[Callback] = (), progress: bool = True,
    sample_weight: Any = None, lengths: Any = None, metrics: str | Iterable[str] = (), seed: int | None = None,
    carry_state: bool = False, layout: str | None = None, class_weight: Mapping[int, float] | None = None,
    missing: str = "error", initial_epoch: int = 0, workers: Iterable[str] | None = None, patience: float = 60.0,
) -> ClusterHistory:  # fmt: skip
    """Train epoch by epoch on the workers of a Dask cluster; the history, whose ``cluster`` reports on the workers.

    client: a ``distributed.Client``. model: built; ``batch_size`` is that of the whole, and each worker trains a part
    of the lanes. It has the last average whenever this function returns or raises.

    inputs, expected, sample_weight, lengths: as in ``neuromorph.fit``, as (a) arrays here, which are checked here, and
    of which each worker gets its lanes; (b) a Dask array, or a list of futures of arrays that follow one another
    along the first axis: workers compute their lanes; (c) paths of NPY files, one or a list of them, or a Dask bag of
    paths, whose arrays follow one another along the first axis: each worker reads them by itself, and with a layout
    they are mapped and read piece by piece. NPZ files have all arguments under their names; then ``expected`` is left
    out. With (b) and (c), data are checked on the workers, and all sequences have the same number of steps, of which
    ``lengths`` may leave some out.

    sync_every: 1 averages the gradients of all workers before each update, which gives what one process gives but for
    rounding (dropout masks differ). k > 1: each worker makes k updates of its own, then parameters, optimizer slots and
    counts are averaged.

    epochs, validation, callbacks, progress, seed, carry_state, layout, class_weight, missing, initial_epoch: as in
    ``neuromorph.fit``. Callbacks run here. A fraction as ``validation`` needs arrays here. metrics: names only.
    shuffle: each lane's sequences or vectors come in a new order in each epoch, and stay in their lane.

    workers: the addresses of the workers that may take part; None means all. Workers that join take part from the next
    epoch on. When one is lost, the others divide its lanes and the epoch goes on from the last average; the recurrent
    state of its lanes begins from zeros. patience: seconds to wait for a worker when there is none.

    Raises what ``neuromorph.fit`` raises; ClusterError if no worker or no scheduler is left. Ctrl-C stops the workers
    after the next average.
    """
    _check(client, model, workers)
    given = dict(zip(NAMES, (inputs, expected, sample_weight, lengths), strict=True))
    reading = Reading.of(model, missing, class_weight, layout)
    carries, drawn = flag("carry_state", carry_state), _seed(seed) if flag("shuffle", shuffle) else None
    settings = Settings(whole_number("sync_every", sync_every), drawn, finite_number("patience", patience))
    numbers = whole_number("epochs", epochs), whole_number("initial_epoch", initial_epoch, least=0)
    measured = _measured(Workers(client, workers), model, given, reading, validation, carries, metrics, settings)
    return _run(measured, model, *numbers, checked_callbacks(callbacks), progress)


def _measured(
    workers: Workers,
    model: Model,
    given: Mapping[str, Any],
    reading: Reading,
    validation: Any,
    carries: bool,
    metrics: Any,
    settings: Settings,
) -> _Measured:
    """The run of checked arguments, and what it measures."""
    asked = _named_metrics(model, metrics)
    data, held_out = _sources(workers.client, model, given, reading, validation, carries)
    _check_order(model, data, carries=carries, mixes=settings.seed is not None)
    window = model.window_of(data.spans.samples) if data.spans.sequences else model.bptt_steps
    cluster = ClusterRun(workers, model, data, held_out, settings, window)
    return _Measured(cluster, asked, held_out is not None, carries, carries and isinstance(validation, Real))


def _run(
    measured: _Measured, model: Model, epochs: int, first: int, watchers: tuple[Callback, ...], progress: bool
) -> ClusterHistory:
    """Run the epochs."""
    run = run_of(model, measured, epochs, first, ClusterHistory)
    for callback in watchers:
        callback.check(run)
    assert isinstance(run.history, ClusterHistory)
    measured.run.begin(first, run.history.cluster)
    try:
        with slower_monitoring(servers_of(measured.run.workers.client)):
            run_epochs(run, measured, measured.run, watchers, progress=progress)
    finally:
        measured.run.close()
    return run.history


# Arguments ------------------------------------------------------------------------------------------------------------


def _check(client: Any, model: Any, workers: Any) -> None:
    if not isinstance(client, Client):
        raise TypeError(f"client must be a distributed.Client, not {brief(client)}")
    if client.asynchronous:
        raise ValueError("client is asynchronous, but fit needs one that waits: Client(…) without asynchronous=True")
    if client.status != "running":
        raise ClusterError(f"client is {client.status}: it has no connection to a scheduler")
    if not isinstance(model, Model):
        raise TypeError(f"model must be a neuromorph model, not {brief(model)}")
    model.memory()
    if isinstance(workers, str):
        raise TypeError(f"workers must be a list of addresses, not the text {workers!r}")


def _named_metrics(model: Model, metrics: Any) -> tuple[Metric, ...]:
    """The metrics of a call. Their means over workers must be those of the whole, which is so of the named ones."""
    found = checked_metrics(model, metrics)
    for metric in found:
        if metric.own is not None:
            raise ValueError(
                f"metrics has a function, {metric.name}, which would need all results in one place: give names of "
                "metrics, and compute others with predict, in a callback"
            )
    return found


def _sources(
    client: Client, model: Model, given: Mapping[str, Any], reading: Reading, validation: Any, carries: bool
) -> tuple[Source, Source | None]:
    """The data to learn from, and those for validation or None."""

    def check() -> TrainingData:
        data = reading.read(model, *(given[name] for name in NAMES))
        check_carried(data, carries)
        warn_of_hidden_steps(model, data)
        return data

    source = read_source(client, model, given, reading, check)
    if validation is None:
        return source, None
    plain = replace(reading, class_weight=None)
    if isinstance(validation, Real):
        if not isinstance(source, Here):
            raise DataError("validation is a fraction, which needs arrays in this process: give (inputs, expected)")
        data, held_out = divided(model, source.data, validation, reading)
        assert held_out is not None
        return Here(data, reading, weighted=source.weighted), Here(held_out, plain, weighted=source.weighted)
    if isinstance(validation, tuple | list) and 1 <= len(validation) <= 4:
        named = dict(zip(NAMES, [*validation, *[None] * 3], strict=False))
        try:
            other = read_source(client, model, named, plain, lambda: plain.read(model, *named.values()))
        except DataError as error:
            raise DataError(f"validation: {error}") from error
        return source, other
    raise DataError(
        "validation must be (inputs, expected), (inputs, expected, sample_weight), (inputs, expected, sample_weight, "
        "lengths), (paths of NPZ files,) or a fraction such as 0.2"
    )


def _check_order(model: Model, data: Source, *, carries: bool, mixes: bool) -> None:
    """Refuse to carry a state from one of several sequences to the next, and to shuffle the steps of one."""
    recurrent = model.graph.has_time_links
    if carries and data.spans.sequences:
        raise DataError("carry_state can't be used with several sequences: each starts from zero state")
    if mixes and recurrent and not data.spans.sequences:
        raise DataError("shuffle would tear a sequence apart: give several sequences, by 4 axes or layout='NSW'")
    if mixes and not recurrent and data.spans.sequences and not data.mapped:
        data.spans = data.spans.as_one()


def _seed(seed: int | None) -> int:
    """The seed of the shuffles; None draws one from the generator that ``build`` uses."""
    if seed is None:
        with seeding.lock:
            return int(seeding.generator().integers(2**63))
    return seeding.checked_seed(seed)
