"""The machine: one compiled kernel for each element type and vector width, which runs any plan at once.

``encode`` writes a plan as a program, an array of whole numbers; the file that ``source_of`` writes is an interpreter
of programs. It gives what a generated kernel gives, without a compiler, and takes somewhat longer.
"""

from .check import ProgramError, Sizes, check
from .encode import encode, space_of
from .listing import Listing, listing, note
from .places import Shares, shares_of
from .program import Program
from .source import functions, source_of
from .templates import NotInMachineError, can_map

__all__ = [
    "Listing",
    "NotInMachineError",
    "Program",
    "ProgramError",
    "Shares",
    "Sizes",
    "can_map",
    "check",
    "encode",
    "functions",
    "listing",
    "note",
    "shares_of",
    "source_of",
    "space_of",
]
