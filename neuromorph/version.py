"""The version of the package, which is a part of the key of every compiled kernel."""

__version__ = "0.2.0"
