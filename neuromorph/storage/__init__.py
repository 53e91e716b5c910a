"""Saves models to files, and loads them."""

from .files import from_bytes, load, save, to_bytes

__all__ = ["from_bytes", "load", "save", "to_bytes"]
