"""The sums of all workers are the same to the last bit for each, and lost connections are errors."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import numpy as np
import pytest

pytest.importorskip("distributed")

from neuromorph.distributed import listener as listener_module
from neuromorph.distributed import mesh as mesh_module
from neuromorph.distributed.listener import Listener, local_connection
from neuromorph.distributed.mesh import AWAKE, CHUNK, Mesh, PeerLostError, partners

KEY = b"k" * 32


def listening(key: bytes | None = KEY) -> Listener:
    return Listener(socket.create_server(("127.0.0.1", 0)), "127.0.0.1", key)


@contextmanager
def meshes(count: int, key: bytes | None = KEY) -> Iterator[list[Mesh]]:
    """The connected ends of so many workers. key: None for connections over the network only."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(closing(listening(key))) for _ in range(count)]
        places = [("127.0.0.1", listener.port) for listener in listeners]
        found = at_once(lambda rank: Mesh(listeners[rank], places, rank, KEY, 1), range(count))
        try:
            yield found
        finally:
            for mesh in found:
                mesh.close()


def at_once(action: Callable[[Any], Any], items: Any) -> list[Any]:
    """The results of an action on each item, in a thread for each."""
    listed = list(items)
    with ThreadPoolExecutor(len(listed)) as pool:
        return list(pool.map(action, listed))


def summed(mesh: Mesh, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a worker, and the sum of all."""
    buffer = np.zeros(16 + 4 * size, np.uint8)
    head, body = buffer[:16].view(np.float64), buffer[16:].view(np.float32)
    head[:] = mesh.rank, 1.0
    body[:] = own = np.random.default_rng(mesh.rank).normal(size=size).astype(np.float32)
    mesh.add(buffer, [head, body])
    assert head.tolist() == [mesh.size * (mesh.size - 1) / 2, mesh.size]
    return own, body.copy()


@pytest.fixture(params=["both ways at once", "piece by piece"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How buffers are exchanged: as on POSIX without TLS, and as elsewhere."""
    if request.param == "piece by piece":
        monkeypatch.setattr(mesh_module, "_AT_ONCE", None)


@pytest.mark.parametrize("key", [KEY, None], ids=["on this host", "over the network"])
def test_members_of_one_host_need_no_network(key: bytes | None) -> None:
    with meshes(3, key) as found:
        families = {link.family for mesh in found for link in mesh._links.values()}
        is_local = key is not None and sys.platform == "linux"
        assert families == {socket.AF_UNIX if is_local else socket.AF_INET}
        results = at_once(lambda mesh: summed(mesh, 2 * CHUNK), found)
        for _, total in results:
            np.testing.assert_allclose(total, np.sum([own for own, _ in results], axis=0), rtol=0, atol=1e-5)


def test_a_local_name_that_is_taken_leaves_the_network() -> None:
    with closing(listening()) as one, closing(Listener(one.network.dup(), "127.0.0.1", KEY)) as other:
        assert other.local is None
        with socket.create_connection(("127.0.0.1", one.port)), other.accept(5.0) as link:
            assert link.family == socket.AF_INET
        with pytest.raises(TimeoutError):
            other.accept(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has local sockets without files")
def test_one_port_at_two_addresses_is_two_places() -> None:
    with closing(listening()) as one:
        network = socket.create_server(("127.0.0.2", one.port))
        with closing(Listener(network, "127.0.0.2", KEY)) as other:
            assert other.local is not None
            link = local_connection(KEY, "127.0.0.2", one.port, 1.0)
            assert link is not None
            with link, other.accept(5.0) as accepted:
                link.sendall(b"x")
                assert accepted.recv(1) == b"x"
            with pytest.raises(TimeoutError):
                one.accept(0.01)


def test_where_local_sockets_are_forbidden_there_is_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = socket.socket

    def forbidden(*family: Any, **more: Any) -> Any:
        if family[:1] == (getattr(socket, "AF_UNIX", -1),):
            raise OSError("Address family not supported by protocol")
        return whole(*family, **more)

    monkeypatch.setattr(listener_module.socket, "socket", forbidden)
    with closing(listening()) as one:
        assert one.local is None
        assert local_connection(KEY, "127.0.0.1", one.port, 1.0) is None


def test_a_listener_that_is_closed_raises_an_error_of_the_system() -> None:
    one = listening()
    one.close()
    with pytest.raises(OSError, match="closed"):
        one.accept(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows numbers sockets in another way")
def test_there_may_be_many_open_files() -> None:
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1_100:
        pytest.skip("no more open files are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1_100), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1_030):
            stack.callback(os.close, os.dup(0))
        one = stack.enter_context(closing(listening()))
        assert one.network.fileno() >= 1_024
        with pytest.raises(TimeoutError):
            one.accept(0.01)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 11])
def test_all_workers_get_the_same_sum(count: int) -> None:
    with meshes(count) as found:
        for size in (3, CHUNK, 4 * CHUNK if count < 4 else 5):  # more than a connection's buffers, and not whole pieces
            results = at_once(lambda mesh, size=size: summed(mesh, size), found)
            for _, total in results:
                np.testing.assert_array_equal(total, results[0][1])
            exact = np.sum([own.astype(np.float64) for own, _ in results], axis=0)
            np.testing.assert_allclose(results[0][1], exact, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("way")
def test_a_slow_worker_is_waited_for() -> None:
    def late(mesh: Mesh) -> Any:
        time.sleep(mesh.rank * 20 * AWAKE)
        return summed(mesh, 1_000)[1]

    with meshes(4) as found:
        for _ in range(3):
            results = at_once(late, found)
            for total in results:
                np.testing.assert_array_equal(total, results[0])


@pytest.mark.parametrize("size", range(1, 40))
def test_both_partners_expect_each_other(size: int) -> None:
    way = {"both": "both", "give": "take", "take": "give"}
    steps = [partners(rank, size) if size > 1 else [] for rank in range(size)]
    for rank, mine in enumerate(steps):
        for other in {other for other, _ in mine}:
            here = [kind for to, kind in mine if to == other]
            assert [way[kind] for to, kind in steps[other] if to == rank] == here
    assert max(map(len, steps)) <= size.bit_length() + 1


def test_the_others_notice_a_lost_connection() -> None:
    with meshes(4) as found:
        found[3].close()

        def add(mesh: Mesh) -> bool:
            with pytest.raises(PeerLostError, match="has ended"):
                mesh.add(np.zeros(8, np.uint8), [])
            mesh.close()  # as a worker that gives up does
            return True

        assert at_once(add, found[:3]) == [True] * 3


def test_one_that_waits_is_woken_by_another_thread() -> None:
    with meshes(2) as found:
        timer = threading.Timer(0.1, found[0].abort)
        timer.start()
        with pytest.raises(PeerLostError):
            found[0].add(np.zeros(8, np.uint8), [])
        timer.join()


def test_callers_of_other_runs_are_sent_away_and_waiting_can_be_cancelled() -> None:
    listener, cancelled = listening(), threading.Event()
    place = ("127.0.0.1", listener.port)
    stranger = socket.create_connection(place)
    stranger.sendall(b"x" * 32 + bytes(8))
    timer = threading.Timer(0.5, cancelled.set)
    timer.start()
    with closing(listener), pytest.raises(PeerLostError, match=r"no connection to 127\.0\.0\.1:1:"):
        Mesh(listener, [place, ("127.0.0.1", 1)], 0, KEY, 1, cancelled=cancelled.is_set)
    with stranger:
        assert stranger.recv(1) == b""
    timer.join()
