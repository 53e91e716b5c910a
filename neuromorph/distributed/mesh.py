"""Connects the workers of a run with one another, and adds up what each of them has.

Each worker has a connection to about log2(n) others. ``Mesh.add`` adds buffers by recursive doubling: in each round a
worker exchanges its sum with one other worker, and the sums of both are the same to the last bit, because an addition
of two numbers does not depend on their order. Where the number of workers is no power of two, some hand their numbers
to a partner before the first round and get the sum after the last one.

Connections use the certificates of Dask's own: they are mutual TLS where the cluster's are. They carry numbers only,
never pickles.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..host.frozen import frozen
from .listener import Listener, local_connection

Bytes = NDArray[np.uint8]
CHUNK = 1 << 16  # bytes that are sent before as many are received: the buffers of a connection hold them
PATIENCE = 30.0  # seconds in which all workers of a run must have found one another
AWAKE = 1e-4  # seconds in which a worker waits for another one without sleep
_AT_ONCE = getattr(socket, "MSG_DONTWAIT", None) if hasattr(select, "poll") else None  # None on Windows
_CLOSED = "it was closed at the other end"
_LOOK = 0.2  # seconds between two looks whether to give up
KEY_BYTES = 32  # of the key by which workers of one run know one another
_HELLO = struct.Struct(f"!{KEY_BYTES}sII")  # key, generation, rank
_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}  # a host that is gone is noticed in 30 s
_UNSENT = 30_000  # milliseconds that sent bytes may stay unanswered


class PeerLostError(OSError):
    """The connection to another worker of the run has ended."""


@frozen
class Contexts:
    """The TLS contexts of the two ends of a connection; None for a cluster without TLS."""

    server: ssl.SSLContext | None = None
    client: ssl.SSLContext | None = None


def partners(rank: int, size: int) -> list[tuple[int, str]]:
    """Whom a worker exchanges buffers with, in order: the other rank, and "both", "give" or "take".

    A worker that gives hands its buffer over and takes part in no round until the sum comes back.
    """
    whole = 1 << (size.bit_length() - 1)  # the largest power of two that is not larger
    extra = size - whole
    if rank >= whole:
        return [(rank - whole, "give"), (rank - whole, "take")]
    rounds = [(rank ^ (1 << bit), "both") for bit in range(whole.bit_length() - 1)]
    return [(rank + whole, "take"), *rounds, (rank + whole, "give")] if rank < extra else rounds


class Mesh:
    """The connections of one worker to others of its run, for one generation of them.

    listener: it accepts those of higher ranks; the mesh does not close it. places: host and port of
    each rank. cancelled: says whether to give up waiting for them. Raises PeerLostError if the others can't be reached
    in time.
    """

    def __init__(
        self,
        listener: Listener,
        places: Sequence[tuple[str, int]],
        rank: int,
        key: bytes,
        generation: int,
        contexts: Contexts = Contexts(),  # noqa: B008 - frozen
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self.rank, self.size = rank, len(places)
        self._steps = partners(rank, self.size) if self.size > 1 else []
        self._hello = _HELLO.pack(key, generation, rank)
        self._key, self._contexts = key, contexts
        self._links: dict[int, socket.socket] = {}
        self._received: Bytes = np.zeros(0, np.uint8)
        others = {other for other, _ in self._steps}
        try:
            for other in sorted(other for other in others if other < rank):
                near = contexts.client is None and places[other][0] == places[rank][0]
                self._links[other] = self._called(*places[other], near=near)
            self._accept(listener, {other for other in others if other > rank}, cancelled)
        except (OSError, struct.error) as error:
            self.close()
            where = ", ".join(f"{places[other][0]}:{places[other][1]}" for other in sorted(others - {*self._links}))
            raise PeerLostError(f"no connection to {where}: {error}") from error

    def _called(self, host: str, port: int, *, near: bool) -> socket.socket:
        """A connection to a worker of a lower rank. near: whether it is on this host."""
        link = local_connection(self._key, host, port, PATIENCE) if near else None
        link = link or socket.create_connection((host, port), PATIENCE)
        return self._ready(link, self._contexts.client, server=False)

    def _ready(self, link: socket.socket, context: ssl.SSLContext | None, *, server: bool) -> socket.socket:
        """The connection with TLS, if the cluster has it. A caller has said who it is."""
        try:
            _tune(link)
            if context is not None:
                link = context.wrap_socket(link, server_side=server)
            if not server:
                link.sendall(self._hello)
        except BaseException:
            link.close()
            raise
        return link

    def _accept(self, listener: Listener, awaited: set[int], cancelled: Callable[[], bool]) -> None:
        """Accept the connections of these ranks. Others, such as those of an earlier generation, are closed."""
        end = time.monotonic() + PATIENCE
        while awaited:
            if cancelled() or time.monotonic() > end:
                raise TimeoutError("they did not call")
            try:
                link = listener.accept(_LOOK)
            except TimeoutError:
                continue
            rank = None
            with suppress(OSError, struct.error):
                link.settimeout(PATIENCE)
                link = self._ready(link, self._contexts.server, server=True)
                rank = self._caller(_exactly(link, _HELLO.size))
            if rank in awaited:
                self._links[rank] = link
                awaited.discard(rank)
            else:
                link.close()

    def _caller(self, hello: bytes) -> int | None:
        """The rank of a caller of the same run and generation."""
        key, generation, rank = _HELLO.unpack(hello)
        return rank if (key, generation) == _HELLO.unpack(self._hello)[:2] else None

    def add(self, buffer: Bytes, parts: Sequence[NDArray[Any]]) -> None:
        """Replace a buffer by the sum of those of all workers. parts: views of the buffer as numbers, which are added.

        Raises PeerLostError if a connection has ended; the buffer then holds no sum.
        """
        if len(self._received) != len(buffer):
            self._received = np.zeros_like(buffer)
        received = self._received
        there = [_as(received, buffer, part) for part in parts]
        for other, way in self._steps:
            try:
                _exchange(self._links[other], buffer, received, way)
            except (OSError, KeyError) as error:
                raise PeerLostError(f"the connection to worker {other} has ended: {error}") from error
            if way == "both" or (way == "take" and self.rank < other):
                for mine, others in zip(parts, there, strict=True):
                    mine += others
            elif way == "take":
                buffer[:] = received

    def close(self) -> None:
        """Close all connections; who waits for one of them gets PeerLostError."""
        for link in self._links.values():
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                link.close()
        self._links.clear()

    def abort(self) -> None:
        """Have a thread that waits for a connection get PeerLostError. Another thread may call this."""
        for link in list(self._links.values()):
            with suppress(OSError):
                socket.socket.shutdown(link, socket.SHUT_RDWR)


def _tune(link: socket.socket) -> None:
    """Send small messages at once, and notice hosts that are gone."""
    link.settimeout(PATIENCE)
    for name in ("SO_SNDBUF", "SO_RCVBUF"):
        link.setsockopt(socket.SOL_SOCKET, getattr(socket, name), 4 * CHUNK)
    if link.family not in (socket.AF_INET, socket.AF_INET6):
        return
    options: Mapping[str, int] = {**_KEEPALIVE, "TCP_USER_TIMEOUT": _UNSENT, "TCP_NODELAY": 1}
    for name, value in options.items():
        if hasattr(socket, name):
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _as(received: Bytes, buffer: Bytes, part: NDArray[Any]) -> NDArray[Any]:
    """The part of what was received that lies where a part of the buffer does."""
    start = part.__array_interface__["data"][0] - buffer.__array_interface__["data"][0]
    return received[start : start + part.nbytes].view(part.dtype)


def _exchange(link: socket.socket, mine: Bytes, others: Bytes, way: str) -> None:
    """Send a buffer, receive one, or do both at once."""
    link.settimeout(None)  # a slow worker is waited for; keepalive notices one whose host is gone
    out, into = memoryview(mine.data), memoryview(others.data)
    if _AT_ONCE is not None and not isinstance(link, ssl.SSLSocket):
        _both_ways(link, out[:0] if way == "take" else out, into[:0] if way == "give" else into, _AT_ONCE)
    else:
        _piece_by_piece(link, out, into, way)


def _both_ways(link: socket.socket, out: memoryview, into: memoryview, at_once: int) -> None:
    """Send and receive as the connection takes and gives bytes.

    The other worker is mostly about as far as this one. So for a moment it is waited for without sleep, from which the
    system takes longer to wake a thread than small messages take.
    """
    until = time.perf_counter() + AWAKE
    while out or into:
        moved = 0
        if out:
            with suppress(BlockingIOError):
                moved = link.send(out, at_once)
                out = out[moved:]
        if into:
            with suppress(BlockingIOError):
                count = link.recv_into(into, 0, at_once)
                if count == 0:
                    raise ConnectionResetError(_CLOSED)
                moved += count
                into = into[count:]
        if moved:
            until = time.perf_counter() + AWAKE
        elif time.perf_counter() > until:
            _wait(link, wants_to_send=bool(out), wants_to_receive=bool(into))


def _wait(link: socket.socket, *, wants_to_send: bool, wants_to_receive: bool) -> None:
    """Sleep until a connection takes or gives bytes, or has ended."""
    waiting = select.poll()
    waiting.register(link, select.POLLOUT * wants_to_send | select.POLLIN * wants_to_receive)
    waiting.poll()


def _piece_by_piece(link: socket.socket, out: memoryview, into: memoryview, way: str) -> None:
    """Send a piece before one is received, so that two that send at once do not wait for ever."""
    for start in range(0, len(out), CHUNK):
        if way != "take":
            link.sendall(out[start : start + CHUNK])
        if way != "give":
            _fill(link, into[start : start + CHUNK])


def _fill(link: socket.socket, view: memoryview) -> None:
    """Receive as many bytes as a view has."""
    while view:
        count = link.recv_into(view)
        if count == 0:
            raise ConnectionResetError(_CLOSED)
        view = view[count:]


def _exactly(link: socket.socket, count: int) -> bytes:
    """So many bytes."""
    found = bytearray(count)
    _fill(link, memoryview(found))
    return bytes(found)
