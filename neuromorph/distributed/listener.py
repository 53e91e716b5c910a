"""Where a member of a run is reached by others: over the network, and from the same host by a shorter way.

On Linux there is a local socket beside the one of the network, whose packets need no network stack. It has no file, and
its name follows from the key of the run, which others do not know.
"""

from __future__ import annotations

import hashlib
import select
import socket
import sys
from contextlib import suppress


class Listener:
    """The sockets on which a member accepts others. network: one that listens. key: of the run; None for no local one,
    such as for connections that are to be encrypted."""

    def __init__(self, network: socket.socket, key: bytes | None) -> None:
        self.network, self.local = network, None
        self.port: int = network.getsockname()[1]
        if key is not None and sys.platform == "linux":
            local = socket.socket(socket.AF_UNIX)
            try:
                local.bind(_name(key, self.port))
                local.listen()
                self.local = local
            except OSError:  # it is forbidden here, or the name is taken by the same port of another address
                local.close()

    def accept(self, seconds: float) -> socket.socket:
        """The next caller. Raises TimeoutError if none comes in time, and OSError after ``close``."""
        sockets = [each for each in (self.network, self.local) if each is not None]
        ready, _, _ = select.select(sockets, [], [], seconds)
        if not ready:
            raise TimeoutError("nobody called")
        ready[0].settimeout(seconds)  # the caller may have gone again
        link, _ = ready[0].accept()
        return link

    def close(self) -> None:
        """Accept no more."""
        for each in (self.network, self.local):
            if each is not None:
                each.close()


def local_connection(key: bytes, port: int) -> socket.socket | None:
    """A connection to the member of this host that listens on a port; None if there is no local way to it."""
    if sys.platform == "linux":
        link = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            link.connect(_name(key, port))
            return link
        link.close()
    return None


def _name(key: bytes, port: int) -> bytes:
    """A name without a file, which only those know that have the key."""
    return b"\0neuromorph-" + hashlib.sha256(b"%s %d" % (key, port)).hexdigest()[:32].encode()
