"""The checked graph: links in time, widths, dead nodes, and the messages of wrong models."""

import pickle
import random
from dataclasses import replace

import pytest

from helpers.mutations import check_outcome
from helpers.texts import WIDE_LSTM
from neuromorph.errors import MDLSemanticError
from neuromorph.functions import ACTIVATIONS, BIAS_INITIALIZERS, ELEMENTWISE, LOSSES, MERGES, WEIGHT_INITIALIZERS
from neuromorph.graph import Graph, Node, build_graph, synonyms, verify
from neuromorph.language import parse

HEAD = "/xavier,zero/\n(input, 4)\n"
TAIL = "(output, 4, <linear>, <mse>)"


BIG = """/xavier,const_uneven 0.1 0.3/
(input, 4)
(a, 4, <sigmoid>)
{c2, g, additive}
(b, 4, <relu>)
[b1,
    (d, 4, <softmax>)
    {standby, stalerecur, additive}
    (e, 4, <softmax>)
|
    (f, 4, <relu>)
    [stale,[stalerecur,]]
    (g, 4, <relu>)
]
(c, 4, <sigmoid>)
{c1, e, additive}
(output, 4, <sigmoid>, <huber_modified, 2.4>)
"""


def graph_of(text: str) -> Graph:
    graph = build_graph(parse(text))
    verify(graph)
    return graph


def body(text: str) -> Graph:
    return graph_of(HEAD + text + TAIL)


def named(graph: Graph, name: str) -> Node:
    return next(node for node in graph.nodes if node.name == name)


def index_of(graph: Graph, name: str) -> int:
    return named(graph, name).index


def names(graph: Graph, indices) -> list[str]:
    return [graph.nodes[index].name for index in indices]


def links(graph: Graph) -> list[tuple[str, str]]:
    return [(graph.nodes[merge].name, graph.nodes[other].name) for merge, other in graph.delayed_links]


# Structure


def test_a_chain() -> None:
    text = "/he,const_flat 0.5/ (x, 3) (a, 5, <tanh>) (b, <relu>) (y, 2, <linear>, <huber, 2>)"
    graph = graph_of(text)
    assert [node.kind for node in graph.nodes] == ["input", "layer", "activation", "layer"]
    assert [node.width for node in graph.nodes] == [3, 5, 5, 2]
    assert [node.source for node in graph.nodes] == [None, 0, 1, 2]
    assert (graph.input, graph.output, graph.loss.name, graph.loss_parameter) == (0, 3, "huber", 2.0)
    drawn = {"a.weight": ("he", ()), "a.bias": ("const_flat", (0.5,)), "y.weight": ("he", ())}
    assert {one.name: (one.drawn[0].name, one.drawn[1]) for one in graph.arrays[:3]} == drawn
    assert names(graph, graph.parameters) == ["a", "y"]
    assert [graph.fan_in(index) for index in graph.parameters] == [3, 5]
    assert (graph.order, graph.delayed_links, graph.has_time_links) == ((0, 1, 2, 3), (), False)
    assert graph.warnings == ()
    assert parse(graph.text) == parse(text)
    with pytest.raises(ValueError, match="the input"):
        graph.fan_in(0)


def test_splits_hand_on_what_came_in() -> None:
    graph = body("(a,5,<tanh>) [s, (b,6,<tanh>) [t, [u,] (c,2,<tanh>) | (d,3,<tanh>)] (e,7,<tanh>) | ]")
    sources = {node.name: node.source for node in graph.nodes if node.source is not None}
    found = {name: graph.nodes[source].name for name, source in sources.items()}
    assert found == {
        "a": "input",
        "s": "a",
        "b": "s",
        "t": "b",
        "u": "t",
        "c": "u",
        "d": "t",
        "e": "t",
        "output": "s",
    }
    assert [node.name for node in graph.nodes] == ["input", "a", "s", "b", "t", "u", "c", "d", "e", "output"]
    assert graph.nodes[graph.resolve(index_of(graph, "u"))].name == "b"
    assert graph.nodes[graph.resolve(index_of(graph, "s"))].name == "a"
    assert graph.resolve(graph.output) == graph.output
    assert named(graph, "u").width == 6
    assert graph.fan_in(index_of(graph, "c")) == 6
    assert names(graph, graph.order) == ["input", "a", "s", "output"]


def test_the_output_may_end_a_nested_branch() -> None:
    graph = graph_of(HEAD + "[s, (a,3,<tanh>) (out,2,<linear>,<mse>) | (b,4,<tanh>)] (c,4,<tanh>)")
    assert names(graph, [graph.output]) == ["out"]
    assert names(graph, graph.order) == ["input", "s", "a", "out"]


def test_defaults_are_filled_in() -> None:
    graph = graph_of("/normal,zero/(i,2)(a,2,<elu>)(b,2,<swish,5.9>)(o,2,<relu_parametric>,<huber_modified>)")
    assert [node.parameter for node in graph.nodes] == [None, 1.0, 5.9, 0.25]
    assert (graph.loss_parameter, graph.arrays[0].drawn[1]) == (1.0, (0.0, 1.0))


def test_a_negative_zero_is_zero() -> None:
    graph = graph_of("/normal 1 -0.0,zero/(i,2)(o,2,<elu,-0>,<mse>)")
    assert str(graph.arrays[0].drawn[1]) == "(1.0, 0.0)"
    assert str(graph.nodes[1].parameter) == "0.0"


# Time


def test_a_link_to_an_earlier_node_is_of_this_step() -> None:
    graph = body("(a,4,<tanh>) (b,4,<tanh>) {m,a,additive}")
    assert (links(graph), named(graph, "m").delayed) == ([], False)


def test_a_link_to_a_later_free_node_is_of_this_step() -> None:
    graph = body("[s, {m,b,additive}(c,4,<tanh>) | (b,4,<tanh>)] {n,c,additive}")
    assert links(graph) == []
    assert names(graph, graph.order) == ["input", "s", "b", "m", "c", "n", "output"]


def test_a_link_to_a_later_dependent_node_is_backward_in_time() -> None:
    graph = body("{m,h,additive} (a,4,<tanh>) [t, [h,]]")
    assert links(graph) == [("m", "h")]
    assert graph.has_time_links


def test_a_self_merge_sums_over_time() -> None:
    graph = body("{acc,acc,additive}")
    assert links(graph) == [("acc", "acc")]


def test_the_output_can_be_fed_back() -> None:
    graph = body("{m,output,additive}")
    assert links(graph) == [("m", "output")]


def test_any_node_may_be_merged_the_input_too() -> None:
    graph = body("(a,4,<tanh>) {m,input,additive} [s,] {n,s,additive}")
    assert links(graph) == []
    assert named(graph, "n").other == index_of(graph, "s")


def test_later_links_are_decided_in_text_order() -> None:
    graph = body("[s, {m,n,additive} | {n,m,additive}] {k,m,additive} {l,n,additive}")
    assert (named(graph, "m").delayed, named(graph, "n").delayed) == (True, False)
    graph = body("[s, {p,q,additive} | {q,r,additive} | {r,p,additive}] {k,r,additive}")
    assert [named(graph, name).delayed for name in "pqr"] == [False, True, False]
    graph = body("[s, {p,r,additive} | {q,r,additive} | (t,4,<tanh>){r,u,additive} | {u,q,additive}] {k,r,additive}")
    assert [named(graph, name).delayed for name in "pqru"] == [False, False, True, False]


def test_links_of_earlier_text_stand_first() -> None:
    graph = body("[s, {m,b,additive} | (a,4,<tanh>) {b,m,additive}] {k,b,additive}")
    assert [named(graph, name).delayed for name in "mb"] == [True, False]


def test_the_textbook_lstm() -> None:
    graph = graph_of(WIDE_LSTM)
    assert links(graph) == [("xh", "recur"), ("kept", "memory")]
    widths = {node.name: node.width for node in graph.nodes}
    assert (widths["xh"], widths["recur"], widths["squashed"], widths["memory"]) == (24, 16, 16, 16)
    assert names(graph, graph.parameters) == ["in_gate", "candidate", "out_gate", "forget_gate", "output"]
    assert graph.fan_in(index_of(graph, "forget_gate")) == 24
    assert graph.warnings == ()
    assert all(node.live for node in graph.nodes)


def test_the_seed_s_big_model() -> None:
    graph = graph_of(BIG)
    assert links(graph) == [("c2", "g")]
    assert graph.order.index(index_of(graph, "stalerecur")) < graph.order.index(index_of(graph, "standby"))
    assert graph.loss_parameter == 2.4


def decide_naively(graph: Graph) -> list[bool]:
    """The rule of links in time, word for word: a search from scratch for every link."""
    reads = [[node.source] if node.source is not None else [] for node in graph.nodes]
    for node in graph.nodes:
        if node.other is not None and node.other < node.index:
            reads[node.index].append(node.other)
    delayed = [node.other == node.index for node in graph.nodes]
    for node in graph.nodes:
        if node.other is None or node.other <= node.index:
            continue
        found, waiting = set(), [node.other]
        while waiting:
            index = waiting.pop()
            if index not in found:
                found.add(index)
                waiting += reads[index]
        delayed[node.index] = node.index in found
        if node.index not in found:
            reads[node.index].append(node.other)
    return delayed


def random_body(rng: random.Random, size: int) -> str:
    made, opened = [], 0
    for index in range(size):
        choice = rng.random()
        if choice < 0.6:
            made.append(f"{{n{index}, n{rng.randrange(size)}, {rng.choice(['additive', 'average'])}}}")
        elif choice < 0.75:
            made.append(f"(n{index}, {rng.randint(3, 5)}, <tanh>)")
        else:
            made.append(f"[n{index}, ")
            opened += 1
        while opened and rng.random() < 0.35:
            closes = rng.random() < 0.5
            made.append("]" if closes else "|")
            opened -= closes
            if not closes:
                break
    return HEAD + "".join(made) + "]" * opened + TAIL


@pytest.mark.parametrize("seed", range(60))
def test_links_in_time_follow_the_rule(seed: int) -> None:
    rng = random.Random(seed)
    graph = graph_of(random_body(rng, rng.choice([4, 12, 40, 90])))
    assert [node.delayed for node in graph.nodes] == decide_naively(graph)


@pytest.mark.parametrize("together", [1, 3, 10])
def test_links_are_decided_alike_however_many_at_a_time(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuromorph.graph.links._TOGETHER", together)
    rng = random.Random(together)
    for _ in range(20):
        graph = graph_of(random_body(rng, 90))
        assert [node.delayed for node in graph.nodes] == decide_naively(graph)


# Widths


def test_a_merge_has_the_width_of_its_branch() -> None:
    graph = body("(a,6,<tanh>) (b,3,<tanh>) {m,a,additive} (c,5,<tanh>) {n,b,average} {k,a,concatenate}")
    assert [named(graph, name).width for name in "mnk"] == [3, 5, 11]
    assert graph.warnings == (
        "line 3, column 28: the widths differ: 'm' has 3, and 'a', which it reads, has 6; "
        "only the first 3 components of 'a' are used",
        "line 3, column 56: the widths differ: 'n' has 5, and 'b', which it reads, has 3; "
        "the components of 'n' beyond that pass through unchanged",
    )


def test_widths_come_through_links_backward_in_time() -> None:
    graph = body("{m,h,concatenate} (a,7,<tanh>) [t, [h,]]")
    assert named(graph, "m").width == 11
    graph = body("[s, {m,p,concatenate} | (a,2,<tanh>) [p,]] {k,m,concatenate}")
    assert (named(graph, "m").width, named(graph, "k").width) == (6, 10)


@pytest.mark.parametrize(
    "text",
    [
        "{m,m,concatenate}",
        "{m,h,concatenate} [t, [h,]]",
        "{m,h,concatenate} (a,<tanh>) {n,input,additive} [t, [h,]]",
        "[dead, {m,m,concatenate}]",
        "[s, {m,p,concatenate} | {p,m,concatenate}]",
    ],
)
def test_a_width_that_depends_on_itself(text: str) -> None:
    with pytest.raises(MDLSemanticError, match="the width of 'm' depends on itself") as caught:
        body(text)
    assert caught.value.column == (HEAD + text).splitlines()[2].index("concatenate") + 1


def test_what_would_mend_a_width_that_depends_on_itself_is_said_and_does() -> None:
    with pytest.raises(MDLSemanticError, match="it would be that of 'a' and more; let a layer, which has a width"):
        body("{m, a, concatenate} (a, <tanh>)")
    assert named(body("{m, a, concatenate} (a, 5, <tanh>)"), "m").width == 9
    circle = (
        "'old' is as wide as 'sum', that as 'kept', that as 'old'; a merge other than take is as wide as what comes in"
    )
    with pytest.raises(MDLSemanticError, match=circle):
        body("{old, sum, take, 1} (kept, <times, 0.5>) {sum, input, additive}")
    assert named(body("[s, {old, sum, take, 1} (kept, <times, 0.5>)] {sum, kept, additive}"), "old").width == 4


@pytest.mark.parametrize("link", ["{m, a9000, additive, 0}", "{m, a9000, take}"])
def test_messages_about_long_cycles_are_short(link: str) -> None:
    with pytest.raises(MDLSemanticError, match="8,98") as caught:
        body(link + "".join(f"(a{k}, <tanh>)" for k in range(9_001)))
    assert len(str(caught.value)) < 1_000


def test_the_dilation_of_a_convolution_counts_only_where_it_reads_several_steps() -> None:
    assert (named(body("(c, 2, <conv, 1, 5000>)"), "c").reach, named(body("(c, 2, <conv, 2, 4096>)"), "c").reach) == (
        0,
        4096,
    )
    for numbers, steps in (("2, 4097", "4,097"), ("4096, 1e300", "more than 1,000,000")):
        with pytest.raises(MDLSemanticError, match=f"'c' would read {steps} steps back: at most 4,096"):
            body(f"(c, 2, <conv, {numbers}>)")


def test_a_sum_of_widths_has_a_limit() -> None:
    half = "(a, 524288, <tanh>) {m, a, concatenate}"
    assert named(body(half), "m").width == 1_048_576
    with pytest.raises(MDLSemanticError, match="the width of 'n' would be 1,048,580: at most 1,048,576"):
        body(half + "{n, input, concatenate}")


def test_widths_that_grow_exponentially_stop_early() -> None:
    chain = "".join(f"{{m{k + 1}, m{k}, concatenate}}" for k in range(9000))
    with pytest.raises(MDLSemanticError, match="the width of 'm18' would be 2,097,152"):
        body("(m0, 8, <tanh>)" + chain)


# Warnings


def test_dead_nodes_are_named() -> None:
    graph = body("[s, (a,4,<tanh>) [t,] | (b,4,<tanh>)] {m,b,additive}")
    assert graph.warnings == ("left out, since the output can't be reached from there: 'a', 't'",)
    assert names(graph, graph.parameters) == ["b", "output"]
    assert [named(graph, name).live for name in "satbm"] == [True, False, False, True, True]


def test_many_dead_nodes_are_one_warning() -> None:
    graph = body("[s, " + "".join(f"(a{k},4,<tanh>)" for k in range(1500)) + "]")
    (warning,) = graph.warnings
    assert warning.endswith("'a18', 'a19' and 1,480 more")


def test_what_reaches_the_output_only_through_time_is_live() -> None:
    graph = graph_of(HEAD + "{m,late,additive} [s, (out,4,<linear>,<mse>)] (late,4,<tanh>)")
    assert (graph.warnings, links(graph)) == ((), [("m", "late")])


def test_links_backward_in_time_of_dead_nodes_are_not_listed() -> None:
    graph = body("[s, {dead, dead, additive}]")
    assert (graph.has_time_links, named(graph, "dead").delayed) == (False, True)


def test_ignored_numbers_are_told() -> None:
    text = "/xavier 1 2,const_flat 3 4/ (i,4) (a,4,<relu,5.9>) (o,4,<sigmoid,1>,<mse,4>)"
    assert graph_of(text).warnings == (
        "line 1, column 9: 'xavier' takes no number: 1 is ignored",
        "line 1, column 11: 'xavier' takes no number: 2 is ignored",
        "line 1, column 26: 'const_flat' takes one number only: 4 is ignored",
        "line 1, column 46: 'relu' takes no number: 5.9 is ignored",
        "line 1, column 66: 'sigmoid' takes no number: 1 is ignored",
        "line 1, column 74: 'mse' takes no number: 4 is ignored",
    )


# Wrong models


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("/zero,xavier/(i,4)(o,4,<tanh>,<mse>)", 2, "'zero' is a bias initialiser, but a weight initialiser"),
        (
            "/he,he/(i,4)(o,4,<tanh>,<mse>)",
            5,
            "'he' is a weight initialiser, but a bias initialiser belongs here",
        ),
        (
            "/xavir,zero/(i,4)(o,4,<tanh>,<mse>)",
            2,
            "unknown weight initialiser 'xavir': did you mean 'xavier'?",
        ),
        (
            "/he,q/(i,4)(o,4,<tanh>,<mse>)",
            5,
            "unknown bias initialiser 'q'; known are chrono, const_flat, const_uneven, spaced, zero",
        ),
        (
            "/identity,zero/(i,4)(a,4,<tanh>)(o,3,<tanh>,<mse>)",
            36,
            "'identity' draws square weights, and that of 'o' has the shape (4, 3): give 'o' the width 4, or draw",
        ),
        (
            "/spectral,zero/(i,4)(o,4,<tanh>,<mse>)",
            2,
            "'spectral' needs a number, its spectral radius, such as spectral 0.5",
        ),
        ("/spectral 1 2,zero/(i,4)(o,4,<tanh>,<mse>)", 13, "'spectral': density must be at most 1, not 2.0"),
        ("/he,chrono/(i,4)(o,4,<tanh>,<mse>)", 5, "'chrono' needs a number, its longest time, such as chrono 2.5"),
        (
            "/he,spaced 1/(i,4)(o,4,<tanh>,<mse>)",
            5,
            "'spaced' needs 2 numbers, its first and last, such as spaced 0.5 1",
        ),
        ("/he,zero/(i,4)(o,4,<clip, 0>,<mse>)", 27, "'clip': bound must be greater than 0, not 0.0"),
        ("/he,zero/(i,4)(o,4,<tanh>,<quantile, 1>)", 38, "'quantile': q must be less than 1, not 1.0"),
        (
            "/uniform 1,zero/(i,4)(o,4,<tanh>,<mse>)",
            2,
            "'uniform' needs 2 numbers or none, its low and high, such as",
        ),
        (
            "/uniform 2 1,zero/(i,4)(o,4,<tanh>,<mse>)",
            10,
            "'uniform': low must be at most high: 2.0 is greater than",
        ),
        (
            "/uniform -1e308 1e308,zero/(i,4)(o,4,<tanh>,<mse>)",
            10,
            "'uniform': low and high are too far apart",
        ),
        (
            "/normal 0 -1,zero/(i,4)(o,4,<tanh>,<mse>)",
            11,
            "'normal': standard deviation must be at least 0, not -1.0",
        ),
        (
            "/he,const_flat/(i,4)(o,4,<tanh>,<mse>)",
            5,
            "'const_flat' needs a number, its value, such as const_flat 0.5",
        ),
        (
            "/he,const_uneven 1/(i,4)(o,4,<tanh>,<mse>)",
            5,
            "'const_uneven' needs 2 numbers, its mean and standard",
        ),
        ("/he,zero/(i,4)(o,4,<tanj>,<mse>)", 21, "unknown activation 'tanj': did you mean 'tanh'?"),
        ("/he,zero/(i,4)(o,4,<restor>,<mse>)", 21, "unknown activation 'restor': did you mean 'restore'?"),
        (
            "/he,zero/(i,4)(o,4,<zzzzzz>,<mse>)",
            21,
            "unknown activation 'zzzzzz'; known are abs, binary_step, clip, cos,",
        ),
        ("/he,zero/(i,4)(o,4,<logistic>,<mse>)", 21, "unknown activation 'logistic': did you mean 'sigmoid'?"),
        ("/he,zero/(i,4)(o,4,<identity>,<mse>)", 21, "unknown activation 'identity': did you mean 'linear'?"),
        ("/he,zero/(i,4){m,i,minus}(o,4,<tanh>,<mse>)", 20, "operation 'minus': did you mean 'subtractive'?"),
        ("/he,zero/(i,4){m,i,Add}(o,4,<tanh>,<mse>)", 20, "operation 'Add': did you mean 'additive'?"),
        ("/he,zero/<d>[(g,3,<gain>)](i,4)(h,<d>)(o,4,<tanh>,<mse>)", 20, "takes no width: write (n, <gain>)"),
        ("/he,zero/<d>[(g,<learned>)](i,4)(h,<d>)(o,4,<tanh>,<mse>)", 18, "needs a width: write (n, width, <learned>)"),
        ("/he,zero/(i,4)(o,4,<tanh>,<mze>)", 28, "unknown loss 'mze': did you mean 'mse'?"),
        ("/he,zero/(i,4)(o,4,<SiLU>,<mse>)", 21, "unknown activation 'SiLU': did you mean 'swish'?"),
        ("/he,zero/(i,4)(o,4,<leaky_relu>,<mse>)", 21, "unknown activation 'leaky_relu': did you mean 'relu_leaky'?"),
        ("/he,zero/(i,4)(o,4,<tanh>,<bce>)", 28, "unknown loss 'bce': did you mean 'binary_cross_entropy'?"),
        ("/he,zero/(i,4)(o,4,<tanh>,<mean_squared_error>)", 28, "did you mean 'mse'?"),
        ("/glorot_uniform,zero/(i,4)(o,4,<tanh>,<mse>)", 2, "initialiser 'glorot_uniform': did you mean 'xavier'?"),
        ("/kaiming_normal,zero/(i,4)(o,4,<tanh>,<mse>)", 2, "initialiser 'kaiming_normal': did you mean 'he'?"),
        ("/he,zeros/(i,4)(o,4,<tanh>,<mse>)", 5, "unknown bias initialiser 'zeros': did you mean 'zero'?"),
        ("/he,zero/(i,4)(o,4,<mse>)", 21, "'mse' is a loss, but an activation belongs here"),
        ("/he,zero/(i,4)(a,<mse>)(o,4,<tanh>,<mse>)", 19, "'mse' is a loss, but an activation belongs here"),
        ("/he,zero/(i,4)(o,4,<tanh>,<relu>)", 28, "'relu' is an activation, but a loss belongs here"),
        ("/he,zero/(i,4)(o,4,<elu,-1>,<mse>)", 25, "'elu': alpha must be at least 0, not -1.0"),
        ("/he,zero/(i,4)(o,4,<tanh>,<huber,0>)", 34, "'huber': delta must be greater than 0, not 0.0"),
        ("/he,zero/(i,4){m,i,add}(o,4,<tanh>,<mse>)", 20, "unknown merge operation 'add'"),
        (
            "/he,zero/(i,4){m,i,aditive}(o,4,<tanh>,<mse>)",
            20,
            "operation 'aditive': did you mean 'additive'?",
        ),
        ("/he,zero/(i,4){m,inpt,additive}(input,4,<tanh>)(o,4,<tanh>,<mse>)", 18, "did you mean 'input'?"),
        (
            "/he,zero/(i,4){m,qqqqq,additive}(o,4,<tanh>,<mse>)",
            18,
            "'m' merges with 'qqqqq', which is no node of this",
        ),
        (
            "/he,zero/(i,4)(a,4,<tanh>)[a,](o,4,<tanh>,<mse>)",
            28,
            "the name 'a' is taken: it first stands in line 1, col",
        ),
        ("/he,zero/(i,4,<tanh>)(o,4,<tanh>,<mse>)", 11, "the model has no input: 'i' stands first"),
        (
            "/he,zero/{i,o,additive}(o,4,<tanh>,<mse>)",
            11,
            "no input: 'i' stands first, where a layer with just a name",
        ),
        ("/he,zero/[i,(j,4)](o,4,<tanh>,<mse>)", 11, "the model has no input: 'i' stands first"),
        ("/he,zero/(i,<tanh>)(o,4,<tanh>,<mse>)", 11, "the model has no input: 'i' stands first"),
        ("/he,zero/(o,4,<tanh>,<mse>)", 11, "the model has no input: 'o' stands first"),
        (
            "/he,zero/(i,4)(j,4)(o,4,<tanh>,<mse>)",
            16,
            "'j' has no activation and would be a second input; the input is",
        ),
        (
            "/he,zero/(i,4)(o,4,<tanh>)",
            16,
            "the model has no output: one layer needs an activation and a loss",
        ),
        ("/he,zero/(i,4)", 11, "the model has no output"),
        (
            "/he,zero/(i,4)(o,4,<tanh>,<mse>)(p,4,<tanh>,<mse>)",
            34,
            "'p' is a second output; the first, 'o', stands in",
        ),
        (
            "/he,zero/(i,4)(o,4,<tanh>,<mse>)(p,4,<tanh>)",
            16,
            "the output 'o' must end its branch: nothing follows it",
        ),
        ("/he,zero/(i,4)[s,(o,4,<tanh>,<mse>)[t,]]", 19, "the output 'o' must end its branch"),
        ("/he,zero/(i,0)(o,4,<tanh>,<mse>)", 13, "1,048,576"),
        ("/he,zero/(i,4)(o,1048577,<tanh>,<mse>)", 18, "1,048,576"),
    ],
)
def test_wrong_models(text: str, column: int, reason: str) -> None:
    with pytest.raises(MDLSemanticError) as caught:
        build_graph(parse(text, "wrong.mdl"))
    assert reason in caught.value.reason
    assert (caught.value.line, caught.value.column, caught.value.filename) == (1, column, "wrong.mdl")


# Bounds


LARGEST = 3.0  # seconds of processor time


def in_time(text: str) -> Graph:
    """The graph of a text as large as there may be, and an error that is found last.

    Both take at most half a second where a core is free; the limit leaves room for slower processors and for load.
    """
    made: list[Graph] = []
    assert check_outcome(text, lambda text: made.append(graph_of(text)), LARGEST) is None
    wrong = text.replace(TAIL, f"[wide, (v, 3, <tanh>)] (w, 4, <tanh>) {{wrong, v, dot}} {TAIL}")
    error = check_outcome(wrong, graph_of, LARGEST)
    assert error is not None
    assert "'dot' needs a second vector of width 4" in error.reason
    return made[-1]


def test_thousands_of_links_forward() -> None:
    chain = "|".join(f"{{m{k},m{k + 1},additive}}" for k in range(9900))
    graph = in_time(f"{HEAD}[s,{chain}|{{m9900,input,additive}}]{{k,m0,additive}}{TAIL}")
    assert graph.delayed_links == ()
    assert graph.order[2:-2] == tuple(range(9902, 1, -1))


def test_thousands_of_links_backward() -> None:
    chain = "".join(f"{{m{k},m{k + 4990},additive}}" for k in range(4990))
    graph = in_time(f"{HEAD}{chain}{''.join(f'[m{k},]' for k in range(4990, 9980))}{TAIL}")
    assert len(graph.delayed_links) == 4990
    assert graph.resolve(graph.nodes[graph.output].source) == 4990


@pytest.mark.parametrize("first", [True, False], ids=["of the first", "of one each"])
def test_thousands_of_links_that_are_used_again(first: bool) -> None:
    """When a link of a chain is decided, thousands of nodes depend on its beginning. All are asked about later."""
    chain, used = 5_000, 2_450
    nodes = [f"{{m{k},m{k + 1},additive}}" for k in range(chain)]
    nodes += [f"{{q{k},r{k},additive}}" for k in range(used)]
    nodes += [f"{{m{chain},input,additive}}"]
    nodes += [f"{{r{k},m{0 if first else k},additive}}" for k in range(used)]
    graph = in_time(f"{HEAD}[s,{'|'.join(nodes)}]{TAIL}")
    assert not any(node.delayed for node in graph.nodes)


def test_thousands_of_links_at_random() -> None:
    draw = random.Random(1)
    nodes = [f"{{m{k},m{draw.randrange(9_900)},additive}}" for k in range(9_900)]
    branches = ["".join(nodes[k : k + 3]) for k in range(0, len(nodes), 3)]
    graph = in_time(f"{HEAD}[s,{'|'.join(branches)}]{TAIL}")
    assert 500 < sum(node.delayed for node in graph.nodes) < 5_000


# Invariants


def test_graphs_pickle() -> None:
    graph = graph_of(WIDE_LSTM)
    assert graph.order
    copy = pickle.loads(pickle.dumps(graph))
    assert (copy, copy.order) == (graph, graph.order)


@pytest.mark.parametrize(
    ("name", "change", "rule"),
    [
        ("cell", {"index": 3}, "its index is its position"),
        ("cell", {"source": None}, "all but the input and what takes another vector have a source"),
        ("cell", {"source": 15}, "its source stands before it"),
        ("cell", {"width": 15}, "its width follows"),
        ("cell", {"other": None}, "merges alone merge"),
        ("cell", {"live": False}, "what a live node reads is live"),
        ("cell", {"steps": -1}, "it reads no step to come"),
        ("input", {"steps": 1}, "merges alone read back in time"),
        ("kept", {"taps": 2}, "layers alone are convolutions"),
        ("kept", {"steps": 0}, "depend on one another within a step"),
        ("squashed", {"function": None}, "have an activation"),
        ("squashed", {"parameter": 1.0}, "a number goes with"),
        ("squashed", {"name": "kept"}, "names are unique"),
        ("output", {"live": False}, "the output is a live layer"),
        ("output", {"width": 0}, "its width is in range"),
        ("input", {"kind": "layer"}, "only the input is of that kind"),
    ],
)
def test_verify_finds_what_is_broken(name: str, change: dict, rule: str) -> None:
    graph = graph_of(WIDE_LSTM)
    broken = tuple(replace(node, **change) if node.name == name else node for node in graph.nodes)
    with pytest.raises(AssertionError, match=rule):
        verify(replace(graph, nodes=broken))


def test_synonyms_are_no_words_of_the_language_and_mean_some() -> None:
    assert not synonyms.MERGE_SYNONYMS.keys() & MERGES.keys()
    assert not synonyms.ACTIVATION_SYNONYMS.keys() & (ACTIVATIONS.keys() | ELEMENTWISE.keys())
    assert set(synonyms.MERGE_SYNONYMS.values()) <= MERGES.keys()
    for words, records in (
        (synonyms.WEIGHT_SYNONYMS, WEIGHT_INITIALIZERS), (synonyms.BIAS_SYNONYMS, BIAS_INITIALIZERS),
        (synonyms.LOSS_SYNONYMS, LOSSES),
    ):  # fmt: skip
        assert not words.keys() & records.keys()
        assert set(words.values()) <= records.keys()
    assert set(synonyms.ACTIVATION_SYNONYMS.values()) <= ACTIVATIONS.keys() | ELEMENTWISE.keys()
