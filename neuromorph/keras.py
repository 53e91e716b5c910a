"""Keras: its networks become models. Needs the package keras, with any of its backends."""

from __future__ import annotations

from typing import Any

try:
    import keras
except ImportError as error:
    needed = "needs Keras, pip install 'neuromorph[keras]', and the backend that $KERAS_BACKEND names, such as torch"
    raise ImportError(f"neuromorph.keras {needed}: {error}") from None

from .conversion.keras_layers import chain_of, dtype_of
from .interface import Model

__all__ = ["from_keras"]


def from_keras(
    model: keras.Model | keras.layers.Layer | list[Any],
    *,
    loss: str = "mse",
    batch_size: int = 1,
    learning_rate: float = 0.01,
    dtype: str | None = None,
    **options: Any,
) -> Model:
    """The built model of a network of Keras, with the same numbers.

    model: layers that run one after the other: a ``keras.Sequential``, a functional model that is one path, a layer, or
    a list of these. Data here are (steps, lanes, width). A recurrent layer hands on the values of all steps, also with
    ``return_sequences=False``, where Keras's result is that of the last step. ``BatchNormalization`` becomes what it
    computes outside training. A layer without a bias gets one of zeros, which learns.

    loss: of the output, as in a text, such as "cross_entropy". Where the last layer can't be an output, a layer follows
    that hands on what comes in and never learns. dtype: None takes that of the weights. batch_size, learning_rate,
    options: as in ``compile``.

    Raises ConversionError, which names the layer and the nearest text, for what can't be taken over.
    """
    chosen = dtype_of(model) if dtype is None else dtype
    return chain_of(model).model(loss, batch_size, learning_rate, dtype=chosen, **options)
