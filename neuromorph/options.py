"""The checked arguments of ``compile`` that specialise a kernel."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from .errors import brief, nearest
from .host.frozen import frozen

DEFAULT_WINDOW = 16  # steps of a window, for a model with links backward in time
LONGEST_WINDOW = 1024  # steps of a window at most, where whole sequences are windows
DTYPES = ("float32", "float64")
TIERS = ("auto", "compiled", "instant")


@frozen
class CompileOptions:
    """The arguments that specialise a kernel, or that say how to run it.

    batch_size: lanes of a sample. bptt_steps: samples of a window. threads: the most threads, None for as many as pay.
    frozen: the names of nodes whose parameters never learn, in text order. whole_sequences: whether a window of several
    sequences is a whole sequence, up to LONGEST_WINDOW steps, so that bptt_steps counts for one long sequence only.
    """

    batch_size: int
    bptt_steps: int
    optimizer: str
    dtype: str
    threads: int | None
    frozen: tuple[str, ...] = ()
    tier: str = TIERS[0]
    whole_sequences: bool = False


def whole_number(name: str, value: Any, *, least: int = 1) -> int:
    """``value`` as an int >= ``least``; TypeError or ValueError that names the argument."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {brief(value)}")
    try:
        number = operator.index(value)
    except Exception:  # TypeError, or any error of the user's own class
        raise TypeError(f"{name} must be a whole number, not {brief(value)}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {brief(number)}")
    if number > 2**31:
        raise ValueError(f"{name} must be at most {2**31}, not {brief(number)}")
    return number


def finite_number(name: str, value: Any) -> float:
    """``value`` as a finite float >= 0; TypeError or ValueError that names the argument."""
    if isinstance(value, bool | str | bytes | complex):
        raise TypeError(f"{name} must be a number, not {brief(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be a finite number, not {brief(value)}") from None
    except Exception:  # TypeError, ValueError, or any error of the user's own class
        raise TypeError(f"{name} must be a number, not {brief(value)}") from None
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be a finite number of at least 0, not {brief(value)}")
    return number


def flag(name: str, value: Any) -> bool:
    """``value`` as a bool; TypeError that names the argument if it is none."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {brief(value)}")
    return value


def check_range(name: str, value: float, dtype: str) -> None:
    """Raise ValueError, naming the argument, for a number that is too large for ``dtype``."""
    largest = float(np.finfo(dtype).max)
    if not value <= largest:
        raise ValueError(f"{name} must be at most {largest:.7g}, the largest number of {dtype}, not {value!r}")


def one_of(name: str, value: Any, known: Any) -> str:
    """``value``, checked to be one of the known names; ValueError or TypeError that names the argument."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(sorted(known))}, not {brief(value)}")
    if value not in known:
        near = nearest(value, known)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"{name} must be one of {', '.join(sorted(known))}, not {brief(value)}{hint}")
    return value


def compile_options(
    batch_size: Any,
    *,
    optimizer: str,
    bptt_steps: Any,
    dtype: Any,
    threads: Any,
    has_time_links: bool,
    frozen: tuple[str, ...] = (),
    tier: Any = TIERS[0],
) -> CompileOptions:
    """The options of a model, each argument checked."""
    whole_sequences = bptt_steps is None and has_time_links
    if bptt_steps is None:
        bptt_steps = DEFAULT_WINDOW if has_time_links else 1
    return CompileOptions(
        whole_number("batch_size", batch_size),
        whole_number("bptt_steps", bptt_steps),
        optimizer,
        one_of("dtype", dtype, DTYPES),
        None if threads is None else whole_number("threads", threads),
        frozen,
        one_of("tier", tier, TIERS),
        whole_sequences,
    )
