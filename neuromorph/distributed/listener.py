"""Where a member of a run is reached by others: over the network, and from the same host by a shorter way.

On Linux there is a local socket beside the one of the network, whose packets need no network stack. It has no file.
"""

from __future__ import annotations

import hashlib
import os
import selectors
import socket
import struct
import sys
from contextlib import ExitStack, suppress


class Listener:
    """The sockets on which a member accepts others.

    network: one that listens. host: by which others reach it. key: of the run; None for no local socket, such as for
    connections that are to be encrypted.
    """

    def __init__(self, network: socket.socket, host: str, key: bytes | None) -> None:
        self.network, self.local = network, None
        self.port: int = network.getsockname()[1]
        if key is not None and sys.platform == "linux":
            with suppress(OSError):  # such sockets are forbidden here
                self.local = _listening(_name(key, host, self.port))

    def accept(self, seconds: float) -> socket.socket:
        """The next caller. Raises TimeoutError if none comes in time, and OSError after ``close``."""
        with selectors.DefaultSelector() as selector:
            try:
                for each in (self.network, self.local):
                    if each is not None:
                        selector.register(each, selectors.EVENT_READ)
            except ValueError as error:
                raise OSError("the listener is closed") from error
            ready = selector.select(seconds)
        if not ready:
            raise TimeoutError("nobody called")
        found = self.local if self.local is not None and ready[0][0].fileobj is self.local else self.network
        found.settimeout(seconds)  # the caller may have gone again
        link, _ = found.accept()
        if found is self.local and not _is_ours(link):
            link.close()
            raise TimeoutError("another user called")
        return link

    def close(self) -> None:
        """Accept no more."""
        for each in (self.network, self.local):
            if each is not None:
                each.close()


def local_connection(key: bytes, host: str, port: int, seconds: float) -> socket.socket | None:
    """A connection to the member of this host that others reach by a host and a port; None if there is no local way."""
    if sys.platform == "linux":
        with suppress(OSError), ExitStack() as stack:
            link = stack.enter_context(socket.socket(socket.AF_UNIX))
            link.settimeout(seconds)
            link.connect(_name(key, host, port))
            if _is_ours(link):
                stack.pop_all()
                return link
    return None


def _is_ours(link: socket.socket) -> bool:
    """Whether a process of this user is at the other end of a local connection. Any user can see and take a name."""
    _, user, _ = struct.unpack("3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return bool(user == os.geteuid())


def _listening(name: bytes) -> socket.socket:
    with ExitStack() as stack:
        local = stack.enter_context(socket.socket(socket.AF_UNIX))
        local.bind(name)
        local.listen()
        stack.pop_all()
        return local


def _name(key: bytes, host: str, port: int) -> bytes:
    """A name without a file, one for each run and place. What a caller sends first says whether it has the key."""
    return b"\0neuromorph-" + hashlib.sha256(b"%s %s %d" % (key, host.encode(), port)).hexdigest()[:32].encode()
