"""The store of a sweep: one SQLite file with a row for each run, written as runs end.

A row has one of the states of ``STATES``. Several sweeps, also of several processes, may use one store at the same
time: a run is *claimed* by a sweep before it is trained, in one transaction, so no run is trained twice. The claims of
a sweep whose process has ended are free again.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Self

from ..errors import StorageError, brief
from ..host.frozen import frozen
from . import coordinators
from .coordinators import SILENCE, Coordinator
from .file_systems import is_of_network
from .records import checked_row

VERSION = 1
WAITING, RUNNING, PAUSED, DONE, STOPPED, FAILED = "waiting", "running", "paused", "done", "stopped", "failed"
STATES = {
    WAITING: "nobody trains it yet",
    RUNNING: "a sweep trains it",
    PAUSED: "it is at the end of a rung, and can go on",
    DONE: "it has all its epochs, or stopped early",
    STOPPED: "it was among the worse runs at the end of a rung",
    FAILED: "it failed, and the second attempt too",
}
_APPLICATION = 0x6E6D7277  # "nmrw", by which a file is known as a store
_BUSY = 30.0  # seconds that a transaction waits for others
_FEW = 100  # rows that are asked for by their keys
_SCHEMA = """
CREATE TABLE runs (
    number INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, run TEXT NOT NULL, data TEXT NOT NULL, measure TEXT NOT NULL,
    larger INTEGER NOT NULL, state TEXT NOT NULL, failures INTEGER NOT NULL DEFAULT 0,
    epochs INTEGER NOT NULL DEFAULT 0, score REAL, scores TEXT NOT NULL DEFAULT '{}', history TEXT, error TEXT,
    traceback TEXT, seconds REAL NOT NULL DEFAULT 0, ended REAL, model BLOB, checkpoint BLOB, extra TEXT, owner TEXT
);
CREATE TABLE coordinators (name TEXT PRIMARY KEY, host TEXT NOT NULL, process INTEGER NOT NULL, started TEXT NOT NULL,
    beat REAL NOT NULL);
"""
_LATER = "CREATE TABLE IF NOT EXISTS work (name TEXT PRIMARY KEY, owner TEXT NOT NULL)"  # which old stores lack
_COLUMNS = (
    "number", "key", "run", "data", "measure", "larger", "state", "failures", "epochs", "score", "scores", "history",
    "error", "traceback", "seconds", "ended", "extra", "owner",
)  # fmt: skip
_STATE = ("key", "state", "failures", "epochs", "score", "scores")
_JSON = ("run", "scores", "history", "extra")
_BLOBS = ("model", "checkpoint")


@frozen
class State:
    """How a run stands. failures: of its training so far. scores: by the number of epochs after which they were
    found."""

    state: str
    failures: int
    epochs: int
    score: float | None
    scores: dict[int, float]


class NotWrittenError(OSError):
    """A store can't be written to now: its disk is full, or another process holds it for long."""


class Store:
    """A store that is open. path: of the file, which is made if it does not exist; None means in memory. must_exist:
    for a store that is read: the file is not made, and nothing is written unless a method does.

    Raises StorageError for a file that is no store, or one of another version, OSError if it can't be read or made.
    Methods that write raise NotWrittenError if that is impossible now; then nothing is written.
    """

    def __init__(self, path: str | os.PathLike[str] | None, *, must_exist: bool = False) -> None:
        self.path = ":memory:" if path is None else os.fspath(path)
        if must_exist and not os.path.exists(self.path):
            raise FileNotFoundError(2, "there is no such store", self.path)
        self.coordinator = Coordinator.this()
        self._looked = 0.0
        self._has_shown_life = False
        self._connection = _opened(self.path, must_exist=must_exist)
        coordinators.of_this_process.add(self.coordinator.name)

    def close(self) -> None:
        """Give the claims of this sweep back, and close the file. A second call does nothing.

        A store that was only read is not written.
        """
        try:
            if self._has_shown_life:
                self._give_back()
        except (NotWrittenError, sqlite3.ProgrammingError):  # it is closed, or the claims are found to be stale later
            pass
        coordinators.of_this_process.discard(self.coordinator.name)
        self._connection.close()

    def _give_back(self) -> None:
        with _explained(self.path), self._writing() as connection:
            self._free(self.coordinator.name)
            connection.execute("DELETE FROM coordinators WHERE name = ?", (self.coordinator.name,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction, which is written as a whole or not at all."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    # Rows -------------------------------------------------------------------------------------------------------------

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows, each with its key, run, data, measure, larger and extra, unless they are there already.

        All runs of a measure get ``larger`` of the new rows, but not those of a search.
        """
        names, directions = ("key", "run", "data", "measure", "larger", "extra"), dict[str, bool]()
        with _explained(self.path), self._writing() as connection:
            for row in rows:
                directions[row["measure"]] = row["larger"]
                values = [json.dumps(row.get(name)) if name in _JSON else row[name] for name in names]
                connection.execute(
                    f"INSERT OR IGNORE INTO runs ({', '.join(names)}, state) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [*values, WAITING],
                )
            for measure, larger in directions.items():
                connection.execute(
                    "UPDATE runs SET larger = ? WHERE measure = ? AND larger != ? AND extra = 'null'",
                    (larger, measure, larger),
                )

    def put(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows that are complete, all of them or none; one that is there already is replaced.

        Each is a dict with the names of some columns, such as key, run, data, measure, larger, state, score and model.
        """
        with _explained(self.path), self._writing() as connection:
            for row in rows:
                values = [json.dumps(value) if name in _JSON else value for name, value in row.items()]
                marks = ", ".join("?" * len(values))
                changes = ", ".join(f"{name} = excluded.{name}" for name in row)
                connection.execute(
                    f"INSERT INTO runs ({', '.join(row)}) VALUES ({marks}) ON CONFLICT (key) DO UPDATE SET {changes}",
                    values,
                )

    def rows(self, keys: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """The rows of some keys, or all, in the order in which they were added; without models and checkpoints."""
        wanted = None if keys is None else set(keys)
        few = wanted is not None and len(wanted) <= _FEW
        which = f"WHERE key IN ({', '.join('?' * len(wanted or ()))})" if few else ""
        select = f"SELECT {', '.join(_COLUMNS)} FROM runs {which} ORDER BY number"
        with _explained(self.path):
            found = self._connection.execute(select, list(wanted or ()) if few else []).fetchall()
        return [checked_row(_COLUMNS, values, self.path) for values in found if wanted is None or values[1] in wanted]

    def states(self) -> dict[str, State]:
        """How each run stands, by its key."""
        with _explained(self.path):
            found = self._connection.execute(f"SELECT {', '.join(_STATE)} FROM runs").fetchall()
        rows = [checked_row(_STATE, values, self.path) for values in found]
        return {row.pop("key"): State(**row) for row in rows}

    def blob(self, key: str, name: str) -> bytes | None:
        """The model or the checkpoint of a run, or None."""
        assert name in _BLOBS
        with _explained(self.path):
            found = self._connection.execute(f"SELECT {name} FROM runs WHERE key = ?", (key,)).fetchone()
        if found is None or found[0] is None:
            return None
        if not isinstance(found[0], bytes):
            raise StorageError(f"{self.path} is corrupt: the {name} of a run is {brief(found[0])}")
        return found[0]

    def with_models(self) -> set[str]:
        """The keys of the runs whose models are here."""
        with _explained(self.path):
            return {key for (key,) in self._connection.execute("SELECT key FROM runs WHERE model IS NOT NULL")}

    def add_model(self, key: str, model: bytes) -> None:
        """Add the model of a run that is done."""
        with _explained(self.path), self._writing() as connection:
            connection.execute("UPDATE runs SET model = ? WHERE key = ? AND state = ?", (model, key, DONE))

    def drop_model(self, key: str) -> None:
        """Remove the model of a run."""
        with _explained(self.path), self._writing() as connection:
            connection.execute("UPDATE runs SET model = NULL WHERE key = ?", (key,))

    # Claims -----------------------------------------------------------------------------------------------------------

    def claim(self, key: str, known: State) -> bool:
        """Claim a run for this sweep; whether that worked. known: how it must stand, or nothing is changed."""
        with _explained(self.path), self._writing() as connection:
            self._show_life(connection)
            found = connection.execute(
                "UPDATE runs SET state = ?, owner = ? "
                "WHERE key = ? AND state = ? AND epochs = ? AND failures = ? AND owner IS NULL",
                (RUNNING, self.coordinator.name, key, known.state, known.epochs, known.failures),
            )
        return found.rowcount == 1

    def record(self, key: str, **values: Any) -> bool:
        """Write what came of a claimed run, which is then claimed no more.

        False if another sweep has claimed it meanwhile, because this one seemed dead: then nothing is written.
        """
        values = {name: json.dumps(value) if name in _JSON else value for name, value in values.items()}
        added = {"seconds": "seconds + ?"}  # to those of earlier parts
        changes = ", ".join(f"{name} = {added.get(name, '?')}" for name in (*values, "owner"))
        with _explained(self.path), self._writing() as connection:
            self._show_life(connection)
            found = connection.execute(
                f"UPDATE runs SET {changes} WHERE key = ? AND owner = ?",
                (*values.values(), None, key, self.coordinator.name),
            )
        return found.rowcount == 1

    def stop(self, known: Mapping[str, State]) -> None:
        """Stop runs at the end of a rung, by their keys. known: how they must stand, or they are not changed."""
        with _explained(self.path), self._writing() as connection:
            connection.executemany(
                "UPDATE runs SET state = ?, checkpoint = NULL "
                "WHERE key = ? AND state = ? AND epochs = ? AND owner IS NULL",
                [(STOPPED, key, PAUSED, state.epochs) for key, state in known.items()],
            )

    def retry(self, keys: Iterable[str]) -> None:
        """Have those of these runs that have failed tried again, from their last rung, as if they had not failed."""
        with _explained(self.path), self._writing() as connection:
            connection.executemany(
                "UPDATE runs SET state = CASE WHEN checkpoint IS NULL THEN ? ELSE ? END, failures = 0, error = NULL, "
                "traceback = NULL WHERE key = ? AND state = ? AND owner IS NULL",
                [(WAITING, PAUSED, key, FAILED) for key in keys],
            )

    def take(self, name: str) -> bool:
        """Claim a piece of work that is no single run; whether that worked, or it was claimed here before."""
        with _explained(self.path), self._writing() as connection:
            self._show_life(connection)
            connection.execute("INSERT OR IGNORE INTO work VALUES (?, ?)", (name, self.coordinator.name))
            (owner,) = connection.execute("SELECT owner FROM work WHERE name = ?", (name,)).fetchone()
        return bool(owner == self.coordinator.name)

    def leave(self, names: Iterable[str]) -> None:
        """Give pieces of work back that this one has claimed."""
        with _explained(self.path), self._writing() as connection:
            mine = [(name, self.coordinator.name) for name in names]
            connection.executemany("DELETE FROM work WHERE name = ? AND owner = ?", mine)

    @contextmanager
    def beating(self) -> Iterator[None]:
        """A block in which a thread shows that this sweep lives, also while nothing else is written."""
        if self.path == ":memory:":
            yield
            return
        ended, path = threading.Event(), os.path.abspath(self.path)

        def beat() -> None:
            while not ended.wait(SILENCE / 6):
                if not os.path.exists(path):  # somebody has removed the file; SQLite would make an empty one
                    continue
                with suppress(sqlite3.Error), closing(_connected(path)) as connection:
                    self._show_life(connection)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def look(self) -> None:
        """Show that this sweep lives, and free the claims of sweeps whose processes have ended."""
        now = time.time()
        if now - self._looked < SILENCE / 10:
            return
        self._looked = now
        with _explained(self.path), self._writing() as connection:
            self._show_life(connection)
            others = connection.execute("SELECT name, host, process, started, beat FROM coordinators").fetchall()
            for name, host, process, started, beat in others:
                if not Coordinator(name, host, process, started).lives(beat, now):
                    self._free(name)
                    connection.execute("DELETE FROM coordinators WHERE name = ?", (name,))

    def _show_life(self, connection: sqlite3.Connection) -> None:
        one = self.coordinator
        self._has_shown_life = True
        connection.execute(
            "INSERT OR REPLACE INTO coordinators VALUES (?, ?, ?, ?, ?)",
            (one.name, one.host, one.process, one.started, time.time()),
        )

    def _free(self, owner: str) -> None:
        """Free the claims of a sweep. A training that was broken off has not failed."""
        self._connection.execute(
            "UPDATE runs SET owner = NULL, "
            "state = CASE WHEN checkpoint IS NULL THEN ? ELSE ? END WHERE owner = ? AND state = ?",
            (WAITING, PAUSED, owner, RUNNING),
        )
        self._connection.execute("DELETE FROM work WHERE owner = ?", (owner,))


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """A block in which errors of SQLite become those of the store."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise NotWrittenError(f"the store {path} can't be written to now: {error}") from error
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.ProgrammingError):
            raise
        raise StorageError(f"{path} is corrupt, or no store of runs: {error}") from error


def _connected(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)


def _opened(path: str, *, must_exist: bool) -> sqlite3.Connection:
    """The connection to a store, which is made if it does not exist, unless it must."""
    try:
        connection = _connected(path)
    except sqlite3.OperationalError as error:
        raise OSError(f"the store {path} can't be opened: {error}") from error
    try:
        with _explained(path):
            _check(connection, path)
            if not must_exist:
                _set_up(connection, path)
            elif not _is_store(connection):
                raise StorageError(f"{path} is empty, and no store of runs")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_store(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA application_id").fetchone()[0] == _APPLICATION)


def _check(connection: sqlite3.Connection, path: str) -> None:
    """Check that a file is a store of this version, or empty."""
    connection.execute("BEGIN")  # so that all is read at one moment: another process may make the store now
    application, version = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _MARKS)
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    connection.execute("COMMIT")
    if application == _APPLICATION and version != VERSION:
        raise StorageError(f"{path} is a newer store, of version {version}; this program reads version {VERSION}")
    if application != _APPLICATION and (application or version or tables):
        raise StorageError(f"{path} is a database of another program, and no store of runs")


def _set_up(connection: sqlite3.Connection, path: str) -> None:
    """Make an empty file a store, and say how it is written."""
    connection.execute(f"PRAGMA journal_mode = {'DELETE' if is_of_network(path) else 'WAL'}").fetchone()
    connection.execute("PRAGMA synchronous = NORMAL")
    if _is_store(connection):
        connection.execute(_LATER)
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _is_store(connection):  # nobody else has made it meanwhile
            for statement in (*_SCHEMA.split(";"), _LATER):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


_MARKS = ("application_id", "user_version")


def checked_path(store: Any) -> str | None:
    """The path of a store as a text; TypeError for what is no path."""
    if store is None:
        return None
    if not isinstance(store, str | os.PathLike):
        raise TypeError(f"store must be the path of a file, or None, not {brief(store)}")
    path = os.fsdecode(store)
    if not path:
        raise ValueError("store is an empty text, and must be the path of a file, or None")
    return path
