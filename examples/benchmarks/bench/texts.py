"""The texts that are tried. $inputs, $outputs, $steps, $width and $output stand for what a task fills in, $bound for
1 / sqrt(width)."""

from __future__ import annotations

from bench import CELLS


def cell(name: str) -> str:
    """The definitions of a published cell of examples/cells, without its example of a model."""
    lines = (CELLS / f"{name}.mdl").read_text(encoding="utf-8").split("(input,")[0].splitlines()
    return "\n".join(line for line in lines if not line.startswith("#")).strip()


TEXTS = {
    "lstm": "/orthogonal,zero/ (input, $inputs) (h, $width, <lstm>) $output",
    "gru": "/orthogonal,zero/ (input, $inputs) (h, $width, <gru>) $output",
    # Weights as PyTorch draws them: uniform within the root of 1 / width.
    "uniform_lstm": "/uniform -$bound $bound,zero/ (input, $inputs) (h, $width, <lstm>) $output",
    "uniform_gru": "/uniform -$bound $bound,zero/ (input, $inputs) (h, $width, <gru>) $output",
    "uniform_gru_before": "/uniform -$bound $bound,zero/ (input, $inputs) (h, $width, <gru_before>) $output",
    # Gates that see the input alone, over two steps and two layers.
    "min_gru": """
/xavier,zero/
(input, $inputs)
(a, $width, <conv, 4>) (one, $width, <min_gru>) (b, $width, <gelu>) (two, $width, <min_gru>)
$output
""",
    # A convolution over five steps, and another one that reaches further, before the recurrent layer.
    "conv_gru": """
/he,zero/
(input, $inputs)
(a, $width, <conv, 5>) (s, <relu>) (b, $width, <conv, 3, 2>) (t, <relu>)
(h, $width, <gru>, /orthogonal,zero/)
$output
""",
    # For images of 8 by 8 pixels, one pixel a step: a convolution over three pixels of a row, and one over three rows.
    "grid_gru": """
/he,zero/
(input, $inputs)
(a, $width, <conv, 3>) (s, <relu>) (b, $width, <conv, 3, 8>) (t, <relu>)
(h, $width, <gru>, /orthogonal,zero/)
$output
""",
    # Convolutions with dilations 1, 4 and 16 see the last 64 steps; a recurrent layer reads them beside the input.
    "far_gru": """
/xavier,zero/
(input, $inputs)
[x,]
(a, $width, <conv, 4>) (s, <relu>) (b, $width, <conv, 4, 4>) (t, <relu>) (c, $width, <conv, 4, 16>) (u, <relu>)
{seen, x, concatenate}
(h, $width, <gru>, /orthogonal,zero/)
$output
""",
    # Convolutions with dilations 1, 4 and 16, and nothing else.
    "dilated": """
/he,zero/
(input, $inputs)
(a, $width, <conv, 4>) (s, <relu>) (b, $width, <conv, 4, 4>) (t, <relu>) (c, $width, <conv, 4, 16>) (u, <relu>)
$output
""",
    # Two convolutions, whose values are added up over time.
    "pooled": """
/he,zero/
(input, $inputs)
(a, $width, <conv, 5>) (s, <relu>) (b, $width, <conv, 5, 2>) (t, <relu>)
(scaled, <times, 0.02>) {total, total, additive}
$output
""",
    # The same of convolutions that see the last 64 steps.
    "pooled_dilated": """
/he,zero/
(input, $inputs)
(a, $width, <conv, 4>) (s, <relu>) (b, $width, <conv, 4, 4>) (t, <relu>) (c, $width, <conv, 4, 16>) (u, <relu>)
(scaled, <times, 0.02>) {total, total, additive}
$output
""",
    "lem": cell("lem") + " (input, $inputs) (h, $width, <lem, 1>) $output",
    "janet": cell("janet") + " (input, $inputs) (h, $width, <janet>) $output",
}
