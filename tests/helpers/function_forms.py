"""The functions as they are written in model texts, with their numbers."""

from neuromorph.functions import LOSSES

PARAMETERS = {
    "relu_leaky": ", -0.3", "relu_parametric": ", 0.4", "elu": ", 0.6", "swish": ", 1.7", "clip": ", 0.3",
    "times": ", -0.7", "plus": ", 0.4", "spike": ", 5",
}  # fmt: skip
LOSS_FORMS = [
    *(f"<{name}>" for name in sorted(LOSSES)),
    "<huber, 0.07>",
    "<quantile, 0.8>",
    "<huber_modified, 0.2>",
    "<huber_modified, 0>",
]
