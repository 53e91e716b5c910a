"""Cells in the checked graph: the same as their plain text, with widths found there and places of errors."""

import random
import warnings

import numpy as np
import pytest

import neuromorph as nm
from helpers.mutations import check_outcome
from neuromorph.graph import build_graph, interpreter
from neuromorph.language import parse

LEAK = """\
/xavier,zero/
<leak, slope 0.1>[
    {seen, state, concatenate}
    (fresh, width, <tanh>)
    {change, state, subtractive}
    (part, <relu_leaky, slope>)
    {state, state, additive}
]
<two, slope>[(one, width, <leak>) (other, <leak, slope>)]
"""
MODEL = """\
(input, 3)
(slow, 6, <two, 0.5>)
{mixed, slow.one.fresh, additive}
(quick, <leak>)
(output, 2, <linear>, <mse>)
"""
PLAIN = """\
/xavier,zero/
(input, 3)
{slow.one.seen, slow.one, concatenate}
(slow.one.fresh, 6, <tanh>)
{slow.one.change, slow.one, subtractive}
(slow.one.part, <relu_leaky, 0.1>)
{slow.one, slow.one, additive}
{slow.other.seen, slow, concatenate}
(slow.other.fresh, 6, <tanh>)
{slow.other.change, slow, subtractive}
(slow.other.part, <relu_leaky, 0.5>)
{slow, slow, additive}
{mixed, slow.one.fresh, additive}
{quick.seen, quick, concatenate}
(quick.fresh, 6, <tanh>)
{quick.change, quick, subtractive}
(quick.part, <relu_leaky, 0.1>)
{quick, quick, additive}
(output, 2, <linear>, <mse>)
"""


def nodes_of(text):
    """What the graph says of each node, places aside."""
    return [
        (node.name, node.kind, node.width, node.source, node.other, node.steps, node.function, node.parameter)
        for node in build_graph(parse(text)).nodes
    ]


def test_cells_are_their_plain_text():
    assert nodes_of(LEAK + MODEL) == nodes_of(PLAIN)


def test_the_plain_text():
    assert nm.expand(LEAK + MODEL) == PLAIN
    assert nm.expand(PLAIN) == PLAIN
    assert nm.compile(PLAIN, 1, 0.1).text == PLAIN


def test_the_plain_text_of_a_file(tmp_path):
    path = tmp_path / "net.mdl"
    path.write_text(LEAK + MODEL)
    assert nm.expand(path) == PLAIN
    path.write_text(LEAK + MODEL.replace("<leak>", "<leek>"))
    with pytest.raises(nm.MDLSemanticError, match="did you mean 'leak'") as caught:
        nm.expand(path)
    assert (caught.value.filename, caught.value.line) == (str(path), 13)


def test_a_plain_text_that_would_be_too_long_is_refused():
    name = "n" * 120
    cell = f"<d>[{''.join(f'({name}{one}, <tanh>)' for one in range(99))} (x, <tanh>)]"
    uses = "".join(f"({name}{one}, <d>)" for one in range(90))
    with pytest.raises(
        nm.MDLSemanticError, match=r"the plain text would have [12],[0-9,]+ bytes: a text has at most 1 MiB"
    ):
        nm.expand(f"/he,zero/{cell}(input, 1){uses}(output, 1, <linear>, <mse>)")


def test_the_canonical_text_keeps_definitions_and_uses():
    text = build_graph(parse(LEAK + MODEL)).text
    assert text.startswith(LEAK.partition("<two")[0])
    assert text.endswith(MODEL)


def test_a_model_with_cells_trains_as_its_plain_text():
    rng = np.random.default_rng(1)
    inputs, expected = rng.normal(size=(12, 4, 3)), rng.normal(size=(12, 4, 2))
    found = []
    for text in (LEAK + MODEL, PLAIN):
        nm.seed(3)
        model = nm.build(nm.compile(text, 4, 0.1, dtype="float64"))
        found.append([nm.train(model, inputs, expected, 0) for _ in range(5)])
    assert found[0] == found[1]
    assert found[0][-1] < found[0][0]


def test_the_interpreter_takes_cells():
    graph = build_graph(parse(LEAK + MODEL))
    nm.seed(2)
    parameters = nm.build(nm.compile(LEAK + MODEL, 4, 0.1, dtype="float64")).get_parameters()
    inputs = np.random.default_rng(1).normal(size=(5, 4, 3))
    assert interpreter.predict(graph, parameters, inputs).shape == (5, 4, 2)


def test_a_cell_without_a_width_is_as_wide_as_what_comes_in():
    """Also where that is known only from what stands further down."""
    cell = "<d>[(n, <tanh>) {w, n, concatenate} (x, width, <tanh>)]"
    text = f"/xavier,zero/{cell}(input, 3)[s, {{both, other, concatenate}} (h, <d>)] (other, 4, <tanh>)"
    graph = build_graph(parse(f"{text}(output, 2, <linear>, <mse>)"))
    assert {node.name: node.width for node in graph.nodes if node.name.startswith("h")} == {"h.n": 7, "h.w": 14, "h": 7}


def test_a_warning_of_a_node_in_a_cell_names_the_use():
    text = "/he,zero/<d>[(x, 2, <tanh>) {y, x, additive} (z, 2, <tanh, 3>)](input, 3)\n(h, 2, <d>)"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nm.compile(f"{text}(output, 2, <linear>, <mse>)".replace("(x, 2", "[s, (x, 3").replace(" {y", "] {y"), 1, 0.1)
    assert ["'h' is the last node of a use of the cell 'd' in line 2, column 2" in str(one.message) for one in caught]


WRONG = [
    # definitions, nodes, line, column, what the reason says
    ("<d>[(x, width, <tahn>)]", "(h, 3, <d>)", 2, 17, "did you mean 'tanh'?; 'h' is the last node of a use of"),
    ("<d>[(x, width, <tahn>)]", "", 2, 17, "unknown activation 'tahn': did you mean 'tanh'?"),
    ("<d, a -1>[(x, <elu, a>)]", "", 2, 21, "'elu': alpha must be at least 0, not -1.0"),
    ("<d, a>[(x, <elu, a>)]", "(h, <d, -1>)", 2, 18, "'elu': alpha must be at least 0, not -1.0; 'h' is the last"),
    ("<d, a>[(x, 4, <conv, a>) (y, 4, <tanhh>)]", "", 2, 34, "unknown activation 'tanhh': did you mean 'tanh'?"),
    ("<d, a>[(x, 4, <conv, a>, /unifrom 0 a,zero/)]", "", 2, 27, "unknown weight initialiser 'unifrom'"),
    ("<d, a>[(x, 4, <conv, a>)]", "(h, 4, <d, 0.5>)", 2, 22, "not 0.5; 'h' is the last node"),
    ("<d, a>[(x, 4, <tanh>, /normal 0 a,zero/)]", "(h, 4, <d, -1>)", 2, 33, "'h' is the last node"),
    ("<d>[(x, <tanh>) {y, y, additive, 0}]", "(h, <d>)", 2, 34, "write 1 or more to read an earlier step; 'h' is"),
    ("<d>[(x, <tanh>) {y, x, addtive}]", "", 2, 24, "unknown merge operation 'addtive': did you mean 'additive'?"),
    ("<deep>[(x, <tanh>)]", "(h, <dep>)", 3, 6, "unknown activation 'dep': did you mean 'deep'?"),
    ("", "(h, 4, <lsmt>)", 3, 9, "unknown activation 'lsmt': did you mean 'lstm'?"),
    ("<d>[(n, <tanh>) (x, width, <tanh>)]", "(h, <d>) (h.n, <tanh>)", 3, 11, "'h.n' is taken: it first"),
    ("<d>[(n, <tanh>) (x, width, <tanh>)]", "(h.n, <tanh>) (h, <d>)", 2, 6, "'h.n' is a node of 'h', a use of the"),
    ("<d>[(n, <tanh>) (x, <tanh>)]", "(h, <d>) (h, <d>)", 3, 11, "'h' is taken: it first stands in line 3, column"),
    ("<d>[(n, <tanh>) (x, <tanh>)]", "(h, <relu>) (h, <d>)", 3, 14, "'h' is taken: it first stands in line 3, column"),
    ("<d>[(n, <tanh>) (x, <tanh>)]", "(h, <d>) (h, <relu>)", 3, 11, "'h' is taken: it first stands in line 3, column"),
    ("<d>[(u, <rnn>) (x, <tanh>)]", "(h, <lstm>) (h, <d>)", 3, 14, "'h' is taken: it first stands in line 3, column"),
    ("<d>[(n, <tanh>)]", "(h, <d>) {m, h.x, additive}", 3, 14, "'m' merges with 'h.x', which is no node of this model"),
    ("<d>[(n, 4, <tanh>)]", "(h, 5, <d>)", 3, 2, "the cell 'd' makes 'h' 4 wide, but the use says 5; its last"),
    ("<d>[(n, 4, <tanh>)]", "(h, <d>)", 3, 2, "makes 'h' 4 wide, but what comes in, which counts where"),
    ("<d>[(n, 4, <tanh>)]<e>[(i, 5, <d>)(x, width, <tanh>)]", "(h, 2, <e>)", 2, 25, "makes 'h.i' 4 wide, but the"),
    ("<d>[{w, w, concatenate}]", "(h, <d>)", 2, 12, "the width of 'h' depends on itself: it would be that"),
    ("<d>[(n, 600000, <tanh>){w, n, concatenate}]", "(h, <d>)", 2, 31, "the width of 'h' would be 1,200,000"),
    ("<d>[(n, <tanh>)]", "(h, <d>, /foo,zero/)", 3, 11, "unknown weight initialiser 'foo'"),
    ("<d>[(n, <tanh>)]", "(h, <d>, /he,chrono 1/)", 3, 21, "'chrono': longest time must be greater than 2"),
    ("<d>[(n, 3, <tanh>, /he,zero/)]", "(h, <d>, /zero,he/)", 3, 11, "first weights, then biases, such as /xavier"),
    ("<d>[(n, <tanh>)]<e>[(p, <d>, /,zer/)]", "", 2, 32, "unknown bias initialiser 'zer': did you mean 'zero'?"),
    ("<d>[(n, <tanh>)]<e>[(p, <d>, /,zer/)]", "(h, <e>)", 2, 32, "'zero'?; 'h' is the last node of a use of the"),
    ("", "(h, 4, <gru>) {m, h.state, take}", 3, 19, "the last node of a cell has the name of the use, 'h'"),
    ("<d>[(g, <rnn>) {m, g.state, take}]", "", 2, 20, "the last node of a cell has the name of the use, 'g'"),
    ("<d>[(g, <rnn>)]", "(h, <d>) {m, h.g.state, take}", 3, 14, "'h.g.state', which is no node of this model"),
    ("<d>[(n, <conv, 2>)]", "(h, <d>)", 2, 10, "needs a width, such as (n, width, <conv, 3>); 'h' is the last"),
    ("<d>[(n, wdith, <tanh>)]", "", 2, 9, "has no parameter 'wdith': did you mean 'width'?"),
    ("<d>[(n, tanh)]", "", 2, 9, "'width'; a function stands in angle brackets, such as <tanh>"),
]  # fmt: skip


@pytest.mark.parametrize(("definitions", "nodes", "line", "column", "fragment"), WRONG)
def test_errors_show_the_place_in_the_definition_and_name_the_use(definitions, nodes, line, column, fragment):
    with pytest.raises(nm.MDLSemanticError) as caught:
        build_graph(parse(f"/xavier,zero/\n{definitions} (input, 3)\n{nodes}\n(output, 1, <linear>, <mse>)"))
    assert (caught.value.line, caught.value.column) == (line, column)
    assert fragment in caught.value.reason


APART = "let a layer of its own read the state alone, as in {{old, {}, take, 1}} (recalled, 4, <linear>)"
SQUARE = [
    # nodes, what the reason says, what a text that does as it says has in their place
    ("(h, 4, <rnn>, /identity,/)", APART.format("h"), "{o, h, take, 1}(h, 4, <linear>, /identity,/)"),
    ("(h, 4, <lstm>, /spectral 1,/)", APART.format("h"), "(h, 4, <lstm>, /xavier,/)"),
    ("{s, h, concatenate}(h, 4, <tanh>, /identity,/)", APART.format("h"), "{s, h, take}(h, 4, <tanh>, /identity,/)"),
    ("(h, 4, <min_gru>, /identity,/)", "give 'h' the width 3, or draw other", "(h, 3, <min_gru>, /identity,/)"),
    ("(h, 4, <own>, /identity,/)", "give 'h.n' the width 3, or draw other", "(h, 4, <own>, /xavier,/)"),
    ("{s, h, concatenate, 1}(h, 4, <conv, 3>, /identity,/)", APART.format("h"), "(h, 9, <conv, 3>, /identity,/)"),
    ("(h, 4, <conv, 3>, /identity,/)", "give 'h' the width 9, or draw other", "(h, 9, <conv, 3>, /identity,/)"),
    (
        "(h, 4, <two>, /identity,/)",
        "no width makes it square; draw other weights there, such as /xavier,/",
        "(h, 4, <two>, /xavier,/)",
    ),
    ("(a, 1000000, <tanh>)(h, 4, <conv, 2>, /identity,/)", "(2000000, 4): draw other", "(h, 4, <conv, 2>, /he,/)"),
]
OWN = """/xavier,zero/
<own>[(n, 5, <tanh>) (x, width, <tanh>)]
<two>[[s, (n, width, <tanh>, /he,/)] {both, n, concatenate} (x, width, <tanh>)]
(input, 3)"""


@pytest.mark.parametrize(("nodes", "fragment", "mended"), SQUARE)
def test_what_is_said_of_weights_that_are_not_square_can_be_done(nodes, fragment, mended):
    ends = "(output, 1, <linear>, <mse>)"
    with pytest.raises(nm.MDLSemanticError) as caught:
        build_graph(parse(f"{OWN} {nodes} {ends}"))
    assert fragment in caught.value.reason
    assert build_graph(parse(f"{OWN} {mended} {ends}"))


def test_surplus_numbers_of_initialisers_of_a_layers_own_are_ignored_with_a_warning():
    text = "/he,zero/<d>[(x, width, <tanh>, /he 3,const_flat 1 2/)](input, 3)(h, <d>)(output, 1, <linear>, <mse>)"
    found = [(one.column, one.message) for one in build_graph(parse(text)).diagnostics]
    use = "'h' is the last node of a use of the cell 'd' in line 1, column 67"
    assert found == [
        (37, f"'he' takes no number: 3 is ignored; {use}"),
        (52, f"'const_flat' takes one number only: 2 is ignored; {use}"),
    ]


def test_one_place_gets_one_warning_however_many_nodes_come_from_it():
    nodes = "(input, 3)(h, 4, <lstm>, /he 3,/)(a, <d>)(b, <d>)(output, 1, <linear>, <mse>)"
    found = build_graph(parse(f"/he,zero/<d>[(x, <tanh, 3>)]{nodes}")).diagnostics
    assert [one.message for one in found] == [
        "'he' takes no number: 3 is ignored",
        "'tanh' takes no number: 3 is ignored; 'a' is the last node of a use of the cell 'd' in line 1, column 63",
    ]


def test_numbers_that_a_definition_nobody_uses_leaves_open_are_not_checked():
    nodes = (
        "(a, p, <elu, p>, /normal 0 p,const_flat p/) (c, 3, <conv, p, 2>) (n, <norm, p>) (g, <gain>, /uniform 0 p,/)"
    )
    own = "(r, p, <conv, 2, p>) (s, 3, <conv, 9, p>, /uniform p 1,spaced p 2/) (u, 3, <elu, p, -1>, /he p,zero p/)"
    cell = f"<d, p>[{nodes} {own} (v, 3, <learned, p>) {{m, a, average, p}}]"
    used = "<e, q>[(f, q, <d, q>, /spectral q 0.5,/) (g, <lstm, q>, /orthogonal q,chrono q/) (w, width, <leaky, q>)]"
    text = f"/xavier,zero/{cell}{used}"
    graph = build_graph(parse(f"{text}(input, 3) (output, 1, <linear>, <mse>)"))
    assert [node.name for node in graph.nodes] == ["input", "output"]
    assert graph.diagnostics == ()


AMBIGUOUS = (
    "the name 'a.b.c' is taken: it first stands in line 2, column 6; names are unique in a cell; 'a.b.c' is a node of "
    "'a.b', a use of the cell 'e' in line 2, column 71"
)
SPARE = [
    # definitions that nobody uses, the column of the error in the second line, what the reason says
    ("<d, p>[(x, <clip, -1, p>)]", 19, "'clip': bound must be greater than 0, not -1.0"),
    ("<d, p>[(x, 3, <conv, 0, p>)]", 22, "'conv': the number of steps must be at least 1"),
    ("<d, p>[(x, 3, <conv, p, 1.5>)]", 25, "'conv': the dilation must be a whole number, not 1.5"),
    ("<d, p>[(x, 3, <tanh>, /normal p -1,zero/)]", 33, "'normal': standard deviation must be at least 0"),
    ("<d, p>[(x, 3, <tanh>, /spectral p 2,/)]", 35, "'spectral': density must be at most 1, not 2.0"),
    ("<d, p>[(x, 3, <tanh>, /uniform p,/)]", 24, "'uniform' needs 2 numbers or none, its low and high"),
    ("<d, p>[(x, 3, <tanh>, /,spaced p/)]", 25, "'spaced' needs 2 numbers"),
    ("<d, p>[(x, <tahn, p>)]", 13, "unknown activation 'tahn': did you mean 'tanh'?"),
    ("<d, p>[(x, 3, <tanh>, /xavir p,/)]", 24, "unknown weight initialiser 'xavir'"),
    ("<d, p>[{x, x, addditive, p}]", 15, "unknown merge operation 'addditive'"),
    ("<d, p>[(x, <clip, p>)] <e>[(y, <d, -1>)]", 19, "'clip': bound must be greater than 0"),
    ("<d, p>[(x, <clip, p>)] <e, q>[(y, 4, <d, 0>) (z, q, <d, q>)]", 19, "'y' is the last node of a use of the cell"),
    ("<d>[{x, x, additive, 0}]", 22, "'x' can't read 'x' of this step, which depends on it: 'x' reads 'x'"),
    ("<d>[{x, y, dot, 0} (y, 3, <tanh>)]", 17, "'x' can't read 'y' of this step, which depends on it"),
    ("<d, p 0>[{x, y, dot, p} (y, 3, <tanh>)]", 22, "'x' can't read 'y' of this step, which depends on it"),
    ("<d, p>[{x, y, dot, p} (y, 3, <tanh>)] <e>[(z, <d, 0>)]", 20, "'z.x' can't read 'z' of this step"),
    ("<d>[[s, {x, y, take, 0}] (u, <rnn>) {y, x, take, 0}]", 22, "'x' can't read 'y' of this step"),
    ("<e, q>[(y, <lstm, 1, q>)]", 22, "the cell 'lstm' takes one number only"),
    ("<e, q>[(y, <lstm, 1>) {z, y.gat, additive, q}]", 27, "'z' merges with 'y.gat', which is no node of the cell"),
    ("<e, q>[(y, q, <rnn>, /spectral,chrono q/)]", 23, "'spectral' needs a number, its spectral radius"),
    ("<e, q>[(y, q, <rnn>, /spectral q,chrono 1/)]", 41, "'chrono': longest time must be greater than 2"),
    ("<d>[(b.c, <elu>) (x, <elu>)] <e>[(c, <elu>) (x, <elu>)] <f>[(a, <d>) (a.b, <e>) (z, <elu>)]", 35, AMBIGUOUS),
]


@pytest.mark.parametrize(("definitions", "column", "fragment"), SPARE)
def test_what_a_definition_that_nobody_uses_leaves_open_hides_no_other_mistake(definitions, column, fragment):
    with pytest.raises(nm.MDLSemanticError) as caught:
        build_graph(parse(f"/xavier,zero/\n{definitions}\n(input, 3) (output, 1, <linear>, <mse>)"))
    assert (caught.value.line, caught.value.column) == (2, column)
    assert fragment in caught.value.reason


def test_a_body_that_nobody_uses_may_read_this_step_where_that_closes_no_loop():
    bodies = (
        "<d, p>[{x, y, additive, p} (y, 3, <tanh>)] <e>[{x, y, additive} (y, 3, <tanh>) {z, x, take, 0}]"
        "<f>[[s, {x, y, take, 0}] {y, s, take, 0}] <g>[{x, y.y, additive} (y, 3, <e>) {z, y.x, take, 0}]"
    )
    graph = build_graph(parse(f"/xavier,zero/{bodies}(input, 3) (output, 1, <linear>, <mse>)"))
    assert len(graph.nodes) == 2


def test_initialisers_that_a_use_gives_are_checked_where_uses_are_not_expanded_too():
    wide = "".join(f"(n{one}, <tanh>)" for one in range(6_000))
    definitions = f"<wide>[{wide}]<c>[(u, <wide>)]<d>[(v, <wide>, /,zer/)]"
    with pytest.raises(nm.MDLSemanticError, match="unknown bias initialiser 'zer'"):
        build_graph(parse(f"/xavier,zero/{definitions}(input, 3) (output, 1, <linear>, <mse>)"))


def test_loops_within_the_step_are_looked_for_only_where_all_uses_are_expanded():
    """A node before a use that is not expanded need not come into the node behind it."""
    wide = "".join(f"(n{one}, <tanh>)" for one in range(6_000))
    definitions = f"<wide>[{wide}]<cut>[(a, <wide>) {{l, l, take, 1}}]<d>[{{x, y, additive, 0}} (u, <cut>) (y, <tanh>)]"
    build_graph(parse(f"/xavier,zero/{definitions}(input, 3) (output, 1, <linear>, <mse>)"))


MUTATED = """\
/he,zero/
<leak, rate 0.1, k 1>[ {x, state, concatenate, k} (y, width, <elu, rate>, /normal 0 rate,/) {state, y, additive} ]
<spare, p>[ (one, p, <leak, p>) (q, 3, <conv, p, 2>, /uniform 0 p,const_flat p/) (n, <norm, p>) (v, 3, <learned, p>) ]
(input, 3) (h, 4, <leak, .5>, /normal 0 1,/) (i, <rnn>) [b, (j, 3, <leak>)|] {m, h.y, additive}
(output, 2, <linear>, <mse>)
"""
PIECES = [
    "leak", "spare", "rnn", "lstm", "rate", "k", "p", "one", "width", "state", "2", ".5", "-1", "4097", "norm",
    "learned",
    "concatenate", "average", "conv", "(q, <leak>)", "(q, 3, <spare, 1>)", ">", ",", "|", "/,const_flat 1/", "h.y", "h",
]  # fmt: skip


def test_mutated_texts_get_a_graph_or_an_error_and_the_plain_text_is_the_same_model():
    draw, fine = random.Random(7), 0
    for _ in range(2_000):
        start = draw.randrange(len(MUTATED))
        end = start + draw.choice([0, 1, 2, 4, 8])
        text = MUTATED[:start] + draw.choice(["", *PIECES]) + MUTATED[end:]
        if check_outcome(text, nodes_of) is None:
            assert nodes_of(nm.expand(text)) == nodes_of(build_graph(parse(text)).text) == nodes_of(text)
            fine += 1
    assert 80 < fine < 1_800
