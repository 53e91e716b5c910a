"""What all estimators have in common: their parameters, and how they are fitted."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from joblib.parallel import get_active_backend
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from ..interface import Callback, EarlyStopping, Model, Optimizer, compile
from ..optimizers import SGD, AdamW
from ..options import finite_number, whole_number
from .samples import Samples, sequences, vectors
from .task import Expected, Task, checked_weights
from .texts import default_text, with_widths

Array = NDArray[Any]
RATE = 0.01  # the default learning rate of all optimizers but SGD, which has its own
_SEEDS = 2**31 - 1
_DECAYING = ("adam", "adamw")  # the optimizers with which alpha is the decay of parameters
_ADAPTED = ("standardize", "restore")  # layers whose means and scales come from the data


class MDLEstimator(BaseEstimator):  # type: ignore[misc]
    """The base class of all estimators."""

    _output: ClassVar[str]  # the last node of the default text
    _sequences: ClassVar[bool] = False
    _several: ClassVar[bool] = False  # whether there may be several numbers to predict
    _each: bool = False  # whether there is something at every step of sequences
    model_: Model

    def __init__(
        self, mdl: Any = None, *, widths: Any = None, batch_size: int = 64, learning_rate: float | None = None,
        optimizer: str | Optimizer = "adam", alpha: float = 300.0, epochs: int = 50, clip_norm: float | None = None,
        dtype: str | None = None, adapt: bool = True, shuffle: bool = True, early_stopping: bool = False,
        validation_fraction: float = 0.1, n_iter_no_change: int = 10, tol: float = 1e-4, warm_start: bool = False,
        callbacks: Any = (), frozen: Any = (), threads: int | None = None, tier: str = "auto", verbose: bool = False,
        random_state: Any = None,
    ) -> None:  # fmt: skip
        self.mdl = mdl
        self.widths = widths
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.alpha = alpha
        self.epochs = epochs
        self.clip_norm = clip_norm
        self.dtype = dtype
        self.adapt = adapt
        self.shuffle = shuffle
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.frozen = frozen
        self.threads = threads
        self.tier = tier
        self.verbose = verbose
        self.random_state = random_state

    # Fitting ---------------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a network for ``epochs`` passes over the data, or until early stopping; returns the estimator.

        sample_weight: (n,), >= 0; samples of weight 0 are left out. With ``warm_start``, a second fit goes on with the
        network that is there, for which features and classes must be the same. Raises ValueError or TypeError for
        parameters and data that do not fit, and then the estimator is as it was before; TrainingDivergedError, if the
        loss is not finite any more.
        """
        epochs = whole_number("epochs", self.epochs)
        return self._learn(X, y, sample_weight, epochs, goes_on=bool(self.warm_start) and hasattr(self, "model_"))

    def _learn(
        self, X: Any, y: Any, sample_weight: Any, epochs: int, *, goes_on: bool, classes: Any = None,
        partial: bool = False,
    ) -> Self:  # fmt: skip
        """Read the data, make a network unless one is there to go on with, and train it.

        classes: of all calls. partial: whether the data are a part of all, from which nothing is held out.
        """
        before = dict(self.__dict__)
        try:
            samples = (sequences if self._sequences else vectors)(self, X, reset=not goes_on)
            if y is None:
                raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
            check_consistent_length(samples.values, y)
            expected = self._expected(y, samples, goes_on=goes_on, classes=classes)
            weights = checked_weights(sample_weight, samples, each=expected.each)
            task = Task(samples, expected, self._weighted(weights, expected))
            if goes_on:
                self._check_same(task, partial)
            else:
                self._build(task)
            kept, held_out = task.counting, None
            if self.early_stopping and not partial:
                kept, held_out = task.divided(self.validation_fraction, self._split_seed)
            self._train(task, kept, held_out, epochs, goes_on=goes_on)
        except BaseException:
            if self.__dict__.get("history_") is before.get("history_"):  # nothing is learnt yet
                self.__dict__.clear()
                self.__dict__.update(before)
            raise
        return self

    @abstractmethod
    def _expected(self, y: Any, samples: Samples, *, goes_on: bool, classes: Any) -> Expected:
        """What is expected, checked. Sets attributes such as ``classes_``."""

    @abstractmethod
    def _outputs(self) -> int:
        """The width of ``$outputs``."""

    @abstractmethod
    def _check_output(self, model: Model) -> None:
        """Raise ValueError if the output of a network has a wrong width."""

    @abstractmethod
    def _vectors(self, values: Array) -> Array:
        """What is expected of the network for the values of ``Expected``."""

    def _weighted(self, weights: Any, expected: Expected) -> Any:
        """The weights of samples, or of their steps, with those of their classes."""
        return weights

    # The network -----------------------------------------------------------------------------------------------------

    @property
    def _layout(self) -> str:
        return "NSW" if self._sequences else "NW"

    @property
    def _default(self) -> str:
        return default_text(self._output, sequences=self._sequences)

    def _options(self, task: Task) -> dict[str, Any]:
        """What a network for the data is compiled with."""
        text = with_widths(self.mdl, self._default, self.widths, inputs=task.samples.width, outputs=self._outputs())
        dtype = self.dtype or ("float32" if task.samples.is_single else "float64")
        return {
            "mdl": text, "batch_size": self.batch_size, "dtype": dtype, "frozen": self.frozen,
            "optimizer": self.optimizer,
        }  # fmt: skip

    def _optimizer(self, seen: float) -> str | Optimizer:
        """The optimizer for data of so much weight."""
        if self.optimizer not in _DECAYING:
            return self.optimizer
        return AdamW(weight_decay=min(1.0, finite_number("alpha", self.alpha) / seen))

    def _rate(self) -> float:
        """The learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return SGD.usual_rate if self.optimizer == "sgd" or isinstance(self.optimizer, SGD) else RATE

    def _build(self, task: Task) -> None:
        """Make the network, with new parameters."""
        self._made_with, self._seen = self._options(task), task.weight
        model = compile(
            **{**self._made_with, "optimizer": self._optimizer(self._seen)}, learning_rate=self._rate(),
            clip_norm=self.clip_norm, threads=1 if self.threads is None and _is_worker() else self.threads,
            tier=self.tier,
        )  # fmt: skip
        if not self._sequences and model.graph.has_time_links:
            other = type(self).__name__.replace("MDL", "MDLSequence")
            raise ValueError(f"mdl has links back in time, which need sequences: {other} learns from them")
        if model.input_width != task.samples.width:
            raise ValueError(
                f"mdl has an input of width {model.input_width}, and X has {task.samples.width} features: write "
                "$inputs for its width"
            )
        self._check_output(model)
        self._random = check_random_state(self.random_state)
        self.model_ = model.build(seed=self._seed())
        self._split_seed = self._seed()
        self.loss_curve_: list[float] = []
        self.validation_loss_curve_: list[float] = []

    def _check_same(self, task: Task, partial: bool) -> None:
        """Raise ValueError if a parameter has changed that the network can't take over; set those that it can."""
        given = self._options(task)
        if self.dtype is None:
            given["dtype"] = self._made_with["dtype"]
        for name, value in given.items():
            if value != self._made_with[name]:
                raise ValueError(f"{name} has changed, and warm_start goes on with the network that is there")
        model, self._seen = self.model_, task.weight + self._seen * partial
        model.learning_rate, model.clip_norm = self._rate(), self.clip_norm
        if self.optimizer in _DECAYING:
            model.optimizer = self._optimizer(self._seen)

    def _seed(self) -> int:
        return int(self._random.randint(_SEEDS))

    # Training --------------------------------------------------------------------------------------------------------

    def _train(self, task: Task, kept: Any, held_out: Any, epochs: int, *, goes_on: bool) -> None:
        """Train the network. kept, held_out: the places of samples to learn from, and of those for validation."""
        model, (inputs, expected, weights) = self.model_, task.taken(kept, self._vectors)
        if self.adapt and not goes_on and any(_is_adapted(node) for node in model.graph.nodes):
            model.adapt(inputs, expected, sample_weight=weights, layout=self._layout)
        callbacks, validation = _copies(self.callbacks), None
        if held_out is not None:
            validation = (*task.taken(held_out, self._vectors), None)
            patience = whole_number("n_iter_no_change", self.n_iter_no_change)
            callbacks.append(EarlyStopping(patience, min_delta=self.tol))
        history, first = model.history, 0 if model.history is None else model.history.next_epoch
        try:
            model.fit(
                inputs, expected, epochs=epochs, validation=validation, shuffle=bool(self.shuffle), callbacks=callbacks,
                progress=bool(self.verbose), sample_weight=weights, seed=self._seed(), layout=self._layout,
                initial_epoch=first,
            )  # fmt: skip
        finally:
            if model.history is not None and model.history is not history:
                self._note(model)

    def _note(self, model: Model) -> None:
        """Keep the record of a call of ``fit``."""
        assert model.history is not None
        self.history_ = model.history
        self.loss_curve_ = [*self.loss_curve_, *self.history_.loss]
        self.validation_loss_curve_ = [*self.validation_loss_curve_, *self.history_.validation_loss]
        self.n_iter_ = len(self.loss_curve_)

    # What scikit-learn asks ------------------------------------------------------------------------------------------

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = self._sequences
        tags.target_tags.multi_output = self._several
        return tags

    def _more_tags(self) -> dict[str, Any]:  # before version 1.6
        return {"X_types": ["2darray", *["3darray"] * self._sequences], "multioutput": self._several}

    # Results ---------------------------------------------------------------------------------------------------------

    def _results(self, X: Any) -> Any:
        """The output of the network: (n, W_out); of sequences with something at every step (n, S, W_out), or a list."""
        check_is_fitted(self, "model_")
        samples = (sequences if self._sequences else vectors)(self, X, reset=False)
        found = self.model_.predict(samples.values, layout=self._layout)
        if not self._sequences or self._each:
            return found
        return np.stack([one[-1] for one in found]) if isinstance(found, list) else found[:, -1]


def each_of(results: Any, function: Any) -> Any:
    """A function of results, or of each of a list of results."""
    return [function(one) for one in results] if isinstance(results, list) else function(results)


def _is_adapted(node: Any) -> bool:
    return node.live and node.elementwise is not None and node.elementwise.name in _ADAPTED


def _copies(callbacks: Any) -> list[Any]:
    """Copies of callbacks: they keep a record of one fit, and parameters of an estimator do not change."""
    return copy.deepcopy([callbacks] if isinstance(callbacks, Callback) else list(callbacks))


def _is_worker() -> bool:
    """Whether this is a worker of joblib, in a thread or process, beside which others work."""
    backend, _ = get_active_backend()
    return bool(backend.nesting_level)
