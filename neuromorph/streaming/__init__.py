"""Runs a model one time step a call: a stream keeps the state, a learner learns on line as well."""

from .compiled_step import CompiledStep
from .learner import Learner, learner
from .stream import Stream, stream

__all__ = ["CompiledStep", "Learner", "Stream", "learner", "stream"]
