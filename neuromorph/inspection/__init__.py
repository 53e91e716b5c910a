"""Reports on a compiled kernel: its plan, its source and assembly, and how long each part takes."""

from ..simd.peak import fma_peak
from .assembly import Line, Routine
from .build import inspect
from .records import BufferReport, GroupReport, LoopReport, NodeReport, PieceReport
from .report import Inspection

__all__ = [
    "BufferReport",
    "GroupReport",
    "Inspection",
    "Line",
    "LoopReport",
    "NodeReport",
    "PieceReport",
    "Routine",
    "fma_peak",
    "inspect",
]
