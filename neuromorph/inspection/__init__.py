"""What a model's compiled kernel is: its plan, its source and assembly, and where its time goes."""

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
