"""Writes trained models for other places: C."""

from .c_export import to_c

__all__ = ["to_c"]
