"""Makes wrong texts and files of right ones, and says what such a text may get."""

from __future__ import annotations

import random
import re
import struct
import time
from collections.abc import Callable

from neuromorph.errors import MDLError
from neuromorph.language import parse

# Short texts, which are read quickly; together they have all that a text may have.
VALID = (
    """\
/uniform -0.5 0.5,const_uneven 0.1 2e-1/ # header
<leak, rate 0.1, k>[
\t{change, state, subtractive, 1} (part, width, <times, rate>, /normal 0 rate,/)
\t[s, (x, k, <conv, k, 2>)|] {state, state, additive, k}
]
(input, 4)
(h, 8, <leak, .5, 2>, /,zero/) (k, <gru>) {l, k.reset, minimum} (m, 8, <lif, .8>, /orthogonal 2,spaced -1 1/)
(output, 4, <restore>, <quantile, .4>)
""",
    """\
/he,zero/
<leak, rate>[(part, <times, rate>) {state, state, average, 1}]
<spare, p>[
\t(one, p, <leak, p>) {two, one, concatenate, p} (three, width, <elu, p>, /,const_flat p/)
]
(input, 4) (e, <swish, 1.5>)
(o, 4, <mish>, /identity .9,chrono 5/) (last, 4, <tanh>, /spectral .9 .5,/) # square
(output, 2, <softmax>, <cross_entropy>)
""",
    """\
/uniform -0.5 0.5,const_uneven 0.1 2e-1/
(input, 4)
{c2, g, additive}
[b1,
\t(d, 4, <softmax>) {standby, stalerecur, multiplicative}
|
\t[stale,[stalerecur,]] (g, 12, <relu_parametric, -.5>)
|]
(h, 8, <conv, 3>)
(output, 4, <sigmoid>, <huber_modified, 2.4>)
""",
    """\
/xavier,zero/
(input, 4)
[b2, (n, 1, <sigmoid>) | (v, 4, <learned, .4>) (w, <gain, 2>) (y, <shift>) | (far, 4, <conv, 2, 3>) (z, <norm, 1e-3>)]
(f, <prelu>, /uniform 0 1,/) (q, <standardize>) (r, <dropout, .2>) (p, <rms_norm>) (spike, <spike, 5>)
[b3, {t, v, dot, 0} (u, <clip, .5>)] {a, n, scale} {b, u, scale, 2} {c, far, maximum, 3} {i, y, divisive}
{j, z, take, 5}
(output, 4, <linear>, <mse>)
""",
)

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


SLOWEST = 1.0  # seconds of processor time until a text is refused or read
_WORDS = re.compile(r"#[^\r\n]*|([A-Za-z_][\w.-]*|[+-]?[.\d]+(?:e[+-]?\d+)?|[/()\[\]{}<>,|])")


def words_of(text: str) -> list[tuple[int, int]]:
    """The beginning and the end of every word of a text: a name, a number or a bracket; no comments."""
    return [found.span() for found in _WORDS.finditer(text) if found[1]]


def place_in(text: str, offset: int) -> tuple[int, int]:
    """The line and the column of a character of a text whose lines end with ``\\n``."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def with_other_words(text: str, draw: random.Random) -> str:
    """A text in which one to three names, numbers or brackets are replaced by others of the text."""
    places = words_of(text)
    kinds: dict[str, list[str]] = {"name": [], "number": [], "bracket": []}
    for start, end in places:
        kinds[_kind_of(text[start])].append(text[start:end])
    for start, end in sorted(draw.sample(places, draw.randint(1, 3)), reverse=True):
        text = text[:start] + draw.choice(kinds[_kind_of(text[start])]) + text[end:]
    return text


def _kind_of(first: str) -> str:
    """The kind of a word that begins with a character."""
    if first.isalpha() or first == "_":
        return "name"
    return "number" if first in "+-.0123456789" else "bracket"


def refusal(text: str, read: Callable[[str], object] = parse) -> MDLError | None:
    """The error of a text, or None; whatever else is raised fails the test."""
    try:
        read(text)
    except MDLError as error:
        return error
    return None


def check_outcome(text: str, read: Callable[[str], object] = parse, slowest: float = SLOWEST) -> MDLError | None:
    """Whatever the text, within a second it is read, or it gets an MDLError whose place is in it; else the test fails.

    A text that takes longer is tried once more, since the machine may have been busy.
    """
    seconds, error = _timed(text, read)
    if seconds > slowest:
        seconds, error = _timed(text, read)
        assert seconds <= slowest, f"{seconds:.1f} s until an outcome of {text[:500]!r}"
    if error is not None:
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1
        assert str(error).endswith("^")
        assert str(error).encode("utf-8")
    return error


def _timed(text: str, read: Callable[[str], object]) -> tuple[float, MDLError | None]:
    begun = time.process_time()
    error = refusal(text, read)
    return time.process_time() - begun, error


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


def changed_bytes(raw: bytes, rng: random.Random) -> bytes:
    """Bytes of which some, a quarter of the changes among the first hundred, are others, gone or doubled."""
    out = bytearray(raw)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(max(1, min(len(out), 100) if rng.random() < 0.25 else len(out)))
        kind, count = rng.randrange(4), rng.choice([1, 1, 4, 30])
        if kind == 0:
            out[place : place + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            del out[place : place + count]
        elif kind == 2:
            out[place:place] = out[place : place + count]
        else:
            out[place : place + count] = rng.choice([b"\0", b"\xff"]) * count
    return bytes(out)
