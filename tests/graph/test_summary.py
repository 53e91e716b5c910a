"""The table about a model."""

from helpers.texts import text_of
from helpers.witnesses import graph_of
from neuromorph.graph.summary import summary


def test_delays_convolutions_and_elementwise_layers_say_what_they_are() -> None:
    body = "(a, 4, <conv, 3>) (b, 4, <conv, 2, 1024>) {c, a, take, 7} (d, <norm, 0.1>) (e, <gain>) {f, e, additive, 1}"
    rows = {line.split()[0]: line for line in summary(graph_of(text_of(body))).splitlines()[2:9]}
    assert rows["a"].endswith("  conv 3")
    assert "  conv 2, 1,024, dead" in rows["b"]
    assert rows["c"].endswith("  take with a of 7 steps before")
    assert rows["d"].endswith("  norm 0.1")
    assert rows["e"].endswith("  gain 1")
    assert rows["f"].endswith("  additive with e of the step before")
