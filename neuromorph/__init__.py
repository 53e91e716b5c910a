"""Neural networks written as short texts and trained at the speed of the metal.

A text in the Model Description Language describes a graph of layers, parallel branches and merges that may reach
backward in time. ``compile`` checks it, ``build`` writes and compiles one specialised kernel for it, ``train`` and
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

from .version import __version__ as __version__

TYPE_CHECKING = False  # type checkers take it to be true; importing ``typing`` would take most of the time
if TYPE_CHECKING:
    from typing import Any

    from .interface import (
        SGD,
        Adam,
        AdamW,
        Advice,
        CacheWarning,
        Callback,
        Checkpoint,
        CSVLog,
        DataError,
        EarlyStopping,
        GradientError,
        History,
        LearningRateSchedule,
        MDLError,
        MDLSemanticError,
        MDLSyntaxError,
        MDLWarning,
        Model,
        ModelStateError,
        NeuromorphError,
        Optimizer,
        ReduceOnPlateau,
        RMSProp,
        StorageError,
        Stream,
        TrainingDivergedError,
        accuracy,
        batches,
        build,
        cache_info,
        check,
        clear_cache,
        compile,
        draw,
        evaluate,
        expand,
        fit,
        get_parameters,
        gradcheck,
        gradients,
        inspect,
        kernel_plan,
        kernel_source,
        load,
        predict,
        release,
        reset_state,
        save,
        seed,
        set_parameters,
        stream,
        summary,
        train,
    )


__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Advice",
    "CSVLog",
    "CacheWarning",
    "Callback",
    "Checkpoint",
    "DataError",
    "EarlyStopping",
    "GradientError",
    "History",
    "LearningRateSchedule",
    "MDLError",
    "MDLSemanticError",
    "MDLSyntaxError",
    "MDLWarning",
    "Model",
    "ModelStateError",
    "NeuromorphError",
    "Optimizer",
    "RMSProp",
    "ReduceOnPlateau",
    "StorageError",
    "Stream",
    "TrainingDivergedError",
    "accuracy",
    "batches",
    "build",
    "cache_info",
    "check",
    "clear_cache",
    "compile",
    "draw",
    "evaluate",
    "expand",
    "fit",
    "get_parameters",
    "gradcheck",
    "gradients",
    "inspect",
    "kernel_plan",
    "kernel_source",
    "load",
    "predict",
    "release",
    "reset_state",
    "save",
    "seed",
    "set_parameters",
    "stream",
    "summary",
    "train",
]
_MODULES = ("callbacks", "errors", "model", "optimizers", "options")  # that users may take from the package


def __getattr__(name: str) -> Any:
    """A public name, or a module, when it is first asked for: all public names are imported then, at once.

    So the command line can answer Ctrl-C before NumPy is there. A fork waits for the end of the imports.
    """
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .host.exclusive import imported

    interface = imported(f"{__name__}.interface")
    globals().update({public: getattr(interface, public) for public in __all__})
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
