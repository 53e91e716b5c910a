"""Writes trained models for other places: C, and ONNX."""

from .c_export import to_c
from .onnx_file import to_onnx

__all__ = ["to_c", "to_onnx"]
