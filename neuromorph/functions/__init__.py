"""All functions that a model text can name, by name. A new function is one record in one of these tables."""

from . import activations, elementwise, initializers, losses, merges
from .elementwise import RESTORE, ElementwiseLayer
from .records import (
    VOCABULARY,
    Activation,
    Initializer,
    LogitForm,
    Loss,
    Merge,
    Parameter,
    Targets,
)

ACTIVATIONS = {record.name: record for record in activations.RECORDS}
ELEMENTWISE = {record.name: record for record in elementwise.RECORDS}
LOSSES = {record.name: record for record in losses.RECORDS}
MERGES = {record.name: record for record in merges.RECORDS}
WEIGHT_INITIALIZERS = {record.name: record for record in initializers.WEIGHT_RECORDS}
BIAS_INITIALIZERS = {record.name: record for record in initializers.BIAS_RECORDS}

__all__ = [
    "ACTIVATIONS",
    "BIAS_INITIALIZERS",
    "ELEMENTWISE",
    "LOSSES",
    "MERGES",
    "RESTORE",
    "VOCABULARY",
    "WEIGHT_INITIALIZERS",
    "Activation",
    "ElementwiseLayer",
    "Initializer",
    "LogitForm",
    "Loss",
    "Merge",
    "Parameter",
    "Targets",
]
