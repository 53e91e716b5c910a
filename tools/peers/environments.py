"""The peers by name, and where each is installed."""

from __future__ import annotations

import importlib.util
import subprocess
from dataclasses import dataclass
from pathlib import Path

JAX_0431 = "0.4.31"
FOLDER = Path(__file__).resolve().parents[2] / ".venv-bench-jax0431"  # where its interpreter is looked for
PEERS = ("jax", "jax0431", "torch")

_VERSION = "from importlib.metadata import version; import jaxlib; print(version('jax'))"


@dataclass(frozen=True)
class Present:
    """Where a peer is: ``python``, the interpreter that has it, None for this one, or why it is ``missing``."""

    python: str | None = None
    missing: str | None = None


def present(peer: str, jax0431: Path | None = None) -> Present:
    """Where a peer is. jax0431: the interpreter that has JAX 0.4.31, None for that of its usual folder."""
    if peer == "jax0431":
        return _jax_0431(jax0431 or FOLDER / "bin" / "python")
    if importlib.util.find_spec(peer) is None:
        return Present(missing="pip install '.[bench]' brings it")
    return Present()


def _jax_0431(python: Path) -> Present:
    if not python.is_file():
        folder = FOLDER.name
        return Present(missing=f"no interpreter in {folder}, and none told by --jax0431; --help says how to make it")
    asked = subprocess.run([python, "-c", _VERSION], capture_output=True, text=True, check=False)
    found = asked.stdout.strip()
    if asked.returncode or found != JAX_0431:
        return Present(missing=f"{python} has {f'JAX {found}' if found else 'no JAX'}, not {JAX_0431}")
    return Present(str(python))
