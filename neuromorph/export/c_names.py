"""Names in C: of the file, and of the nodes of a text, which is not trusted."""

from __future__ import annotations

import re

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LONGEST = 48  # characters of a name; every compiler tells longer ones apart, but people do not


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words of C11, C++20 and common compilers that can't be names, and macros of usual headers in small letters.
RESERVED = _words(
    """
    alignas alignof and and_eq arm asm assert auto bitand bitor bool break case catch char char16_t char32_t char8_t
    class co_await co_return co_yield compl complex concept const const_cast consteval constexpr constinit continue
    decltype default delete do double dynamic_cast else enum errno explicit export extern false far float for friend
    goto huge i386 if imaginary import inline int interface linux long main mips module mutable namespace near new
    noexcept not not_eq nullptr operator or or_eq pascal private protected public register reinterpret_cast requires
    restrict return short signed sizeof small sparc static static_assert static_cast stderr stdin stdout struct sun
    switch template this thread_local throw true try typedef typeid typename typeof union unix unsigned using vax
    virtual void volatile wchar_t while xor xor_eq
    """
)
# Headers of the C library: a file of this name would be found in their place.
_HEADERS = _words(
    """
    assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic
    stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype
    """
)


# Other names that usual headers give to types, and to macros that are no functions.
_OF_HEADERS = re.compile(
    r"""
    \w+_t | fd_mask | u_char | u_int | u_long | u_short | uint | ulong | ushort | va_list | math_errhandling | tm
    | lconv | FILE | NULL | EOF | I | NAN | INFINITY | HUGE_VAL[FL]? | MAXFLOAT | DOMAIN | SING | OVERFLOW | UNDERFLOW
    | PLOSS | TLOSS | (?:FP|M|MATH|FLT|DBL|LDBL)_\w+ | (?:BIG|BYTE|LITTLE|PDP)_(?:ENDIAN|ORDER) | EXIT_\w+
    | SEEK_\w+ | BUFSIZ | (?:U?INT\w*|SIZE|PTRDIFF|WCHAR|WINT|RAND|TMP|SIG_ATOMIC|[SU]?CHAR|U?SHRT|U?L?LONG)_(?:MAX|MIN)
    """,
    re.VERBOSE,
)


def why_no_name(name: str) -> str | None:
    """Why a C file, and the functions in it, can't have this name; None if they can."""
    if not _IDENTIFIER.fullmatch(name):
        return "it is no C identifier, which begins with a letter and has letters, digits and _ only"
    if "__" in name or len(name) > 63:
        return "a C identifier has no __ and at most 63 characters here"
    if name in RESERVED:
        return "C or C++ has this word for itself"
    if _OF_HEADERS.fullmatch(name):
        return "headers of the C library may have this name"
    return "the C library has a header of this name" if name.casefold() in _HEADERS else None


class Names:
    """Gives each node a name in C of its own."""

    def __init__(self, *taken: str) -> None:
        self._taken = set(taken)

    def new(self, name: str, *endings: str) -> str:
        """A name like that of a node. Neither it nor the name with one of the endings has been given before.

        >>> names = Names()
        >>> names.new("h.gate"), names.new("h-gate"), names.new("int"), names.new("NAN")
        ('h_gate', 'h_gate_2', 'int_', 'NAN_')
        """
        base = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", name)).strip("_")[:_LONGEST].rstrip("_")
        if not base or not base[0].isalpha():
            base = f"n_{base}"
        if base in RESERVED or base.isupper():  # macros have large letters
            base += "_"
        found, number = base, 1
        while {found, *(found + ending for ending in endings)} & self._taken:
            number += 1
            found = f"{base.rstrip('_')}_{number}"
        self._taken |= {found, *(found + ending for ending in endings)}
        return found


def comment_of(text: str) -> str:
    """A text that can stand inside a comment of C: printable ASCII, without what would end or continue a comment."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\\", "/").split("\n")
    shown = ("".join(c if " " <= c <= "~" else "?" for c in line) for line in lines)
    return "\n".join(re.sub(r"\*(?=/)|/(?=\*)|\?(?=\?)", r"\g<0> ", line) for line in shown)
