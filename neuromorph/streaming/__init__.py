"""Runs a model one time step a call: a stream keeps the state, a learner learns on line as well."""

from .learner import Learner, learner
from .stream import Stream, stream

__all__ = ["Learner", "Stream", "learner", "stream"]
