"""A property whose value is computed on first access and then kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class cached_property(Generic[T]):  # noqa: N801 - named like the one of ``functools``
    """A property whose value is kept, like ``functools.cached_property``, but without a lock.

    In Python 3.11 that one has a lock for all instances of a class. It makes unrelated models wait for each other, and
    stays locked in a child that is forked while another thread computes a value. Here threads that ask at the same time
    may compute a value twice; all of them get the one that was kept first.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> cached_property[T]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...
    def __get__(self, instance: object | None, owner: type | None = None) -> cached_property[T] | T:
        """The value; for access through the class, the property itself."""
        if instance is None:
            return self
        kept: T = instance.__dict__.setdefault(self._name, self._function(instance))
        return kept
