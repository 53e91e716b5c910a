"""Trains on three hosts: network namespaces of this machine, whose packets come late, and are lost now and then.

    python tools/three_hosts.py                        # 1 ms one way, 1 % of the packets lost
    python tools/three_hosts.py --delay 10 --loss 5    # as between two sites
    python tools/three_hosts.py --delay 0 --loss 0

It needs Linux and root, or the right to make namespaces (``unshare -rn``), and the command ``ip``. Delay and loss are
those of ``tc netem`` where the kernel has it; else a process hands packets on between the hosts (``--relay`` forces
that). The scheduler and the client are on the first host, with a worker on each, all with TLS. One worker is killed in
the second epoch. Prints the time of an update, what one process takes, and whether both give the same.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

HOSTS = ("10.77.0.1", "10.77.0.2", "10.77.0.3")
_TUNSETIFF, _TAP_WITHOUT_HEAD = 0x400454CA, 0x1002
ROOT = Path(__file__).resolve().parent.parent


def ip(*words: str, check: bool = True) -> bool:
    """Call ``ip``; whether it worked."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if check and done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.returncode == 0


def is_possible() -> bool:
    """Whether this machine lets us make hosts."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return False
    try:
        made = ip("netns", "add", "nm-test", check=False)
        return made
    except OSError:
        return False
    finally:
        if os.path.exists("/var/run/netns/nm-test"):
            ip("netns", "del", "nm-test")


class Hosts:
    """Three namespaces with a network between them: cables to a bridge, or taps whose packets a process hands on."""

    def __init__(self, delay: float, loss: float, relays: bool) -> None:
        self.names, self.relay = [f"nm-host{number}" for number in range(len(HOSTS))], 0
        self.close()
        for name in self.names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        self.how = "relay" if relays or not self._cabled(delay, loss) else "netem" if delay or loss else "a bridge"
        if self.how == "relay":
            self._relayed(delay, loss)
        for number, name in enumerate(self.names):
            ip("-n", name, "addr", "add", f"{HOSTS[number]}/24", "dev", f"nmd{number}")
            ip("-n", name, "link", "set", f"nmd{number}", "up")

    def _cabled(self, delay: float, loss: float) -> bool:
        """Connect the hosts by a bridge, and have the kernel delay and lose packets; whether it can."""
        ip("link", "add", "nmbridge", "type", "bridge")
        ip("link", "set", "nmbridge", "up")
        for number, name in enumerate(self.names):
            ip("link", "add", f"nmv{number}", "type", "veth", "peer", "name", f"nmd{number}", "netns", name)
            ip("link", "set", f"nmv{number}", "master", "nmbridge", "up")
            words = ["tc", "qdisc", "add", "dev", f"nmv{number}", "root", "netem", "delay", f"{delay}ms"]
            if (delay or loss) and subprocess.run([*words, "loss", f"{loss}%"], capture_output=True).returncode:
                self._cut()
                return False
        return True

    def _relayed(self, delay: float, loss: float) -> None:
        """Have a process of ours hand packets on."""
        taps = []
        for number, name in enumerate(self.names):
            taps.append(os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK))
            fcntl.ioctl(taps[-1], _TUNSETIFF, struct.pack("16sH22x", f"nmd{number}".encode(), _TAP_WITHOUT_HEAD))
            ip("link", "set", f"nmd{number}", "netns", name)
        self.relay = os.fork()
        if self.relay == 0:
            try:
                ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: die with the parent
                hand_on(taps, delay, loss)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        for tap in taps:
            os.close(tap)

    def start(self, number: int, *words: str, **options: object) -> subprocess.Popen[str]:
        """A process on a host."""
        command = ["ip", "netns", "exec", self.names[number], *words]
        return subprocess.Popen(command, text=True, **options)  # type: ignore[call-overload,no-any-return]

    def close(self) -> None:
        """Take all down."""
        if self.relay:
            os.kill(self.relay, 9)
            os.waitpid(self.relay, 0)
        for name in self.names:
            ip("netns", "del", name, check=False)
        self._cut()

    def _cut(self) -> None:
        """Take the cables away."""
        ip("link", "del", "nmbridge", check=False)
        for number in range(len(HOSTS)):
            ip("link", "del", f"nmv{number}", check=False)


def hand_on(taps: list[int], delay: float, loss: float) -> None:
    """Hand packets on between the hosts, later, and without those that are lost. It never returns."""
    waiting: list[tuple[float, int, int, bytes]] = []
    count, owners = 0, dict[bytes, int]()
    while True:
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, to, packet = heapq.heappop(waiting)
            with suppress(OSError):  # the host is gone
                os.write(to, packet)
        left = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
        for here in select.select(taps, [], [], left)[0]:
            packet = os.read(here, 65_536)
            owners[packet[6:12]] = here  # where its sender is
            if random.random() < loss / 100.0:
                continue
            known = owners.get(packet[:6])
            for to in [tap for tap in taps if tap != here] if known is None else [known]:
                count += 1
                heapq.heappush(waiting, (time.monotonic() + delay / 1000.0, count, to, packet))


# What runs on the hosts -----------------------------------------------------------------------------------------------

MAIN = """
import asyncio, sys
from distributed import Scheduler, Security, Worker
from neuromorph import distributed

async def main(kind, host, address, folder):
    cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
    ends = {f"tls_{end}_cert": cert for end in ("scheduler", "worker")}
    ends |= {f"tls_{end}_key": key for end in ("scheduler", "worker")}
    options = {"security": Security(tls_ca_file=cert, require_encryption=True, **ends), "host": host}
    options |= {"dashboard_address": ":0"}
    server = Scheduler(port=8786, **options) if kind == "scheduler" else Worker(
        address, nthreads=1, local_directory=f"{folder}/{host}", **options)
    async with server:
        print(server.address, flush=True)
        await server.finished()

asyncio.run(main(*sys.argv[1:]))
"""

CLIENT = """
import os, sys, time, numpy as np, neuromorph as nm
from distributed import Client, Security
from neuromorph import distributed

folder, victim, windows, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
security = Security(tls_ca_file=cert, tls_client_cert=cert, tls_client_key=key, require_encryption=True)
rng = np.random.default_rng(0)
x = rng.normal(size=(12 * windows, 8, 4))
y = np.tanh(x[..., :2].cumsum(axis=1))
text = f"/xavier,zero/ (x, 4) (h, {width}, <gru>) (y, 2, <linear>, <mse>)"

def made():
    model = nm.compile(text, 12, 0.01, optimizer=nm.Adam(), dtype="float64", threads=1, tier="instant")
    return nm.build(model, seed=1)

class Killing(nm.Callback):
    def after_epoch(self, run):
        if run.epoch == 0:
            print("host 3 is killed after epoch 1", flush=True)
            os.kill(victim, 9)

if __name__ == "__main__":
    alone, model = made(), made()
    started = time.perf_counter()
    alone.fit(x, y, epochs=3, layout="NSW", progress=False)
    print(f"one process: {1e3 * (time.perf_counter() - started) / 3 / windows:.2f} ms an update")
    with Client("tls://10.77.0.1:8786", security=security, timeout=60) as client:
        client.wait_for_workers(3)
        history = distributed.fit(client, model, x, y, epochs=3, layout="NSW", progress=False, callbacks=Killing())
        print([round(1e3 * seconds / windows, 2) for seconds in history.seconds], "ms an update, by epoch")
        print(history.cluster)
        apart = max(abs(value - model.get_parameters()[name]).max() for name, value in alone.get_parameters().items())
        print(f"parameters differ from those of one process by {apart:.1e}")
        often = made()
        history = distributed.fit(client, often, x, y, epochs=2, layout="NSW", progress=False, sync_every=16)
        print([round(1e3 * seconds / windows, 2) for seconds in history.seconds], "ms an update with sync_every=16")
    sys.exit(0 if apart < 1e-10 else 1)
"""


def certificates(folder: Path) -> None:
    """A self-signed certificate, which is its own authority."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=hosts", "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip


def run(hosts: Hosts, folder: Path, windows: int, width: int) -> int:
    """Start a cluster on the hosts and train on it; the exit status of the client."""
    certificates(folder)
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = []
    try:
        for number, kind in ((0, "scheduler"), (0, "worker"), (1, "worker"), (2, "worker")):
            words = [sys.executable, "-c", MAIN, kind, HOSTS[number], f"tls://{HOSTS[0]}:8786", str(folder)]
            process = hosts.start(number, *words, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            processes.append(process)
            assert process.stdout is not None
            if not process.stdout.readline():
                raise OSError(f"the {kind} on {HOSTS[number]} has ended")
        given = [str(folder), str(processes[-1].pid), str(windows), str(width)]
        return hosts.start(0, sys.executable, "-c", CLIENT, *given, env=variables).wait()
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--delay", type=float, default=1.0, help="milliseconds one way")
    parser.add_argument("--loss", type=float, default=1.0, help="percent of the packets")
    parser.add_argument("--windows", type=int, default=100)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--relay", action="store_true", help="do not use netem")
    given = parser.parse_args()
    if not is_possible():
        print("this machine does not let us make network namespaces", file=sys.stderr)
        return 77
    hosts = Hosts(given.delay, given.loss, given.relay)
    try:
        print(f"three hosts, {given.delay:g} ms one way, {given.loss:g} % lost, by {hosts.how}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            return run(hosts, Path(folder), given.windows, given.width)
    finally:
        hosts.close()


if __name__ == "__main__":
    sys.exit(main())
