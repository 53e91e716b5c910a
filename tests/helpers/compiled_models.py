"""The models that are compiled for the tests of kernels' results, and for those of their machine code."""

from helpers.function_forms import PARAMETERS
from helpers.texts import GRU, HEADER, LSTM, STRUCTURES, text_of
from neuromorph.functions import ACTIVATIONS, MERGES


def zoo(widths: tuple[int, ...], loss: str) -> str:
    """A model with every activation, with given and with default numbers, and every merge, of equal and unequal
    widths."""
    functions = [f"<{name}{PARAMETERS.get(name, '')}>" for name in sorted(ACTIVATIONS)]
    members = [f"(a{n}, {widths[n % len(widths)]}, {function})" for n, function in enumerate(functions)]
    operations = [name for name in sorted(MERGES) if MERGES[name].result == "x" and name not in ("divisive", "scale")]
    merges = [f"{{m{n}, a{n}, {operations[n % len(operations)]}}}" for n in range(len(members))]
    merges.append(f"{{quotient, a{functions.index('<sigmoid>')}, divisive}} (squashed, <tanh>)")  # no divisor is 0
    return f"{HEADER} (input, 5) [all, {' | '.join(members)}] (b, {widths[0]}, <tanh>) {''.join(merges)} {loss}"


COMPILED = {
    "zoo of float64 in 256 bits": (zoo((5,), "(out, 3, <softmax>, <cross_entropy>)"), "float64", 4, 16, 8),
    "zoo of float32 in 512 bits": (zoo((7, 19), "(out, 18, <softmax>, <cross_entropy>)"), "float32", 16, 32, 3),
    "lstm of float64 in 128 bits": (LSTM, "float64", 2, 16, 17),
    "gru of float32 in 256 bits": (GRU, "float32", 8, 16, 1),
    "concatenations of float64 in 512 bits": (
        text_of(STRUCTURES["late, read outside"] + "{k, m, concatenate} (f, <sigmoid>) {l, f, concatenate}"),
        "float64", 8, 32, 3,
    ),
    "loops of float32 in 128 bits": (
        text_of(STRUCTURES["two loops side by side"] + "{q, q, average} {r, r, subtractive} {u, q, multiplicative}"),
        "float32", 4, 16, 5,
    ),
}  # fmt: skip
