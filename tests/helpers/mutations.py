"""Makes wrong texts and files of right ones, and says what such a text may get."""

from __future__ import annotations

import random
import re
import struct

from neuromorph.errors import MDLError
from neuromorph.language import parse

VALID = """\
/uniform -0.5 0.5,const_uneven 0.1 2e-1/ # header
<leak, rate 0.1, k>[
\t{change, state, subtractive, 1} (part, width, <times, rate>, /normal 0 rate,/)
\t[s, (x, k, <f, k, -2>)|] {state, state, additive, k}
]
(input, 4)
{c2, g, additive}
[b1,
\t(d, 4, <softmax>) {standby, stalerecur, additive}
|
\t[stale,[stalerecur,]] (g, 12, <relu_parametric, -.5>)
|]
(e, <swish, 1.5>) (h, 8, <leak, .5, 2>, /,zero/)
(output, 4, <sigmoid>, <huber_modified, 2.4>)
"""

PIECES = [
    *"/()[]{}<>,|#\r\n\t +-.eE_0129",
    "\r\n",
    "\x00",
    "é",
    "\ud800",
    "\u2028",
    "\ufeff",
    "1e999",
    "9" * 5000,
    "n" * 300,
    "[s," * 101,
    "(a,4)",
    "/a,b/",
    "<d, k 2>[",
    ", k",
    "/he,/",
    "__import__('os')",
    '"""',
]


def mutated_text(text: str, draw: random.Random) -> str:
    """A text with one to four changes."""
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(text) + 1)
        end = min(len(text), start + draw.choice([0, 0, 1, 1, 2, 10]))
        text = text[:start] + draw.choice(["", draw.choice(PIECES), text[end:], text[:20]]) + text[end:]
    return text


def check_outcome(text: str) -> MDLError | None:
    """Whatever the text, a model or an MDLError whose place is in the text; anything else fails the test."""
    error = None
    try:
        parse(text)
    except MDLError as caught:
        error = caught
    if error is not None:
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1
        assert str(error).endswith("^")
        assert str(error).encode("utf-8")
    return error


VALUES = [
    b"0", b"1", b"-1", b"9999999999", b"1e308", b"NaN", b"null", b"true", b'"x"', b"[]", b"{}", b"[", b"}", b"1.5",
    b"F64", b"F16", b"9" * 5000, b"\\u0000", b"\xff", b"2147483648", b"1000000",
]  # fmt: skip
FAULTS = ("truncated: ", "corrupt: ", "foreign: ", "a newer version: ", "too large for this machine: ")


def mutated_file(raw: bytes, rng: random.Random) -> bytes:
    """A file with a few changes, most of them in its header; the header's length is often put right again."""
    out, header = bytearray(raw), 8 + int.from_bytes(raw[:8], "little")
    behind = len(raw) - header
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        place = min(rng.randrange(header if rng.random() < 0.95 else len(raw)), max(len(out) - 1, 0))
        kind = rng.randrange(7)
        numbers = [m.span() for m in re.finditer(rb"\d+", bytes(out[8 : len(out) - behind]))] if kind == 5 else []
        if kind == 0:
            out[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del out[place : place + rng.choice([1, 1, 2, 5, 50])]
        elif kind == 2:
            out[place:place] = rng.choice(VALUES)
        elif kind == 3 and rng.random() < 0.3:
            del out[place:]
        elif kind == 4:
            out += bytes(rng.randrange(1, 20))
        elif numbers:
            first, last = rng.choice(numbers)
            out[8 + first : 8 + last] = rng.choice(VALUES)
        else:
            out[place:place] = out[rng.randrange(header) :][: rng.randrange(60)]
        if rng.random() < 0.6 and len(out) > behind + 8:
            out[:8] = struct.pack("<Q", len(out) - behind - 8)
    return bytes(out)
