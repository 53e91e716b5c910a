"""The functions of mathematics that exported C has of its own. They compute what ``neuromorph.simd.math`` computes."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

# What --no-libm computes itself, and other files take from the C library. exp and tanh are always computed here: the
# compiler makes vector instructions of them.
LIBRARY = frozenset({"log", "sin", "cos", "sqrt"})
_TWO_FORMS = frozenset({"softplus", "normal_cdf"})  # functions with a second form, which calls the library
_PART = re.compile(r"^/\*@ (\S+)(?: needs ([^*]*))? \*/\n", re.MULTILINE)


@cache
def _parts(dtype: str) -> dict[str, tuple[tuple[str, ...], str]]:
    """The parts by name: the parts that each needs, and its text. Each stands after those that it needs."""
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    for name in ("wide", {"float32": "float", "float64": "double"}[dtype]):
        text = files(__package__).joinpath(f"{name}.c").read_text(encoding="ascii")
        _, *pieces = _PART.split(text)
        for part, needs, body in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
            found[part] = tuple((needs or "").split()), body.strip()
    return found


def functions_of(used: set[str], dtype: str, prefix: str, libm: bool) -> tuple[list[str], bool]:
    """The definitions of functions and of what they need, and whether they call the C library.

    prefix: the beginning of their names in place of ``net``.
    """
    parts, chosen, waiting = _parts(dtype), set[str](), [*(used - {"libm"})]
    while waiting:
        name = waiting.pop()
        name += ".libm" * (libm and name in _TWO_FORMS)
        if name not in chosen:
            chosen.add(name)
            waiting += parts[name][0]
    texts = [body for name, (_, body) in parts.items() if name in chosen]
    named = [re.sub(r"\bnet_", f"{prefix}_", re.sub(r"\bNET_", f"{prefix.upper()}_", text)) for text in texts]
    return [line for text in named for line in [*text.split("\n"), ""]], any(name.endswith(".libm") for name in chosen)
