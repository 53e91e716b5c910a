"""Neural networks written as short texts, each trained by a kernel that is compiled for it alone.

A text in the Model Description Language describes a graph of layers, parallel branches and merges, with links backward
in time. ``compile`` checks the text, ``build`` generates and compiles a specialised kernel for it, ``train`` and
``predict`` run that kernel:

    import neuromorph as nm

    nm.seed(1)
    model = nm.compile("/xavier,zero/ (input, 2) (a, 8, <tanh>) (output, 1, <sigmoid>, <mse>)", 4, 0.5)
    nm.build(model)
    loss = nm.train(model, [[[0, 0], [0, 1], [1, 0], [1, 1]]] * 5000, [[[0], [1], [1], [0]]] * 5000)
    print(loss, nm.predict(model, [[0, 1], [1, 1]]))

Shapes: S samples (time steps), B lanes (``batch_size``), W the width of a vector.
"""

from __future__ import annotations

from importlib import import_module
from importlib.machinery import PathFinder

from .version import __version__ as __version__

TYPE_CHECKING = False  # type checkers take it to be true; importing ``typing`` would take most of the time
if TYPE_CHECKING:
    from typing import Any

    from .interface import *  # noqa: F403 - that module lists the public names
    from .optimizers import *  # noqa: F403

# Modules that are imported when they are first taken from the package. ``export`` and ``search`` are public; what is
# public of the others are names of the package itself.
_MODULES = ("errors", "export", "model", "optimizers", "options", "search")


def __getattr__(name: str) -> Any:
    """A public name, or a module. The first use of any public name imports all of them.

    So importing the package is quick, and the command line can answer Ctrl-C before NumPy is imported. A fork waits for
    the end of the imports.
    """
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name == "__all__" or not (name.startswith("_") or _is_module(name)):
        public = _public()
        globals().update(public, __all__=sorted(public))
        if name in globals():
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _is_module(name: str) -> bool:
    """Whether the package has a module of that name, which the import system finds by itself."""
    return PathFinder.find_spec(f"{__name__}.{name}", __path__) is not None  # noqa: F405 - every package has a path


def _public() -> dict[str, Any]:
    """All public objects of the package by their names."""
    from .host.exclusive import imported

    public: dict[str, Any] = imported(f"{__name__}.interface").PUBLIC
    return public


def __dir__() -> list[str]:
    return sorted({*globals(), *_public()})
