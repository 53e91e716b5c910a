"""Runs the whole test suite on several Pythons and systems, one after the other, and prints one line for each.

    python tools/platforms.py python3.12 ~/.pyenv/versions/3.13.0/bin/python /srv/forky
    python tools/platforms.py /srv/arm64 -- tests/jit tests/simd -k "not slow"

A place is a Python, or the folder of another system, which is entered by chroot and has its own Python; that needs
root. ``debootstrap forky /srv/forky`` makes such a folder with Debian's newest Python, and with qemu-user-static
installed, ``debootstrap --arch=arm64 trixie /srv/arm64`` makes one for 64-bit Arm. Both need the packages python3-venv
and, for the tests of exported C, gcc.

Each place gets a copy of the checkout and a virtual environment with the extra ``test``: below out/platforms, or in the
other system's /opt/neuromorph. Both are kept, so that the next run starts sooner. What follows ``--`` goes to pytest.
Each run writes all it prints to a log. The exit code is 1 if a test fails anywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MOUNTED = (("proc", "proc"), ("devpts", "dev/pts"), ("tmpfs", "dev/shm"))  # what tests need of another system
INSIDE = "opt/neuromorph"  # the folder of a place in another system
PYTHON = "bin/python"  # of a virtual environment
WHAT = """
import json, platform, sys
from importlib.metadata import version
names = ("numba", "llvmlite", "numpy")
print(json.dumps([platform.python_version(), platform.machine(), {name: version(name) for name in names}]))
"""
COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed)\b")


@dataclass(frozen=True)
class Place:
    """Where the tests run. given: what the user wrote. root: the folder of another system, or None for this one."""

    given: str
    folder: Path
    root: Path | None

    def inside(self, *names: str) -> str:
        """The path of something in the place's folder, as programs of its system see it."""
        path = self.folder.joinpath(*names)
        return str(path if self.root is None else Path("/") / path.relative_to(self.root))

    def command(self, command: Sequence[str], settings: Sequence[str] = ()) -> list[str]:
        """A command, run in the copy of the checkout. settings: variables of the environment, such as "A=1"."""
        enter = [] if self.root is None else ["chroot", str(self.root)]
        return [*enter, "env", "-C", self.inside("checkout"), *settings, *command]


@dataclass(frozen=True)
class Outcome:
    """How a run ended. what: the versions. counts: of tests, by how they ended."""

    what: str
    counts: dict[str, int]
    seconds: float
    status: int

    def line(self) -> str:
        """One line for people."""
        counted = ", ".join(f"{number:,} {how}" for how, number in self.counts.items()) or "no tests ran"
        return f"{self.what}: {counted}, {self.seconds:,.0f} s{'' if self.status == 0 else ' - FAILED'}"


def place_of(given: str, folder: Path) -> Place:
    """The place that an argument means."""
    path = Path(given).expanduser()
    if path.is_dir():
        return Place(given, path.resolve() / INSIDE, path.resolve())
    found = shutil.which(str(path))
    if found is None:
        raise SystemExit(f"{given}: neither a Python nor the folder of another system")
    return Place(found, folder / name_of(found), None)


def name_of(given: str) -> str:
    """A name for files about a place."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", given).strip("-")


def copied(target: Path) -> None:
    """Copy the files of the checkout that Git knows or does not ignore."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    shutil.rmtree(target, ignore_errors=True)
    for name in filter(None, names.split("\0")):
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)


@contextmanager
def mounted(root: Path) -> Iterator[None]:
    """A block with the file systems of the kernel in another system, as far as they are not there already."""
    with ExitStack() as stack:
        for kind, name in MOUNTED:
            target = root / name
            if not os.path.ismount(target):
                target.mkdir(exist_ok=True)
                subprocess.run(["mount", "-t", kind, kind, str(target)], check=True)
                stack.callback(subprocess.run, ["umount", str(target)], check=False)
        yield


def run(place: Place, pytest: Sequence[str], workers: str, log: Path) -> Outcome:
    """Prepare a place and run the tests there."""
    copied(place.folder / "checkout")
    python = place.inside("venv", PYTHON)
    with log.open("w", encoding="utf-8") as out:

        def done(command: Sequence[str], *settings: str) -> int:
            return subprocess.call(place.command(command, settings), stdout=out, stderr=subprocess.STDOUT)

        base = place.given if place.root is None else "python3"
        if done([python, "-c", "import pip"]) != 0 and done([base, "-m", "venv", place.inside("venv")]) != 0:
            raise SystemExit(f"{place.given}: no virtual environment could be made; see {log}")
        extras = ".[test]" if pytest else ".[test,lint,docs,release]"  # without the last three, some tests are skipped
        if done([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", extras]) != 0:
            raise SystemExit(f"{place.given}: pip could not install the package; see {log}")
        compiled = done([python, "-W", "error", "-m", "compileall", "-q", "neuromorph", "tools", "tests", "examples"])
        what = subprocess.check_output(place.command([python, "-c", WHAT]), text=True)
        begin = time.monotonic()
        kernels = f"NEUROMORPH_TEST_CACHE={place.inside('kernels')}"
        tested = done([python, "-m", "pytest", "-vv", "-n", workers, *pytest], kernels, "LC_ALL=C.UTF-8")
        seconds = time.monotonic() - begin
    return Outcome(_versions(what), counts_in(log.read_text(encoding="utf-8")), seconds, compiled or tested)


def _versions(found: str) -> str:
    python, machine, packages = json.loads(found)
    return ", ".join([f"Python {python} on {machine}", *(f"{name} {version}" for name, version in packages.items())])


def counts_in(log: str) -> dict[str, int]:
    """The numbers in the last line of pytest that has some, such as "3 failed, 20 passed in 5.02s"."""
    last = next((line for line in reversed(log.splitlines()) if " in " in line and COUNT.search(line)), "")
    return {how: int(number) for number, how in COUNT.findall(last)}


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments say."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="+", metavar="PLACE", help="a Python, or the folder of another system")
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "out" / "platforms", help="for copies and logs")
    parser.add_argument("--workers", default="auto", help="processes that run tests at the same time")
    options = parser.parse_args(arguments[:end])
    options.folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was mounted is unmounted then
    failed = False
    for place in [place_of(given, options.folder.resolve()) for given in options.places]:
        log = options.folder / f"{name_of(place.given)}.log"
        with mounted(place.root) if place.root else ExitStack():
            outcome = run(place, arguments[end + 1 :], options.workers, log)
        failed |= outcome.status != 0
        print(outcome.line(), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
