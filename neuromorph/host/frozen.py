"""A decorator for frozen data classes that costs an import little."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any, TypeVar, dataclass_transform

Kind = TypeVar("Kind", bound=type)
_MISSING = dataclasses.MISSING


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def frozen(kind: Kind) -> Kind:
    """Make a class a frozen data class, as ``dataclasses.dataclass(frozen=True)`` does.

    That one has Python compile six functions for each class, which takes a millisecond before Python 3.13. The package
    has more than a hundred such classes, and nothing can start before they are made. Here only ``__init__`` is
    compiled; the other functions differ in the names of fields alone.
    """
    if kind.__doc__ is None:
        kind.__doc__ = ""  # else a text is made of the signature
    dataclasses.dataclass(init=False, repr=False, eq=False)(kind)
    fields = dataclasses.fields(kind)
    own = set(vars(kind))
    given: dict[str, Any] = {
        "__init__": _init(fields, hasattr(kind, "__post_init__")),
        "__setattr__": _refuse_to_assign,
        "__delattr__": _refuse_to_delete,
    }
    if "__repr__" not in own:
        given["__repr__"] = _shower([field.name for field in fields if field.repr])
    if "__eq__" not in own:
        given["__eq__"], given["__hash__"] = _comparison([field.name for field in fields if field.compare])
    for name, function in given.items():
        setattr(kind, name, function)
    return kind


def _init(fields: Sequence[dataclasses.Field[Any]], ends: bool) -> Callable[..., None]:
    """The function that sets the fields. ends: whether it calls ``__post_init__`` then."""
    names: dict[str, Any] = {"_set": object.__setattr__, "_missing": _MISSING}
    by_place, by_name, body = ["self"], ["*"], [" pass"]
    for field in fields:
        name = value = field.name
        default = ""
        if field.default_factory is not _MISSING:
            default = f"_make_{name}"
            names[default] = field.default_factory
            value = f"{default}() if {name} is _missing else {name}" if field.init else f"{default}()"
        elif field.default is not _MISSING:
            default = f"_default_{name}"
            names[default] = field.default
            value = name if field.init else default
        if field.init:
            absent = "_missing" if field.default_factory is not _MISSING else default
            (by_name if field.kw_only else by_place).append(f"{name}={absent}" if default else name)
        body.append(f" _set(self, {name!r}, {value})")
    if ends:
        body.append(" self.__post_init__()")
    arguments = by_place + (by_name if len(by_name) > 1 else [])
    exec("\n".join([f"def __init__({', '.join(arguments)}):", *body]), names)
    made: Callable[..., None] = names["__init__"]
    return made


def _shower(names: Sequence[str]) -> Callable[[Any], str]:
    """``__repr__`` with some fields."""

    @recursive_repr()
    def shown(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return shown


def _comparison(names: Sequence[str]) -> tuple[Callable[[Any, Any], Any], Callable[[Any], int]]:
    """``__eq__`` and ``__hash__`` over some fields."""
    values: Callable[[Any], Any] = attrgetter(*names) if names else lambda self: ()

    def equal(self: Any, other: Any) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def hashed(self: Any) -> int:
        return hash(values(self))

    return equal, hashed


def _refuse_to_assign(self: Any, name: str, value: Any) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
