"""Checks the data that users pass and converts it to the arrays that kernels take."""
