"""The store: what it refuses, claims, signs of life, and what happens when it can't be written to."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

import neuromorph as nm
from helpers import sweeping
from neuromorph.sweeps import coordinators, file_systems
from neuromorph.sweeps import store as module
from neuromorph.sweeps.coordinators import Coordinator
from neuromorph.sweeps.store import DONE, PAUSED, RUNNING, WAITING, NotWrittenError, State, Store

FRESH = State(WAITING, 0, 0, None, {})


def row(key: str) -> dict[str, Any]:
    return {"key": key, "run": {"mdl": "text"}, "data": "d", "measure": "loss", "larger": False, "extra": {"parent": 1}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.sqlite"


def made(path: Path, *keys: str) -> Store:
    store = Store(path)
    store.add(map(row, keys))
    return store


def test_rows_are_added_once_and_keep_what_is_known(path: Path) -> None:
    with made(path, "a", "b") as store:
        assert store.claim("a", FRESH)
        assert store.record("a", state=DONE, score=0.5, epochs=3, scores={3: 0.5}, seconds=1.5, model=b"m")
        store.add(map(row, "bac"))
        assert [one["key"] for one in store.rows()] == ["a", "b", "c"]
        assert [one["key"] for one in store.rows(["c", "a"])] == ["a", "c"]
        assert store.states()["a"] == State(DONE, 0, 3, 0.5, {3: 0.5})
        assert store.rows()[0]["extra"] == {"parent": 1}
        assert (store.blob("a", "model"), store.blob("b", "model"), store.blob("z", "model")) == (b"m", None, None)
        store.drop_model("a")
        assert store.blob("a", "model") is None


def test_rows_that_are_written_again_keep_their_places(path: Path) -> None:
    with Store(path) as store:
        whole = row("a") | {"state": DONE}
        store.put({**whole, "key": key} for key in "abc")
        store.put([{**whole, "key": "a", "score": 1.0}])
        assert [(one["key"], one["score"]) for one in store.rows()] == [("a", 1.0), ("b", None), ("c", None)]


def test_pieces_of_work_have_one_owner_as_long_as_it_lives(path: Path) -> None:
    one, other = Store(path), Store(path)
    assert one.take("chunk 1")
    assert one.take("chunk 1"), "it has it"
    assert not other.take("chunk 1")
    other.leave(["chunk 1"])
    assert not other.take("chunk 1"), "who has no piece can't give it back"
    one.leave(["chunk 1"])
    assert other.take("chunk 1")
    assert one.take("chunk 2")
    one.close()
    assert other.take("chunk 2")
    with abandoned(path, "somebody", process=2**22 + 1) as third:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO work VALUES ('chunk 3', 'somebody')")
        assert not third.take("chunk 3")
        third.look()
        assert third.take("chunk 3"), "the process of its owner has ended"
    other.close()


def test_a_store_that_knows_no_pieces_of_work_learns_them(path: Path) -> None:
    made(path, "a").close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE work")
    with Store(path) as store:
        assert store.take("chunk 1")
        assert [one["key"] for one in store.rows()] == ["a"]


def test_signs_of_life_make_no_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has removed the store while a sweep runs."""
    monkeypatch.setattr(module, "SILENCE", 0.06)
    with made(path, "a") as store, store.beating():
        for file in path.parent.iterdir():
            file.unlink()
        time.sleep(0.1)
        assert not path.exists()


def test_one_of_two_sweeps_gets_a_run(path: Path) -> None:
    with made(path, "a") as one, Store(path) as other:
        assert one.claim("a", FRESH)
        assert not other.claim("a", FRESH)
        assert other.states()["a"].state == RUNNING
        assert not other.record("a", state=DONE), "it has not claimed it"
        assert one.record("a", state=PAUSED, epochs=2, checkpoint=b"c", seconds=1.0)
        assert not other.claim("a", FRESH), "it stands otherwise by now"
        assert other.claim("a", State(PAUSED, 0, 2, None, {}))
        one.stop({"a": State(PAUSED, 0, 2, None, {})})
        assert one.states()["a"].state == RUNNING, "somebody has claimed it"
        assert other.record("a", state=DONE, seconds=2.0)
        assert one.rows()[0]["seconds"] == 3.0
        one.stop({"a": State(PAUSED, 0, 2, None, {})})
        assert one.states()["a"].state == DONE, "it stands otherwise by now"


def test_claims_are_free_again_at_the_end(path: Path) -> None:
    one = made(path, "a", "b")
    assert one.claim("a", FRESH)
    assert one.claim("b", FRESH)
    one.record("b", state=PAUSED, checkpoint=b"c", epochs=1)
    assert one.claim("b", State(PAUSED, 0, 1, None, {}))
    one.close()
    one.close()
    with Store(path) as other:
        assert {key: state.state for key, state in other.states().items()} == {"a": WAITING, "b": PAUSED}
        assert other.blob("b", "checkpoint") == b"c"


def abandoned(path: Path, name: str, **changes: Any) -> Store:
    """A store whose run "a" is claimed by somebody else. changes: of that coordinator."""
    store = made(path, "a")
    connection = sqlite3.connect(path)
    this = Coordinator.this()
    fields = {"host": this.host, "process": this.process, "started": this.started, "beat": 2e9, **changes}
    connection.execute("INSERT INTO coordinators VALUES (?, ?, ?, ?, ?)", (name, *fields.values()))
    connection.execute("UPDATE runs SET state = 'running', owner = ?", (name,))
    connection.commit()
    connection.close()
    return store


@pytest.mark.parametrize(
    ("changes", "lives"),
    [
        ({}, False),  # a sweep of this process that has ended
        ({"process": 2**22 + 1}, False),
        ({"process": 1, "started": "1"}, False),  # the number of an old process, which a new one has
        ({"process": 1, "started": ""}, True),
        ({"host": "far away"}, True),
        ({"host": "far away", "beat": 1e9}, False),
    ],
)
def test_claims_of_the_dead_are_free(path: Path, changes: dict[str, Any], lives: bool) -> None:
    with abandoned(path, "somebody", **changes) as store:
        store.look()
        assert store.states()["a"].state == (RUNNING if lives else WAITING)
        assert store.claim("a", FRESH) != lives


def test_a_sweep_of_this_process_lives_until_it_is_closed(path: Path) -> None:
    one = made(path, "a")
    one.claim("a", FRESH)
    with Store(path) as other:
        other.look()
        assert other.states()["a"].state == RUNNING
        coordinators.of_this_process.discard(one.coordinator.name)
        other._looked = 0.0
        other.look()
        assert other.states()["a"].state == WAITING
        assert not one.record("a", state=DONE, score=1.0), "others have it by now"


def test_a_sweep_shows_that_it_lives_while_it_writes_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.06)
    with made(path, "a") as store, closing(sqlite3.connect(path)) as connection:

        def beats() -> list[float]:
            return [beat for (beat,) in connection.execute("SELECT beat FROM coordinators")]

        store.claim("a", FRESH)
        first = beats()
        with store.beating():
            for _ in range(1000):
                if beats() > first:
                    break
                time.sleep(0.01)
        last = beats()
        assert last > first
    with closing(sqlite3.connect(path)) as connection:
        assert beats() == [], "the thread has ended before the store is closed"


def test_a_store_that_is_read_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading would wait for sweeps that write."""
    found = nm.sweep(sweeping.runs(1), sweeping.data(), workers=0, verbosity=0, store=path, save_models=True)
    said, connected = list[str](), module._connected

    def listening(place: str) -> sqlite3.Connection:
        connection = connected(place)
        connection.set_trace_callback(said.append)
        return connection

    monkeypatch.setattr(module, "_connected", listening)
    assert nm.stored_runs(path).best.model().history.loss == found[0].history.loss  # type: ignore[union-attr]
    assert {line.split()[0] for line in said} == {"SELECT", "PRAGMA", "BEGIN", "COMMIT"}, "a BEGIN alone locks nothing"
    assert "BEGIN" in said
    assert not [line for line in said if "=" in line and "PRAGMA" in line]
    empty = path.parent / "empty"
    empty.touch()
    with pytest.raises(nm.StorageError, match="empty is empty, and no store of runs"):
        nm.stored_runs(empty)
    assert empty.stat().st_size == 0


MOUNTS = """\
/dev/sda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb /home/me/my\\040disk xfs rw 0 0
me@host: /mnt/far fuse.sshfs rw 0 0
"""


MOUNTS_OF_MACOS = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
//me@server/My%20Share on /Volumes/My Share (smbfs, nodev, nosuid, mounted by me)
server:/export on /Volumes/on it (nfs, asynchronous)
//me@server/more on /Volumes/My on Share (smbfs, nodev)
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/Users/me/runs.sqlite", "apfs"),
        ("/Volumes/My Share/runs.sqlite", "smbfs"),
        ("/Volumes/My Shares/runs.sqlite", "apfs"),
        ("/Volumes/on it/runs.sqlite", "nfs"),
        ("/Volumes/My on Share/runs.sqlite", "smbfs"),
    ],
)
def test_kinds_of_file_systems_of_macos(path: str, kind: str) -> None:
    assert file_systems.kind_of(path, file_systems.mounts_of_macos(MOUNTS_OF_MACOS)) == kind


@pytest.mark.parametrize(
    ("path", "remote"),
    [
        ("C:\\Users\\me\\runs.sqlite", False),
        ("Z:\\runs.sqlite", True),
        ("\\\\server\\share\\runs.sqlite", True),
        ("\\\\?\\C:\\Users\\me\\runs.sqlite", False),
        ("\\\\?\\Z:\\runs.sqlite", True),
        ("\\\\?\\UNC\\server\\share\\runs.sqlite", True),
    ],
)
def test_drives_of_a_network_on_windows(path: str, remote: bool) -> None:
    assert file_systems.is_remote_drive(path, {"C:\\": 3, "Z:\\": 4}.__getitem__) == remote


@pytest.mark.parametrize(
    ("path", "kind", "shared"),
    [
        ("/tmp/runs.sqlite", "ext4", False),
        ("/home/me/runs.sqlite", "nfs4", True),
        ("/home/me/my disk/runs.sqlite", "xfs", False),
        ("/homes/runs.sqlite", "ext4", False),
        ("/mnt/far/runs.sqlite", "fuse.sshfs", True),
    ],
)
def test_file_systems_of_a_network_get_no_write_ahead_log(
    path: str, kind: str, shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    monkeypatch.setattr(file_systems, "_MOUNTS", mounts)
    assert file_systems.kind_of(path, MOUNTS) == kind
    assert file_systems.is_of_network(path) == shared
    monkeypatch.setattr(module, "is_of_network", lambda place: shared)
    with Store(tmp_path / "runs.sqlite") as store:
        assert store.claim("a", FRESH) is False
    with closing(sqlite3.connect(tmp_path / "runs.sqlite")) as connection:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    assert mode == ("delete" if shared else "wal")


# What is no store -----------------------------------------------------------------------------------------------------


def test_what_is_no_store_is_refused_and_left_alone(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"this is no database at all, but a text that is long enough" * 20)
    with pytest.raises(nm.StorageError, match=r"runs\.sqlite is corrupt, or no store of runs"):
        Store(path)
    assert path.read_bytes().startswith(b"this is no")
    other = tmp_path / "other.sqlite"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(nm.StorageError, match="is a database of another program, and no store of runs"):
        Store(other)
    with pytest.raises(OSError, match="can't be opened"):
        Store(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no such store"):
        Store(tmp_path / "none", must_exist=True)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("score", "x", "is corrupt: the score of a run is 'x'"),
        ("epochs", -1, "is corrupt: the epochs of a run is -1"),
        ("scores", "[" * 100_000, "is corrupt: the scores of a run is '[[["),
        ("run", "[1]", r"is corrupt: the run of a run is '\[1]'"),
        ("run", '{"mdl": []}', "corrupt: a row of the store has no run: mdl must be a text"),
        ("history", '{"loss": 1}', "corrupt: its history is"),
        ("measure", b"loss", "is corrupt: the measure of a run is b'loss'"),
        ("model", "x", "is corrupt: the model of a run is 'x'"),
        ("model", b"x", "the model of a run: truncated"),
    ],
)
def test_a_row_that_no_sweep_writes_is_refused(path: Path, column: str, value: Any, said: str) -> None:
    with made(path, "a") as store:
        store.claim("a", FRESH)
        store.record("a", state=DONE, score=0.5, epochs=1, scores={1: 0.5}, seconds=1.5, model=b"m")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE runs SET {column} = ?", (value,))
        connection.commit()
    with pytest.raises(nm.StorageError, match=said.replace("[[[", r"\[\[\[")):
        nm.stored_runs(path).best.model()


def test_what_is_shown_of_a_store_steers_no_terminal(path: Path) -> None:
    with made(path, "a") as store:
        store.claim("a", FRESH)
        store.record("a", state="failed", error="\x1b[2J", scores={}, seconds=1.5)
    found = nm.stored_runs(path)
    assert "�[2J" in found.table()
    assert "\x1b" not in found.table() + repr(found[0])


def test_a_store_is_not_taken_for_another_database_while_it_is_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process would make it between two looks at the file."""
    monkeypatch.setattr(module, "_BUSY", 0.0)

    class Late(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:  # type: ignore[override]
            if statement == "PRAGMA user_version":
                with suppress(NotWrittenError):
                    Store(path).close()
            return super().execute(statement, *values)

    with closing(sqlite3.connect(path, isolation_level=None, factory=Late)) as connection:
        module._check(connection, str(path))
    Store(path).close()
    with closing(sqlite3.connect(path, isolation_level=None, factory=Late)) as connection:
        module._check(connection, str(path))


def test_a_store_of_another_version_is_refused(path: Path) -> None:
    made(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(nm.StorageError, match="is a newer store, of version 9; this program reads version 1"):
        Store(path)


# A full disk ----------------------------------------------------------------------------------------------------------


during: list[Callable[[str], None]] = []  # what the score does with the mark of a run


@pytest.fixture(autouse=True)
def nothing_more() -> Iterator[None]:
    yield
    during.clear()


def scored(model: Any, data: Any) -> float:
    mark = sweeping.note(model)
    during[0](mark)
    return float(mark)


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """The connections that are opened, each of which has no room but for what is there."""
    opened, found = module._opened, list[sqlite3.Connection]()

    def limiting(path: str, *, must_exist: bool) -> sqlite3.Connection:
        connection = opened(path, must_exist=must_exist)
        found.append(connection)
        return connection

    monkeypatch.setattr(module, "_opened", limiting)
    return found


def fill(connection: sqlite3.Connection, *, more: int = 0) -> None:
    """Leave no more room to a database than it has, and some pages."""
    connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0] + more}")


def test_results_that_find_no_room_come_with_the_error(
    path: Path, limited: list[sqlite3.Connection], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(sweeping.LOG, str(tmp_path / "log"))

    during.append(lambda mark: fill(limited[0]) if mark == "0.2" else None)
    given = {"workers": 0, "verbosity": 0, "store": path, "save_models": True}
    with (
        pytest.warns(RuntimeWarning, match=r"can't be written to now: database or disk is full; results are") as told,
        pytest.raises(OSError, match=r"the sweep has ended.*attribute `results`") as caught,
    ):
        nm.sweep(sweeping.runs(8), sweeping.data(), score=scored, **given)  # type: ignore[arg-type]
    assert [warning.category for warning in told if warning.category is not ResourceWarning] == [RuntimeWarning]
    results = caught.value.results  # type: ignore[attr-defined]
    done = [one for one in results if one.state == "done"]
    trained = sweeping.noted(tmp_path / "log")
    assert len(done) == len(trained) >= 2
    assert all(one.model().history.loss == one.history.loss for one in done)
    assert all(one.state == "waiting" for one in results if one not in done)
    again = nm.sweep(sweeping.runs(8), sweeping.data(), score=scored, **given)  # type: ignore[arg-type]
    assert [one.state for one in again] == ["done"] * 8


def test_a_sweep_goes_on_when_it_can_write_again(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(sweeping.LOG, str(tmp_path / "log"))
    monkeypatch.setattr(module, "_BUSY", 0.01)
    connection = sqlite3.connect(path)

    def lock(mark: str) -> None:
        if mark == "0.1":
            connection.execute("BEGIN IMMEDIATE")
        if mark == "0.2":  # which was claimed before
            connection.rollback()

    during.append(lock)
    runs, options = sweeping.runs(8), {"workers": 0, "verbosity": 0, "store": path, "save_models": True}
    with pytest.warns(RuntimeWarning, match="database is locked; results are kept, and no new run begins"):
        found = nm.sweep(runs, sweeping.data(), score=scored, **options)  # type: ignore[arg-type]
    connection.close()
    assert [one.state for one in found] == ["done"] * 8
    assert len(sweeping.noted(tmp_path / "log")) == 8
    with Store(path) as store:
        assert all(store.blob(one.key, "model") for one in found)


def test_a_real_limit_of_the_file_is_a_full_disk(path: Path) -> None:
    """The system itself refuses to write."""
    code = (
        "import resource, sys\nfrom helpers import sweeping\nimport neuromorph as nm\n"
        "def score(model, data):\n    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, -1))\n    return 1.0\n"
        "runs, options = sweeping.runs(40), {'workers': 0, 'verbosity': 0, 'store': sys.argv[1]}\n"
        "try:\n    nm.sweep(runs, sweeping.data(), score=score, **options)\n"
        "except OSError as error:\n    done = [one for one in error.results if one.state == 'done']\n"
        "    print(len(error.results), all(one.score == 1.0 for one in done), len(done) > 0)\n"
    )
    tests = Path(sweeping.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), str(tests.parent)])}
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, path], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout == "40 True True\n"
    with Store(path) as store:
        assert len(store.rows()) == 40


def test_a_store_that_is_locked_for_long_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BUSY", 0.01)
    store = made(path, "a")
    connection = sqlite3.connect(path)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(NotWrittenError, match="database is locked"):
        store.claim("a", FRESH)
    connection.rollback()
    connection.close()
    assert store.claim("a", FRESH)
    store.close()
