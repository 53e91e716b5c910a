"""The options that a network is compiled for, and the numbers of training that can be changed at any time."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..abi.learning import CLIP, RATE, SIGNALS, bits_of
from ..data.labels import Needs
from ..data.packing import Reading
from ..data.schema import Label, Schema, checked_classes
from ..graph import Graph
from ..host.cached import cached_property
from ..optimizers import Optimizer, optimizer_of
from ..options import LONGEST_WINDOW, CompileOptions, finite_number


class Settings:
    """A checked graph, the options that its kernels are made for, learning rate, clip norm and optimizer.

    reading: how the last training read its data, if it named a layout. table: what was learnt of the table that the
    model was trained on. file: the path that the model was read from, None for a text and for copies. signals: what
    learners have to know of the model, for their compiled functions; see ``abi/learning.py``.
    """

    def __init__(
        self,
        text: str,
        options: CompileOptions,
        learning_rate: float,
        clip_norm: float | None,
        graph: Graph,
        optimizer: Optimizer,
    ):
        self._text, self._options, self._graph, self._optimizer = text, options, graph, optimizer
        self._dtype = np.dtype(options.dtype)
        self.signals = np.zeros(SIGNALS, np.int64)
        self.reading: Reading | None = None
        self.table: Schema | None = None
        self._classes: tuple[Label, ...] | None = None
        self.file: str | None = None
        self.learning_rate = learning_rate
        self.clip_norm = clip_norm

    @property
    def text(self) -> str:
        """The canonical MDL text."""
        return self._graph.text

    @property
    def graph(self) -> Graph:
        """The checked graph."""
        return self._graph

    @property
    def options(self) -> CompileOptions:
        """The options that the kernels are specialised for."""
        return self._options

    @property
    def batch_size(self) -> int:
        """The number of lanes in a training sample."""
        return self._options.batch_size

    @property
    def bptt_steps(self) -> int:
        """The number of samples in a window of one long sequence; of several sequences, see ``window_of``."""
        return self._options.bptt_steps

    def window_of(self, steps: int) -> int:
        """The number of samples in a window of several sequences of so many steps."""
        if not self._options.whole_sequences:
            return self.bptt_steps
        return max(self.bptt_steps, min(steps, LONGEST_WINDOW))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of parameters and data."""
        return self._dtype

    @property
    def input_width(self) -> int:
        """The number of components in an input vector."""
        return self._graph.nodes[self._graph.input].width

    @property
    def output_width(self) -> int:
        """The number of components in an output vector."""
        return self._graph.nodes[self._graph.output].width

    @property
    def learning_rate(self) -> float:
        """The step size of the optimizer, a finite number >= 0 that the model's type can hold."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        rate = finite_number("learning_rate", value)
        self._optimizer.check_range(rate, self._options.dtype)
        self._learning_rate = rate
        self.signals[RATE] = bits_of(rate)

    @property
    def clip_norm(self) -> float | None:
        """The largest norm of all gradients together, or None for no bound."""
        return self._clip_norm

    @clip_norm.setter
    def clip_norm(self, value: float | None) -> None:
        bound = None if value is None else finite_number("clip_norm", value)
        if bound == 0.0:
            raise ValueError("clip_norm must be greater than 0")
        self._clip_norm = bound
        self.signals[CLIP] = bits_of(self._clip_norm or 0.0)

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer. Its numbers can be changed at any time, but not its kind."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, value: Any) -> None:
        chosen = optimizer_of(value)
        if chosen.kind != self._optimizer.kind:
            raise ValueError(
                f"the model was compiled for the update {self._optimizer.kind!r}, and optimizer needs {chosen.kind!r}; "
                "compile its text again"
            )
        chosen.check_range(self._learning_rate, self._options.dtype)
        self._set_optimizer(chosen)

    @cached_property
    def needs(self) -> Needs:
        """The shapes and values that training data must have."""
        widths = self.input_width, self.output_width
        takes_labels = self._graph.loss.name == "cross_entropy"
        return Needs(self.batch_size, *widths, self.dtype, takes_labels, self._graph.has_time_links)

    @property
    def parameter_count(self) -> int:
        """The number of all parameters of live nodes."""
        return self._graph.parameter_count

    @property
    def layout(self) -> str | None:
        """The ``layout`` of the data that the model was last trained with. Saved files and copies keep it."""
        return None if self.reading is None else self.reading.layout

    @property
    def classes(self) -> tuple[Label, ...] | None:
        """The names of the classes in the order of their numbers, or None. Saved files and copies keep them.

        Each is a text, a number or a boolean; an output of width 1 has two classes. Anything else raises ValueError.
        """
        return self._classes

    @classes.setter
    def classes(self, value: Any) -> None:
        self._classes = checked_classes(value, self.output_width)

    def _set_optimizer(self, chosen: Optimizer) -> None:
        self._optimizer = chosen
