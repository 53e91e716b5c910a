"""The individuals of a search in a store of runs: written as they end, read when a search goes on."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from .. import storage
from ..errors import StorageError
from ..host.callers import warn_user
from ..model import Model
from ..sweeps import arguments as named
from ..sweeps.arguments import as_json
from ..sweeps.data import fingerprint
from ..sweeps.run import Run
from ..sweeps.store import NotWrittenError, Store, checked_path
from .evaluation import Outcome, Plan
from .genome import SearchError
from .individuals import Evolution, Individual, Parameters
from .limits import Size


class Journal:
    """One search in a store. key: of the search; that of an individual is this one and its number."""

    def __init__(self, store: Store, key: str, plan: Plan, data: str) -> None:
        self._store, self.key, self._plan, self._data = store, key, plan, data
        self._unwritten: list[dict[str, Any]] = []
        self._claimed: set[int] = set()  # chunks
        self._ended: list[int] = []  # those that are written next
        self._known = {one.number: one for one in individuals_of(store, key)}

    @property
    def path(self) -> str:
        """The path of the store."""
        return self._store.path

    def known(self, numbers: Iterable[int]) -> list[Individual] | None:
        """The individuals of these numbers, if the store has all of them."""
        found = [self._known.get(number) for number in numbers]
        there = [one for one in found if one is not None]
        return there if len(there) == len(found) else None

    def read(self, numbers: Sequence[int]) -> list[Individual] | None:
        """The individuals of these numbers, if the store has all of them now."""
        there = individuals_in(self._store, self._store.rows([_row_key(self.key, number) for number in numbers]))
        self._known |= {one.number: one for one in there}
        return self.known(numbers)

    def claim(self, chunk: int) -> bool:
        """Claim a chunk for this search; False if another one that lives has it. What can't be claimed, because the
        store can't be written to now, is this one's: it is evaluated twice at worst."""
        try:
            self._store.look()
            ours = self._store.take(_row_key(self.key, chunk))
        except NotWrittenError:
            return True
        if ours:
            self._claimed.add(chunk)
        return ours

    def leave(self, *chunks: int) -> None:
        """Give chunks back, those of them that are claimed."""
        mine = self._claimed.intersection(chunks)
        if mine:
            with suppress(NotWrittenError):  # then the store gives them back when it is closed
                self._store.leave([_row_key(self.key, chunk) for chunk in mine])
                self._claimed -= mine

    def parameters(self, number: int) -> Parameters:
        """The parameters of an individual. Raises StorageError if the store has none."""
        return parameters_of(self._store, self.key, number)

    def write(self, chunk: int, individuals: Sequence[Individual], outcomes: Sequence[Outcome]) -> None:
        """Write the individuals of a chunk, which have ended. If that is impossible now, they are written with later
        ones."""
        self._unwritten += map(self._row, individuals, outcomes)
        self._ended.append(chunk)
        had_trouble = len(self._unwritten) > len(individuals)
        try:
            self._store.put(self._unwritten)
            self._unwritten = []
            self.leave(*self._ended)
            self._ended = []
        except NotWrittenError as error:
            if not had_trouble:
                said = "the search goes on, and individuals are written when that is possible again"
                warn_user(f"{error}; {said}", RuntimeWarning, again=True)

    def end(self) -> None:
        """Write what could not be written before; a warning says how many individuals are lost to the store."""
        if not self._unwritten:
            return
        try:
            self._store.put(self._unwritten)
        except NotWrittenError as error:
            said = f"{len(self._unwritten)} individuals are in the result of evolve only, not in the store"
            warn_user(f"{error}; {said}", RuntimeWarning, again=True)

    def _row(self, one: Individual, outcome: Outcome) -> dict[str, Any]:
        plan = self._plan
        run = Run(one.text, plan.arguments, budget=plan.rungs[-1], name=f"individual {one.number}")
        return {
            "key": _row_key(self.key, one.number), "run": run.record(), "data": self._data,
            "measure": plan.score.name, "larger": plan.score.larger, "state": one.state,
            "failures": int(bool(one.error)), "epochs": one.epochs, "score": one.score, "history": outcome.history,
            "error": one.error or None, "traceback": outcome.traceback or None, "seconds": one.seconds,
            "ended": time.time(), "model": outcome.model,
            "extra": {
                "search": self.key, "number": one.number, "parents": one.parents, "operation": one.operation,
                "size": asdict(one.size),
            },
        }  # fmt: skip


def _row_key(search: str, number: int) -> str:
    return f"{search}-{number}"


def key_of(decides: Mapping[str, Any], data: Any) -> tuple[str, str]:
    """The key of a search, and the fingerprint of its data. decides: all else that its individuals depend on."""
    print_of_data = fingerprint(data)
    return hashlib.sha256(as_json([decides, print_of_data]).encode()).hexdigest()[:32], print_of_data


# Reading --------------------------------------------------------------------------------------------------------------


def load(path: str | os.PathLike[str], key: str | None = None) -> Evolution:
    """The search in a store, or the last one that was begun in it. key: of the search.

    The individuals are those up to the first one that has not ended. Raises FileNotFoundError if there is no such
    store, StorageError if it is none, SearchError if it has no such search.
    """
    with Store(checked_path(path), must_exist=True) as store:
        rows = [row for row in store.rows() if isinstance(row["extra"], dict) and "search" in row["extra"]]
        keys = dict.fromkeys(row["extra"]["search"] for row in rows)
        if not keys or (key is not None and key not in keys):
            what = f"no search {key!r}, but {', '.join(keys)}" if keys else "no search"
            raise SearchError(f"{store.path} has {what}")
        chosen = key or list(keys)[-1]
        individuals = individuals_of(store, chosen)
        row = next(row for row in rows if row["extra"]["search"] == chosen)
        where = store.path
    whole = [one for place, one in enumerate(individuals) if one.number == place]
    return Evolution(
        whole, score=row["measure"], larger=bool(row["larger"]), ended="read from the store", seconds=0.0,
        arguments=named.for_compile(row["run"]["arguments"]),
        parameters=lambda number: stored_parameters(where, chosen, number),
    )  # fmt: skip


def individuals_of(store: Store, key: str) -> list[Individual]:
    """The individuals of a search in a store, by their numbers. Raises StorageError for rows that are none."""
    rows = [row for row in store.rows() if isinstance(row["extra"], dict) and row["extra"].get("search") == key]
    return individuals_in(store, rows)


def individuals_in(store: Store, rows: Iterable[Mapping[str, Any]]) -> list[Individual]:
    """The individuals in rows of a store, by their numbers. Raises StorageError for rows that are none."""
    try:
        found = [_individual(row) for row in rows]
    except (KeyError, TypeError) as error:
        raise StorageError(f"{store.path} has a row of a search that can't be read: {error}") from error
    return sorted(found, key=lambda one: one.number)


def _individual(row: Mapping[str, Any]) -> Individual:
    extra = row["extra"]
    return Individual(
        extra["number"], row["run"]["mdl"], Size(**extra["size"]), tuple(extra["parents"]), extra["operation"],
        row["score"], row["state"], row["epochs"], row["seconds"], row["error"] or "",
    )  # fmt: skip


def stored_parameters(path: str, key: str, number: int) -> Parameters:
    """The parameters of an individual in a store that is not open."""
    with Store(path, must_exist=True) as store:
        return parameters_of(store, key, number)


def parameters_of(store: Store, key: str, number: int) -> Parameters:
    """The parameters of an individual in a store. Raises StorageError if there are none."""
    saved = store.blob(_row_key(key, number), "model")
    if saved is None:
        raise StorageError(f"{store.path} has no parameters of individual {number}")
    model = storage.from_bytes(saved, Model, name=f"individual {number} in {store.path}", asks=False)
    try:
        return model.get_parameters()
    finally:
        model.release()
