"""Saves models to files, and loads them."""

from .files import load, save

__all__ = ["load", "save"]
