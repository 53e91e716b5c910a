"""Reads the data of a call of ``fit``, and hands each worker its part: arrays here, Dask arrays, futures, or files."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from distributed import Client, Future

from ..data.arrays import TrainingData
from ..data.layouts import checked_layout
from ..errors import DataError, brief
from ..host.frozen import frozen
from ..runtime.network import Network
from ..training.sources import Reading
from . import member
from .member import Portion
from .shares import PIECE_NUMBERS, Files, Lanes, Spans, lanes_of

NAMES = ("inputs", "expected", "sample_weight", "lengths")


@frozen
class Given:
    """What a worker gets: its portion of the data, and the values, or the futures of values, that go with it."""

    portion: Portion
    values: tuple[Any, ...]


class Source(ABC):
    """The data of a call. weighted: whether vectors have weights of any size. mapped: whether they stay in files."""

    mapped = False

    def __init__(self, spans: Spans, reading: Reading, *, weighted: bool) -> None:
        self.spans, self.reading, self.weighted = spans, reading, weighted

    @abstractmethod
    def portions(self, client: Client, places: Sequence[tuple[str, Lanes]]) -> list[Given]:
        """What each worker gets. places: their addresses and lanes."""


class Here(Source):
    """Checked data in this process. Each worker gets a copy of its lanes."""

    def __init__(self, data: TrainingData, reading: Reading, *, weighted: bool) -> None:
        shape = data.inputs.shape
        spans = Spans(shape[0], shape[1], shape[1], True) if data.sequences else Spans(1, shape[0], shape[0])
        super().__init__(spans, reading, weighted=weighted)
        self.data = data

    def portions(self, client: Client, places: Sequence[tuple[str, Lanes]]) -> list[Given]:
        portion, found = Portion(self.spans, self.reading, ("data",)), []
        for address, lanes in places:
            sent = client.scatter([lanes_of(self.data, lanes)], workers=[address], hash=False)
            found.append(Given(portion, tuple(sent)))
        return found


class Chunks(Source):
    """Dask arrays, by the name of an argument; other arguments are NumPy arrays. Each worker computes its lanes."""

    def __init__(self, arrays: Mapping[str, Any], spans: Spans, reading: Reading, *, weighted: bool) -> None:
        super().__init__(spans, reading, weighted=weighted)
        self._arrays = arrays

    def portions(self, client: Client, places: Sequence[tuple[str, Lanes]]) -> list[Given]:
        names, rows = tuple(self._arrays), len(self._arrays["inputs"])
        axes, layout = self._arrays["inputs"].ndim, self.reading.layout
        cut = [[_lanes_of(n, a, lanes, layout, axes, rows) for n, a in self._arrays.items()] for _, lanes in places]
        lazy = [(i, j) for i, arrays in enumerate(cut) for j, array in enumerate(arrays) if hasattr(array, "dask")]
        # Lanes are cut out where the chunks are, of all workers at once, and then put together where they are needed.
        parts = client.persist([cut[i][j] for i, j in lazy])
        for (i, j), part in zip(lazy, parts, strict=True):
            cut[i][j] = client.compute(part, workers=[places[i][0]], allow_other_workers=False)
        portion = Portion(self.spans, self.reading, names)
        return [Given(portion, tuple(arrays)) for arrays in cut]


class Paths(Source):
    """Files that every worker reads by itself."""

    def __init__(self, files: Files, spans: Spans, reading: Reading, *, weighted: bool) -> None:
        super().__init__(spans, reading, weighted=weighted)
        self._files, self.mapped = files, files.can_be_mapped and reading.layout is not None

    def portions(self, client: Client, places: Sequence[tuple[str, Lanes]]) -> list[Given]:
        return [Given(Portion(self.spans, self.reading, (), self._files), ())] * len(places)


def _lanes_of(name: str, array: Any, lanes: Lanes, layout: str | None, axes: int, rows: int) -> Any:
    """The part of an argument that lies in some lanes. axes, rows: of the inputs."""
    if layout is not None:
        return array[lanes.of_rows(rows)]
    if name == "lengths":
        return array if array.ndim == 1 and axes == 4 else array[..., lanes.first : lanes.stop]
    return array[(slice(None),) * (axes - 2) + (slice(lanes.first, lanes.stop),)]


# What the user gave ---------------------------------------------------------------------------------------------------


def read_source(
    client: Client, model: Network, given: Mapping[str, Any], reading: Reading, check: Callable[[], TrainingData]
) -> Source:
    """The source of some arguments, by name. check: reads them as ``fit`` does, for arrays in this process."""
    opened = {name: _opened(client, name, value) for name, value in given.items() if value is not None}
    weighted = "sample_weight" in opened or reading.class_weight is not None
    checked_layout(reading.layout, model.needs.recurrent)
    if "inputs" not in opened:
        raise DataError("inputs is None, but must be arrays, Dask arrays, lists of futures, or paths of files")
    if any(_are_paths(value) for value in opened.values()):
        return _paths(client, model, opened, reading, weighted)
    if "expected" not in opened:
        raise DataError("expected is None: only NPZ files may hold what is expected beside the inputs")
    if any(hasattr(value, "dask") for value in opened.values()):
        return _chunks(model, opened, reading, weighted)
    return Here(check(), reading, weighted=weighted)


def _opened(client: Client, name: str, value: Any) -> Any:
    """An argument: paths as a tuple of texts, futures as one Dask array, all else as it is."""
    if isinstance(value, str | os.PathLike):
        return (os.fspath(value),)
    if type(value).__module__.startswith("dask.bag"):
        value = value.compute()
    if isinstance(value, Future):
        value = [value]
    if isinstance(value, list | tuple) and value:
        if all(isinstance(one, str | os.PathLike) for one in value):
            return tuple(map(os.fspath, value))
        if all(isinstance(one, Future) for one in value):
            return _joined(client, name, value)
    return value


def _are_paths(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(one, str) for one in value)


def _joined(client: Client, name: str, futures: Iterable[Future]) -> Any:
    """Arrays that are results on the cluster, one after the other along the first axis."""
    import dask.array

    listed = list(futures)
    forms = client.gather(client.map(_form, listed, pure=False))
    parts = []
    for number, (future, (shape, dtype)) in enumerate(zip(listed, forms, strict=True)):
        if shape is None:
            raise DataError(f"{name}[{number}] is a future of {dtype}, but must be one of an array")
        parts.append(dask.array.from_delayed(future, shape=shape, dtype=dtype))
    return dask.array.concatenate(parts)


def _form(value: Any) -> tuple[tuple[int, ...] | None, str]:
    """The shape and the type of an array; None and the name of its class for anything else."""
    if not isinstance(value, np.ndarray):
        return None, type(value).__name__
    return value.shape, value.dtype.str


def _chunks(model: Network, opened: Mapping[str, Any], reading: Reading, weighted: bool) -> Chunks:
    arrays = {name: value if hasattr(value, "dask") else np.asarray(value) for name, value in opened.items()}
    for name, array in arrays.items():
        if any(size != size for size in array.shape):
            raise DataError(f"{name} is a Dask array whose shape is not known: call its compute_chunk_sizes() first")
    spans = _spans(model, {name: array.shape for name, array in arrays.items()}, reading, mapped=False)
    return Chunks(arrays, spans, reading, weighted=weighted)


def _paths(client: Client, model: Network, opened: Mapping[str, Any], reading: Reading, weighted: bool) -> Paths:
    """Files. What one NPZ file holds of an argument need not be named."""
    for name, value in opened.items():
        if not _are_paths(value):
            raise DataError(f"{name} is {brief(value)}, but must be paths of files as well, as inputs or expected is")
    paths = dict(opened)
    if "expected" not in paths:
        paths |= _beside(client, paths["inputs"])
        weighted = weighted or "sample_weight" in paths
    shapes = client.submit(member.headers, paths, pure=False).result()
    whole = {}
    for name, parts in shapes.items():
        if len({shape[1:] for shape in parts}) > 1:
            raise DataError(f"{name}: the files have arrays of different shapes: {parts[0]} and others")
        whole[name] = (sum(shape[0] for shape in parts), *parts[0][1:])
    files = Files(paths, whole["inputs"][0], len(whole["inputs"]))
    mapped = files.can_be_mapped and reading.layout is not None
    return Paths(files, _spans(model, whole, reading, mapped=mapped), reading, weighted=weighted)


def _beside(client: Client, paths: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The other arguments that NPZ files of inputs have."""
    if not all(path.endswith(".npz") for path in paths):
        raise DataError("expected is None: only NPZ files may hold what is expected beside the inputs")
    names = client.submit(member.names_in, paths[0], pure=False).result()
    if "expected" not in names:
        raise DataError(f"{paths[0]} has the arrays {', '.join(names)}, but needs inputs and expected")
    return {name: paths for name in NAMES[1:] if name in names}


def _spans(model: Network, shapes: Mapping[str, tuple[int, ...]], reading: Reading, *, mapped: bool) -> Spans:
    """The groups of data of some shapes. DataError where shapes do not fit one another or the model."""
    shape, layout, batch = shapes["inputs"], reading.layout, model.batch_size
    wanted = {"NSW": (3, "(sequences, steps, width)"), "NW": (2, "(vectors, width)")}
    axes, text = wanted.get(layout or "", (len(shape), "(samples, batch, width) or (sequences, samples, batch, width)"))
    if len(shape) != axes or (layout is None and axes not in (3, 4)) or not all(shape):
        raise DataError(f"inputs has shape {shape}, but needs shape {text}{f', for layout={layout!r}' * bool(layout)}")
    if shape[-1] != model.input_width:
        raise DataError(f"inputs has width {shape[-1]}, but the model needs {model.input_width}")
    if layout is None and shape[-2] != batch:
        raise DataError(f"inputs has {shape[-2]} lanes (axis {axes - 2}), but the model needs {batch}, its batch_size")
    _check_first_axes(shapes, layout)
    if layout == "NSW":
        return Spans(-(-shape[0] // batch), shape[1], shape[1], True)
    if layout == "NW":
        return _spans_of_vectors(model, -(-shape[0] // batch), mapped=mapped)
    return Spans(shape[0], shape[1], shape[1], True) if axes == 4 else Spans(1, shape[0], shape[0])


def _check_first_axes(shapes: Mapping[str, tuple[int, ...]], layout: str | None) -> None:
    rows = shapes["inputs"][0]
    for name, shape in shapes.items():
        if (layout is not None or name in NAMES[:3]) and shape[:1] != (rows,):
            raise DataError(
                f"{name} has {shape[0] if shape else 'no'} on axis 0, but inputs has {rows}: both must be the same"
            )


def _spans_of_vectors(model: Network, samples: int, *, mapped: bool) -> Spans:
    """Single vectors: one group, or of mapped files as many as keep a piece small, each of whole windows."""
    if not mapped:
        return Spans(1, samples, samples)
    window = model.bptt_steps
    numbers = model.batch_size * (model.input_width + model.output_width)
    size = max(1, PIECE_NUMBERS // (numbers * window)) * window
    groups = -(-samples // size)
    return Spans(groups, min(size, samples), samples - (groups - 1) * size)
