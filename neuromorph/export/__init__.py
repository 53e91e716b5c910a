"""Writes built models as files of other kinds, for programs without Python."""

from .onnx_file import to_onnx

__all__ = ["to_onnx"]
