"""The functions that a run has its Dask workers call. A member is what a worker holds for a run.

A member lives as long as its worker knows the result of ``open_member``: when the client releases that result, or is
gone, Dask forgets it, and a thread that looks after the members closes this one.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import distributed
import numpy as np
from distributed.comm.addressing import get_address_host, parse_address
from numpy.typing import NDArray

from ..data.arrays import TrainingData
from ..errors import ClusterError, DataError
from ..host.forks import new_lock
from ..host.frozen import frozen
from ..runtime.network import Network
from ..training.loop import measure
from ..training.means import total_weight
from ..training.metrics import ROOT, Metric, measured
from ..training.sources import Reading
from ..version import __version__
from .listener import Listener
from .mesh import Contexts, Mesh, PeerLostError
from .monitoring import slower_monitoring
from .shares import Files, Held, Lanes, Mapped, Share, Spans, nothing, open_array, read_share, rows_of
from .tasks import Outcome, Task
from .trainer import Trainer

Array = NDArray[Any]
Place = tuple[str, int]  # the host and port where other members reach one
PROTOCOLS = ("tcp", "tls", "inproc")


@frozen
class Portion:
    """How a worker gets its share: what the client hands over beside this, by name; or files that it reads itself.

    Of a name alone, "data" is checked data of these lanes. spans: of the whole data.
    """

    spans: Spans
    reading: Reading
    names: tuple[str, ...] = ()
    files: Files | None = None


@frozen
class Opening:
    """What a worker needs to become a member: the run's key and generation, and its lanes.

    as_vectors: whether sequences are taken as single vectors.
    """

    key: bytes
    generation: int
    version: str
    lanes: Lanes
    capacity: int
    portion: Portion
    held_out: Portion | None = None
    wide: bool = False
    as_vectors: bool = False


@frozen
class Opened:
    """What a new member tells the client: where others reach it, its process, and a digest of the layout of its flat
    arrays."""

    place: Place
    process: int
    layout: bytes


@dataclass(eq=False)
class Member:
    """A worker's part of a run. task: the key of the result that stands for it in Dask."""

    opening: Opening
    worker: Any
    task: Any
    trainer: Trainer
    held_out: Share | None
    listener: Listener
    contexts: Contexts
    mesh: Mesh | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def joined(self, places: tuple[Place, ...], rank: int) -> Mesh:
        """The connections with the others. Raises PeerLostError if they can't be reached."""
        if self.mesh is None:
            name = self.opening.key, self.opening.generation
            self.mesh = Mesh(self.listener, places, rank, *name, self.contexts, self.cancelled.is_set)
        return self.mesh

    def close(self) -> None:
        """End what waits for others, and give back what the member holds."""
        self.cancelled.set()
        self.trainer.stops = True
        if self.mesh is not None:
            self.mesh.abort()
        self.listener.close()


_members: dict[tuple[bytes, str], Member] = {}
_lock = new_lock()
_watcher: threading.Thread | None = None
_LOOK = 1.0  # seconds between two looks whether Dask still knows the members


def _add(name: tuple[bytes, str], member: Member) -> None:
    """Keep a member, as long as Dask knows it."""
    global _watcher
    with _lock:
        _members[name] = member
        if _watcher is None:
            _watcher = threading.Thread(target=_watch, name="neuromorph-members", daemon=True)
            _watcher.start()


def _watch() -> None:
    """Close members whose results Dask has forgotten, until there are none."""
    global _watcher
    while True:
        time.sleep(_LOOK)
        for name, member in list(_members.items()):
            if member.task not in member.worker.state.tasks:
                _close(name, member.opening.generation)
        with _lock:
            if not _members:
                _watcher = None
                return


def _close(name: tuple[bytes, str], generation: int | None = None) -> None:
    """Close a worker's member of a run, unless it is of another generation."""
    with _lock:
        member = _members.get(name)
        if member is None or generation not in (None, member.opening.generation):
            return
        del _members[name]
    member.close()


# What the client asks for --------------------------------------------------------------------------------------------


def open_member(opening: Opening, contents: dict[str, Any], *given: Any) -> Opened:
    """Become a member: make the model for these lanes, read the share, and listen for the other members.

    contents: of the whole model. given: what the portions name, those of the training data first.
    """
    if opening.version != __version__:
        raise ClusterError(f"this worker has neuromorph {__version__}, and the client has {opening.version}")
    worker = distributed.get_worker()
    name = opening.key, worker.address
    _close(name)
    model = _model(opening.lanes, contents, worker.state.nthreads)
    count = len(opening.portion.names)
    share = _share(opening, opening.portion, model, given[:count], worker.address)
    if opening.as_vectors and isinstance(share, Held):
        share = share.as_vectors()
    held_out = None
    if opening.held_out is not None:
        held_out = _share(opening, opening.held_out, model, given[count:], worker.address)
    network, host, contexts = _listening(worker)
    listener = Listener(network, host, opening.key if contexts.client is None else None)

    trainer = Trainer(model, share, opening.capacity, opening.lanes, opening.wide)
    task = worker.get_current_task()
    _add(name, Member(opening, worker, task, trainer, held_out, listener, contexts))
    return Opened((host, listener.port), os.getpid(), trainer.layout_digest())


def train_part(key: bytes, generation: int, task: Task, numbers: Any, rank: int, places: tuple[Place, ...]) -> Outcome:
    """Do a task together with the other members, outside the worker's thread pool, which stays free for others.

    numbers: the parameters and optimizer slots to begin with, or None.
    """
    member = _member(key, generation)
    if member is None:
        return Outcome("broken", -1, task.updates)
    distributed.secede()
    try:
        mesh = member.joined(places, rank)
    except PeerLostError:
        return Outcome("broken", -1, task.updates)
    try:
        with slower_monitoring([member.worker]):
            return member.trainer.run(task, numbers, mesh)
    except BaseException:
        mesh.abort()  # so that the others do not wait for this one
        raise


def numbers_of(key: bytes, generation: int) -> Any:
    """The average that a member has after a task; None if this is no member now."""
    member = _member(key, generation)
    return None if member is None else member.trainer.learned.get()


def measure_part(
    key: bytes, generation: int, which: str, metrics: tuple[Metric, ...], carries: bool, state: Any
) -> dict[str, tuple[float, float]] | None:
    """Sums over these lanes by the name of a number: its weighted sum and the weight. None if this is no member now.

    which: "data" or "held_out". carries: whether to go on from ``state``, or where that is None from the present one.
    The loss is not computed of the data for training.
    """
    member = _member(key, generation)
    if member is None:
        return None
    share = member.trainer.share if which == "data" else member.held_out
    assert share is not None
    model, found = member.trainer.model, dict[str, tuple[float, float]]()
    before = (model.state if state is None else state) if carries else None
    for data in share.wholes():
        weight = total_weight(data.weights, data.inputs.size // data.inputs.shape[-1])
        numbers = {"loss": measure(model, data, carry_state=carries)} if which != "data" else {}
        whole = measured(model, metrics, data, before)
        numbers |= {metric.name: _summable(metric, whole[metric.name]) for metric in metrics}
        for name, value in numbers.items():
            total, sum_of_weights = found.get(name, (0.0, 0.0))
            found[name] = total + value * weight, sum_of_weights + weight
    return found


def look(
    key: bytes, generation: int, epoch: int, wants: bool, dask_worker: Any
) -> tuple[tuple[int, float], Any] | None:
    """How far the task is, and the last average, if one was asked for since; None if it is of another epoch, or has not
    begun.

    wants: whether to ask for the next average.
    """
    member = _members.get((key, dask_worker.address))
    if member is None or member.opening.generation != generation or member.trainer.epoch != epoch:
        return None
    trainer = member.trainer
    found, trainer.snapshot = trainer.snapshot, None
    trainer.wants = trainer.wants or wants
    return trainer.progress, found


def stop(key: bytes, generation: int, dask_worker: Any) -> None:
    """Have all members stop after the next average."""
    member = _members.get((key, dask_worker.address))
    if member is not None and member.opening.generation == generation:
        member.trainer.stops = True


def abort(key: bytes, generation: int, dask_worker: Any) -> None:
    """Have a member that waits for others give up."""
    member = _members.get((key, dask_worker.address))
    if member is not None and member.opening.generation == generation:
        member.cancelled.set()
        if member.mesh is not None:
            member.mesh.abort()


def close(key: bytes, generation: int, dask_worker: Any) -> None:
    """Give back what a member holds."""
    _close((key, dask_worker.address), generation)


def members_here() -> list[tuple[str, int]]:
    """The members that this process has: the addresses of their workers, and their generations."""
    return [(address, member.opening.generation) for (_, address), member in _members.items()]


def headers(files: Mapping[str, tuple[str, ...]]) -> dict[str, list[tuple[int, ...]]]:
    """The shapes of the arrays of files, by argument."""
    return {name: [open_array(path, name).shape for path in paths] for name, paths in files.items()}


def names_in(path: str) -> list[str]:
    """The names of the arrays of an NPZ file."""
    try:
        with np.load(path, allow_pickle=False) as found:
            return list(found)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"inputs: the worker can't read {path}: {error}") from error


def new_key() -> bytes:
    """The key of a run, by which its members know one another."""
    return secrets.token_bytes(32)


# Parts ----------------------------------------------------------------------------------------------------------------


def _member(key: bytes, generation: int) -> Member | None:
    """This worker's member of a run, unless it has one of another generation."""
    member = _members.get((key, distributed.get_worker().address))
    return member if member is not None and member.opening.generation == generation else None


def _model(lanes: Lanes, contents: dict[str, Any], threads: int) -> Network:
    """The model for these lanes, with as many threads as the worker has at most."""
    options = contents["options"]
    most = threads if options.threads is None else min(threads, options.threads)
    model = Network.__new__(Network)
    model.__setstate__(contents | {"options": replace(options, batch_size=lanes.count, threads=max(1, most))})
    return model


def _share(opening: Opening, portion: Portion, model: Network, given: tuple[Any, ...], address: str) -> Share:
    """The share of a portion."""
    parts, lanes = dict(zip(portion.names, given, strict=True)), opening.lanes
    if "data" in parts:
        data = _aligned(parts["data"])
        return Held(portion.reading.weighted(model, data), portion.spans, data)
    where = f"lanes {lanes.first} to {lanes.stop - 1}, on {address}: "
    if portion.files is not None:
        if portion.files.can_be_mapped and portion.reading.layout is not None:
            return Mapped(portion.files, lanes, portion.reading, model, portion.spans)
        parts = _read_files(portion.files, lanes, portion.reading.layout)
    if portion.reading.layout is not None and not len(parts["inputs"]):
        data = nothing(model, portion.spans)
    else:
        data = read_share(model, portion.reading, parts, where)
    return Held(portion.reading.weighted(model, data), portion.spans, data)


def _aligned(data: TrainingData) -> TrainingData:
    """The data with arrays that kernels can read: what comes over a connection may begin at any byte."""
    weights = None if data.weights is None else np.require(data.weights, None, ("C", "A"))
    inputs, expected = (np.require(each, None, ("C", "A")) for each in (data.inputs, data.expected))
    return replace(data, inputs=inputs, expected=expected, weights=weights)


def _read_files(files: Files, lanes: Lanes, layout: str | None) -> dict[str, Array]:
    """The arrays of these lanes, copied out of files."""
    found = {}
    for name, arrays in files.mapped().items():
        if layout is not None:
            found[name] = rows_of(arrays, lanes.of_rows(files.rows))
        elif name == "lengths":
            whole = np.concatenate([np.asarray(array) for array in arrays])
            found[name] = (
                whole if whole.ndim == 1 and len(whole) == files.rows else whole[..., lanes.first : lanes.stop]
            )
        else:
            cut = (slice(None),) * (files.axes - 2) + (slice(lanes.first, lanes.stop),)
            found[name] = np.concatenate([np.asarray(array[cut]) for array in arrays])
    return found


def _listening(worker: Any) -> tuple[socket.socket, str, Contexts]:
    """A socket on which other members reach this one, the host that they call, and the TLS contexts of the worker."""
    protocol, _ = parse_address(worker.address)
    if protocol not in PROTOCOLS:
        raise ClusterError(f"workers at {worker.address} can't reach one another: only tcp:// and tls:// are known")
    if protocol == "inproc":
        return socket.create_server(("127.0.0.1", 0)), "127.0.0.1", Contexts()
    host = get_address_host(worker.contact_address or worker.address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:  # the address by which others reach this host is none of its own
        listener = socket.create_server(("", 0), family=family)
    contexts = Contexts()
    if protocol == "tls":
        ends = worker.security.get_listen_args, worker.security.get_connection_args
        contexts = Contexts(*(arguments("worker")["ssl_context"] for arguments in ends))
    return listener, host, contexts


def _summable(metric: Metric, value: float) -> float:
    """A number whose weighted mean over parts is that over the whole."""
    return value * value if metric.name == ROOT and metric.own is None else value
