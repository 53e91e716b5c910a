"""Words that other libraries and papers have for functions of the language: what an error about one suggests."""

MERGE_SYNONYMS = {
    "add": "additive", "plus": "additive", "sum": "additive", "minus": "subtractive", "sub": "subtractive",
    "subtract": "subtractive", "difference": "subtractive", "times": "multiplicative", "mul": "multiplicative",
    "product": "multiplicative", "hadamard": "multiplicative", "div": "divisive", "divide": "divisive",
    "quotient": "divisive", "max": "maximum", "min": "minimum", "cat": "concatenate", "join": "concatenate",
    "stack": "concatenate", "mean": "average", "inner": "dot", "copy": "take", "read": "take",
}  # fmt: skip
ACTIVATION_SYNONYMS = {
    "logistic": "sigmoid", "identity": "linear", "lin": "linear", "none": "linear", "silu": "swish",
    "leaky_relu": "relu_leaky", "heaviside": "binary_step", "step": "binary_step",
    "threshold": "binary_step", "scale": "times", "stop_gradient": "detach",
    "layer_norm": "norm", "rmsnorm": "rms_norm", "inverse": "reciprocal", "bias": "shift",
}  # fmt: skip
