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
    "lrelu": "relu_leaky", "leakyrelu": "relu_leaky", "relu6": "clip", "clamp": "clip",
    "layer_norm": "norm", "layernorm": "norm", "rmsnorm": "rms_norm", "inverse": "reciprocal", "bias": "shift",
}  # fmt: skip
WEIGHT_SYNONYMS = {
    "glorot": "xavier", "glorot_uniform": "xavier", "glorot_normal": "xavier", "xavier_uniform": "xavier",
    "xavier_normal": "xavier", "he_uniform": "he", "he_normal": "he", "kaiming": "he", "kaiming_uniform": "he",
    "kaiming_normal": "he", "lecun_uniform": "lecun", "lecun_normal": "lecun", "random_uniform": "uniform",
    "random_normal": "normal", "gaussian": "normal", "truncated_normal": "normal", "eye": "identity",
    "orthogonal_initializer": "orthogonal",
}  # fmt: skip
BIAS_SYNONYMS = {
    "zeros": "zero", "ones": "const_flat", "constant": "const_flat", "const": "const_flat",
    "random_normal": "const_uneven", "gaussian": "const_uneven",
}  # fmt: skip
LOSS_SYNONYMS = {
    "mean_squared_error": "mse", "squared_error": "mse", "l2": "mse", "l2_loss": "mse", "mseloss": "mse",
    "mean_absolute_error": "mae", "absolute_error": "mae", "l1": "mae", "l1_loss": "mae", "l1loss": "mae",
    "mean_absolute_percentage_error": "mape", "smooth_l1": "huber", "smooth_l1_loss": "huber",
    "categorical_crossentropy": "cross_entropy", "sparse_categorical_crossentropy": "cross_entropy",
    "categorical_cross_entropy": "cross_entropy", "crossentropy": "cross_entropy", "nll": "cross_entropy",
    "nll_loss": "cross_entropy", "log_loss": "cross_entropy", "softmax_cross_entropy": "cross_entropy",
    "bce": "binary_cross_entropy", "bce_with_logits": "binary_cross_entropy", "bceloss": "binary_cross_entropy",
    "binary_crossentropy": "binary_cross_entropy", "sigmoid_cross_entropy": "binary_cross_entropy",
    "pinball": "quantile", "quantile_loss": "quantile", "logcosh": "log_cosh", "poisson_nll": "poisson",
    "modified_huber": "huber_modified", "squared_hinge": "hinge",
}  # fmt: skip
