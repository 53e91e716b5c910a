"""What a model's compiled kernel is: its plan, its source and assembly, and where its time goes."""

from ..simd.peak import fma_peak
from .assembly import Line, Routine
from .build import inspect
from .report import BufferReport, GroupReport, Inspection, LoopReport, NodeReport, PieceReport

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
