"""Training on the machines of a Dask cluster: one model by data-parallel training, or many by a sweep.

Needs the packages dask and distributed.
"""

from __future__ import annotations

from typing import Any

try:
    import distributed as _dask
except ImportError:
    raise ImportError("neuromorph.distributed needs Dask: pip install 'neuromorph[distributed]'") from None

from ..errors import ClusterError
from .fitting import fit
from .report import ClusterHistory, Event, Report

__all__ = ["ClusterError", "ClusterHistory", "Event", "Report", "fit", "sweep"]


def sweep(client: _dask.Client, runs: Any, data: Any, **options: Any) -> Any:
    """``neuromorph.sweep`` on a Dask cluster: each run is a task, and the data are sent to each worker once.

    client: a ``distributed.Client``. runs, data, options, result: those of ``neuromorph.sweep``.
    """
    from .. import interface

    return interface.sweep(runs, data, client=client, **options)
