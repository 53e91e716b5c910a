"""The pool that a search runs on: this process, processes of this machine, or a Dask cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..host.exclusive import imported
from ..options import whole_number
from ..sweeps.pool import LocalPool, Pool, SerialPool, check_sent


def pool_of(workers: Any, client: Any, data: Any, functions: Mapping[str, Any]) -> Pool:
    """The pool for the arguments of a search. workers: 0 means this process. functions: of the user, by argument; those
    that are None are not there."""
    if client is not None:
        if workers is not None:
            raise ValueError("give workers= or client=, not both: the workers are those of the client")
        made: Pool = imported("neuromorph.sweeps.dask_pool").DaskPool(client, data)
        return made
    if workers is not None and whole_number("workers", workers, least=0) == 0:
        return SerialPool(data)
    for name, function in functions.items():
        if function is not None:
            check_sent(name, function)
    return LocalPool(workers, data)
