"""Cells in the place of their uses: names, numbers, widths, initialisers, limits, and the places of errors."""

import random
import time
from dataclasses import replace

import pytest

from helpers.mutations import check_outcome
from neuromorph.errors import Location, MDLSemanticError
from neuromorph.language import Origin, WidthOf, expand, library, parse, syntax, to_text, told, with_widths

FUNCTIONS = {"f", "g", "linear", "tanh", "sigmoid", "relu", "mse", "learned"}
ENDS = "(input, 3) {} (output, 2, <linear>, <mse>)"


def expanded(text, cells=()):
    cells = parse(f"/a,b/{cells}(c,4)").definitions if isinstance(cells, str) else cells
    return expand(parse(text, "net.mdl"), FUNCTIONS, cells)


def plain(definitions, nodes, cells=()):
    """The nodes that stand in the place of some nodes, as one line; a width that only the graph knows is 9999."""
    model = expanded(f"/he,zero/{definitions}{ENDS.format(nodes)}", cells)
    widths = {node.name: 9999 for node in syntax.each(model.nodes)}
    lines = to_text(with_widths(model, widths)).splitlines()
    return " ".join(line.strip() for line in lines[2:-1])


def error_of(text, cells=""):
    model, known = parse(text, "net.mdl"), parse(f"/a,b/{cells}(c,4)").definitions
    start = time.process_time()
    with pytest.raises(MDLSemanticError) as caught:
        expand(model, FUNCTIONS, known)
    assert time.process_time() - start < 1
    return caught.value


def test_a_text_without_cells_stays_what_it_is():
    model = parse("/a,b/(c,4)(d,4,<f>)")
    assert expand(model, FUNCTIONS) is model


EXPANSIONS = [
    # definitions, nodes, what they are when expanded
    ("<d>[(x, width, <f>)]", "(h, 5, <d>)", "(h, 5, <f>)"),
    ("<d>[(x, width, <f>)]", "(h, <d>)", "(h, 9999, <f>)"),
    ("<d>[(x, <f>) {y, x, o}]", "(h, 5, <d>)", "(h.x, <f>) {h, h.x, o}"),
    ("<d>[{y, x, o, 1} (x, 2, <f>)]", "(h, 5, <d>)", "{h.y, h, o, 1} (h, 2, <f>)"),
    ("<d>[[s, (a, width, <f>)|[t,]] (x, <g>)]", "(h, 5, <d>)", "[h.s, (h.a, 5, <f>) | [h.t,] ] (h, <g>)"),
    ("<d>[(x, <f>)]", "[s, (h, <d>)|]", "[s, (h, <f>) | ]"),
    ("<d, p 1, q 2>[(x, <f, p>) (y, <f, q, p>)]", "(h, <d>)", "(h.x, <f, 1>) (h, <f, 2, 1>)"),
    ("<d, p 1, q 2>[(x, <f, p>) (y, <f, q, p>)]", "(h, <d, .5>)", "(h.x, <f, 0.5>) (h, <f, 2, 0.5>)"),
    ("<d, p, q>[(x, <f, p>) (y, <f, q, p>)]", "(h, <d, 3, -4>)", "(h.x, <f, 3>) (h, <f, -4, 3>)"),
    ("<d, k 2>[(y, k, <f>) {x, y, o, k}]", "(h, <d>)", "(h.y, 2, <f>) {h, h.y, o, 2}"),
    ("<d, s 2>[(y, 3, <f>, /u -1 s,c s/)]", "(h, <d>)", "(h, 3, <f>, /u -1 2,c 2/)"),
    ("<d>[(x, <f>)] <e>[(d, <d>) (y, <d>)]", "(h, <e>)", "(h.d, <f>) (h, <f>)"),
    ("<d>[(n, <g>) (x, <f>)] <e>[(d, <d>) (y, <d>)]", "(h, <e>)", "(h.d.n, <g>) (h.d, <f>) (h.y.n, <g>) (h, <f>)"),
    ("<d>[(n, <g>) (x, <f>)] <e>[(y, <d>) {m, y.n, o}]", "(h, <e>)", "(h.y.n, <g>) (h.y, <f>) {h, h.y.n, o}"),
    ("<d>[(n, <g>) (x, <f>)] <e>[{m, y, o} (y, <d>)]", "(h, <e>)", "{h.m, h, o} (h.y.n, <g>) (h, <f>)"),
    ("<d>[(x, width, <f>)] <e>[(d, 7, <d>) (y, width, <d>)]", "(h, 5, <e>)", "(h.d, 7, <f>) (h, 5, <f>)"),
    ("<d, p>[(x, <f, p>)] <e, q>[(y, <d, q>)]", "(h, <e, 4>)", "(h, <f, 4>)"),
    ("<d, w>[(x, w, <f>)] <e>[(y, width, <d, 3>)]", "(h, 5, <e>)", "(h, 3, <f>)"),
    # A name means its own thing inside and outside, whatever it is called.
    ("<d, x 1>[(x, <f, x>) {d, x, o}]", "(d, 2, <d>)", "(d.x, <f, 1>) {d, d.x, o}"),
    # Initialisers of the use stand for the header's inside the body.
    ("<d>[(x, 4, <f>)]", "(h, <d>, /w,b/)", "(h, 4, <f>, /w,b/)"),
    ("<d>[(x, 4, <f>, /,c/) (y, <g>)]", "(h, <d>, /w,b/)", "(h.x, 4, <f>, /w,c/) (h, <g>)"),
    ("<d>[(x, 4, <f>, /c,/)]", "(h, <d>, /,b/)", "(h, 4, <f>, /c,b/)"),
    ("<d>[(x, 4, <f>, /c,/)]", "(h, <d>)", "(h, 4, <f>, /c,/)"),
    ("<d>[(x, <f>, /c,/)]", "(h, <d>, /w,b/)", "(h, <f>, /c,/)"),
    ("<d>[(x, 4, <learned>) (y, 4, <learned, 2>)]", "(h, <d>, /,b/)", "(h.x, 4, <learned>, /,b/) (h, 4, <learned, 2>)"),
    ("<d>[(x, 4, <learned>)]", "(h, <d>, /w,b/)", "(h, 4, <learned>, /,b/)"),
    ("<d>[(x, 4, <learned>)]", "(h, <d>, /w,/)", "(h, 4, <learned>)"),
    ("<d>[(x, 4, <learned, 2>, /,c/)]", "(h, <d>, /w,b/)", "(h, 4, <learned, 2>, /,c/)"),
    ("<d>[(x, 4, <f>)]<e, s>[(y, <d>, /,c s/)]", "(h, <e, 3>, /w,b/)", "(h, 4, <f>, /w,c 3/)"),
]


@pytest.mark.parametrize(("definitions", "nodes", "wanted"), EXPANSIONS)
def test_what_stands_in_the_place_of_a_use(definitions, nodes, wanted):
    assert plain(definitions, nodes) == wanted
    assert plain("", nodes, definitions) == wanted  # the same from a library
    assert parse(f"/a,b/ (input, 1) {wanted}")


def test_a_definition_of_the_text_hides_one_of_the_library_but_not_inside_it():
    cells = "<d>[(x, <f>)] <e>[(y, <d>)]"
    assert plain("", "(h, <e>) (i, <d>)", cells) == "(h, <f>) (i, <f>)"
    assert plain("<d>[(z, <g>)]", "(h, <e>) (i, <d>)", cells) == "(h, <f>) (i, <g>)"


def test_a_name_of_a_function_is_never_a_cell():
    assert plain("", "(h, <f>)", "<f>[(x, <g>)]") == "(h, <f>)"


def test_without_a_width_the_cell_is_as_wide_as_what_comes_into_its_first_node():
    cells = "<c>[(n, <g>) (x, width, <f>)] <d>[(c, <c>) (x, width, <f>)] <e>[[s, (q, width, <f>)] (d, <d>)]"
    model = expanded(f"/a,b/{cells}{ENDS.format('(h, <d>) (i, <e>) (j, 7, <d>) (k, <c>)')}")
    widths = {node.name: node.width for node in syntax.each(model.nodes) if isinstance(node, syntax.Layer)}
    assert widths["h"] == widths["h.c"] == WidthOf("h.c.n")
    assert widths["i.q"] == WidthOf("i.s")
    assert widths["i"] == widths["i.d.c"] == WidthOf("i.d.c.n")
    assert (widths["j"], widths["j.c"]) == (7, WidthOf("j.c.n"))
    assert [(use.name, use.cell, use.first, use.width, use.depth) for use in model.uses] == [
        ("h", "d", "h.c.n", WidthOf("h.c.n"), 0),
        ("h.c", "c", "h.c.n", WidthOf("h.c.n"), 1),
        ("i", "e", "i.s", WidthOf("i.s"), 0),
        ("i", "d", "i.d.c.n", WidthOf("i.d.c.n"), 1),
        ("i.d.c", "c", "i.d.c.n", WidthOf("i.d.c.n"), 2),
        ("j", "d", "j.c.n", 7, 0),
        ("j.c", "c", "j.c.n", WidthOf("j.c.n"), 1),
        ("k", "c", "k.n", WidthOf("k.n"), 0),
    ]


def test_a_width_that_the_graph_alone_knows_has_no_text():
    with pytest.raises(TypeError, match="the width of what comes into 'h' is not known yet"):
        to_text(expanded(f"/a,b/<d>[(x, width, <f>)]{ENDS.format('(h, <d>)')}"))


# Where nodes come from ------------------------------------------------------------------------------------------------

NESTED = """\
/he,zero/
<d>[(n, <g>) (x, <f>)]
<e>[(m, 2, <d>) (y, 2, <tanh>)]
(input, 3)
(h, 2, <e>)
(output, 2, <linear>, <mse>)
"""


def origins(model):
    return {node.name: (node.location, node.origin) for node in syntax.each(model.nodes)}


def test_every_node_knows_its_place_and_its_use():
    found = origins(expanded(NESTED))
    outer = Origin("h", "e", Location(5, 2), False, None)
    assert found["input"] == (Location(4, 2), None)
    assert found["h"] == (Location(3, 18), outer)
    assert found["h.m.n"] == (Location(2, 6), Origin("h.m", "d", Location(3, 6), False, outer))
    assert told("r", "h.m.n", found["h.m.n"][1]) == (
        "r; 'h.m.n' is a node of 'h.m', a use of the cell 'd' in line 3, column 6, which 'h' holds, "
        "a use of the cell 'e' in line 5, column 2"
    )
    assert told("r", "h", outer) == "r; 'h' is the last node of a use of the cell 'e' in line 5, column 2"
    assert told("r", "input", None) == "r"


def test_places_in_cells_of_the_library_are_those_of_the_use():
    lines = NESTED.splitlines(keepends=True)
    found = origins(expanded("".join([lines[0], *lines[3:]]), "".join(lines[1:3])))
    assert {found[name][0] for name in ("h", "h.m", "h.m.n")} == {Location(2 + 1, 2)}
    assert told("r", "h.m.n", found["h.m.n"][1]) == "r; 'h.m.n' is a node of 'h', a use of the library's cell 'e'"
    found = origins(expanded("".join([lines[0], *lines[2:]]), lines[1]))
    assert found["h.m.n"][0] == Location(2, 6)
    assert told("r", "h.m.n", found["h.m.n"][1]) == (
        "r; 'h.m.n' is a node of 'h.m', a use of the library's cell 'd', which 'h' holds, "
        "a use of the cell 'e' in line 4, column 2"
    )


# What is wrong --------------------------------------------------------------------------------------------------------

WRONG = [
    # the first line of the text after its header, line and column of the error, what the reason says
    ("<tanh>[(x,<f>)]", 2, "'tanh' is a function of the language: a definition needs another name"),
    ("<d>[(x,<f>)]<d>[(x,<f>)]", 14, "'d' is defined already, in line 2, column 2"),
    ("<d>[(x,<d>)]", 9, "'d' is defined in line 2, column 2: a definition may use only those before it"),
    ("<d>[(x,<e>)]<e>[(x,<f>)]", 9, "'e' is defined in line 2, column 14: a definition may use only those before"),
    ("<lib>[(x,<lib>)]", 11, "'lib' is defined in line 2, column 2: a definition may use only those before it"),
    ("<d>[(x,3,<f>)[s,]]", 15, "the cell 'd' ends with the split 's': its last node, whose value it gives, is a layer"),
    ("<d>[(x,3)]", 6, "'x' has no activation and would be an input: what comes into the cell 'd' comes from"),
    ("<d>[(x,3,<f>,<mse>)]", 15, "'x' has a loss and would be an output, which no cell can have"),
    ("<d>[(x,<f>)(x,<f>)]", 13, "the name 'x' is taken: it first stands in line 2, column 6; names are unique"),
    ("<d>[[x,(x,<f>)](y,<f>)]", 9, "the name 'x' is taken: it first stands in line 2, column 6"),
    ("<d>[(u,<lib>)(u.n,<f>)]", 15, "the name 'u.n' is taken: a node inside 'u' has it"),
    (
        "<d>[{x,input,o}]",
        8,
        "'x' merges with 'input', which is no node of the cell 'd'; a body knows its own nodes only: 'x' is the cell's "
        "own value, and a split such as [x,] names what comes in",
    ),
    ("<d>[(state,<f>){x,stat,o}]", 19, "which is no node of the cell 'd': did you mean 'state'?"),
    ("<e>[(inside,<f>)(y,<f>)]<d>[(u,<e>){x,u.insid,o}]", 39, "no node of the cell 'd': did you mean 'u.inside'?"),
    ("<d>[(u,<lib>){x,u.y,o}]", 17, "'x' merges with 'u.y', which is no node of the cell 'd'"),  # y became u itself
    ("<d, p>[(x,<f,p>)](input,3)(h,<d>)", 31, "the cell 'd' needs a number, its 'p', such as <d, 0.5>"),
    ("<d, p 1, q>[(x,<f,p>)](input,3)(h,<d,1>)", 36, "the cell 'd' needs a number, its 'q', such as <d, 0.5, 0.5>"),
    ("<d>[(x,<f>)](input,3)(h,<d,1>)", 28, "the cell 'd' takes no number"),
    ("<d,p 1>[(x,<f>)](input,3)(h,<d,1,2>)", 34, "the cell 'd' takes one number only"),
    ("<d>[(x,<f>)]<e>[(x,<d,1>)]", 23, "the cell 'd' takes no number"),
    ("(input,3)(h,<lib>)(o,2,<lib>,<mse>)", 31, "'o' is a use of the cell 'lib', which can't be an output"),
    ("(input,3)(h,<lib>)(o,2,<f>,<lib>)", 29, "'lib' is a cell, but a loss belongs here"),
    ("<d,p 1>[(x,p,<f>)](input,3)(h,<d,.5>)", 12, "the width of 'x' is 'p', here 0.5: it must be a whole number from"),
    ("<d,p 1>[(x,p,<f>)](input,3)(h,<d,0>)", 12, "the width of 'x' is 'p', here 0: it must be a whole number from 1"),
    ("<d,p 1>[{x,x,o,p}](input,3)(h,<d,4097>)", 16, "the number of steps back of 'x' is 'p', here 4097: it must be"),
    ("<d,p 1>[{x,x,o,p}](input,3)(h,<d,-1>)", 16, "it must be a whole number from 0 to 4,096; 'h' is the last node"),
    ("<d,p 0.5>[(x,p,<f>)]", 14, "the width of 'x' is 'p', here 0.5: it must be a whole number"),  # nobody uses it
    ("<d,p>[(y,p,<f>)(x,<f>)]<e>[(q,<d,.5>)(z,<f>)](i,3)", 10, "here 0.5: it must be a whole number from 1 to"),
    ("<d,p>[{y,y,o,p}(x,<f>)]<e,q 1>[(b,q,<d,-1>)(z,<f>)](i,3)", 14, "'b.y' is a node of 'b', a use of the cell 'd'"),
    ("<d,p>[(y,p,<f>)(x,<f>)]<e>[(q,<d,.5>)(z,<f>)](i,3)(h,<e>)", 10, "'h.q.y' is a node of 'h.q', a use of the"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "column", "fragment"), WRONG)
def test_wrong_definitions_and_uses(line, column, fragment):
    error = error_of(f"/a,b/\n{line}\n(z,3)", "<lib>[(n,<f>)(y,<f>)]")
    assert (error.line, error.column, error.filename) == (2, column, "net.mdl")
    assert fragment in error.reason


def doubling(count, cell="<d0>[(x,<f>)(y,<f>)]"):
    return cell + "".join(f"\n<d{one}>[(x,<d{one - 1}>)(y,<d{one - 1}>)]" for one in range(1, count))


LONG = "n" * 100
CHAIN = "".join(f"<d{one}>[(x,<{f'd{one - 1}' if one else 'f'}>)]\n" for one in range(102))
LIMITS = [
    (doubling(40) + "(i,3)(h,<d39>)", 15, 17, "the text has 16,384 nodes up to 'y': at most 10,000 are allowed"),
    (doubling(13) + "\n(i,3)(h,<d12>)(z,<d12>)", 15, 16, "the text has 16,385 nodes up to 'z': at most 10,000 are"),
    (f"<d>[({LONG},<f>)(y,<f>)]\n<e>[({LONG},<d>)(y,<f>)]\n(i,3)({LONG},<e>)", 2, 6, "it has 302 characters with"),
    (f"{CHAIN}(i,3)(h,<d101>)", 103, 12, "cells are nested too deep: at most 100 uses may stand in one another"),
]


@pytest.mark.parametrize(("text", "line", "column", "fragment"), LIMITS, ids=range(len(LIMITS)))
def test_limits(text, line, column, fragment):
    error = error_of(f"/a,b/\n{text}")
    assert (error.line, error.column) == (line, column)
    assert fragment in error.reason


def nest(count, inner):
    return "".join(f"[s{one}," for one in range(count)) + inner + "]" * count


def test_splits_of_a_cell_count_with_those_around_its_use():
    cell = f"<d>[{nest(60, '(q,<f>)')}(y,<f>)]"
    assert expanded(f"/a,b/{cell}(i,3){nest(40, '(h,<d>)')}")
    error = error_of(f"/a,b/{cell}\n(i,3){nest(41, '(h,<d>)')}")
    assert "splits are nested too deep: at most 100 '[' may be open, cells in the place of their uses" in error.reason
    assert "'h.s59' is a node of 'h', a use of the cell 'd' in line 2, column" in error.reason


def test_branches_of_a_cell_count_at_each_use():
    cell = f"<d>[[s,{'|' * 50_000}](y,<f>)]"
    assert expanded(f"/a,b/{cell}(i,3)(g1,<d>)(h,<d>)")
    error = error_of(f"/a,b/{cell}(i,3)(g1,<d>)(h,<d>)(k,<d>)")
    assert "the model has too many branches: at most 100,000 '|' are allowed" in error.reason


def test_up_to_its_limits_an_expansion_is_fine_and_quick():
    start = time.process_time()
    model = expanded(f"/a,b/{doubling(12)}(i,3)(h,<d11>)(z,<d11>)")
    assert sum(1 for _ in syntax.each(model.nodes)) == 2**13 + 1
    deep = "".join(f"<d{n}>[(x,<{f'd{n - 1}' if n else 'f'}>)]" for n in range(100))
    assert expanded(f"/a,b/{deep}(i,3)(h,<d99>)").nodes[-1].name == "h"
    assert time.process_time() - start < 2


def test_names_through_many_uses_are_found_quickly():
    cells = "<d0>[(b,<f>)(z,<f>)]" + "".join(f"<d{one}>[(a,<d{one - 1}>)(z,<f>)]" for one in range(1, 99))
    merges = "".join(f"{{m{one},{'.'.join('a' * (20 + one % 79))},o}}" for one in range(400))
    text = f"/a,b/{cells}\n<last>[(a,<d98>){merges}{{p,{'a.' * 99}b,o}}{{q,{'a.' * 99}c,o}}](i,3)"
    assert f"'q' merges with '{'a.' * 20}" in error_of(text).reason


def test_names_that_many_ways_lead_to_are_found_quickly():
    """Two ways lead to each node of a cell `c…`, and so 1,024 to the innermost one."""
    cells = "<c0>[(x,<f>)]"
    for one in range(10):
        cells += f"<p{one}>[(b.c,<c{one}>)(x,<f>)]<q{one}>[(c,<c{one}>)(x,<f>)]"
        cells += f"<c{one + 1}>[(a,<p{one}>)(a.b,<q{one}>)(x,<f>)]"
    nodes = "".join(f"({'a.b.c.' * 10}z{one},<f>)" for one in range(1_500))
    last = f"<last>[(a,<p9>)(a.b,<q9>){nodes}]"
    assert check_outcome(f"/a,b/{cells}{last}(i,3)", expanded) is None


# Definitions that nobody uses -----------------------------------------------------------------------------------------


def nodes_of_no_use(text):
    return [node for body in expanded(f"/a,b/{text}").spare for node in syntax.each(body)]


def test_what_nobody_uses_is_kept_to_be_checked():
    text = "<d, p 2, q>[(x, width, <f, p>) {m, x, o, p} [s, (u, 3, <g, q>)|] (z, <f>)] <e>[(y, <d, 1, 1>)] (i, 3)"
    spare = nodes_of_no_use(text)
    assert [node.name for node in spare] == ["x", "m", "s", "u", "z", "y.x", "y.m", "y.s", "y.u", "y"]
    assert spare[0].activation.parameters == (2.0,)
    assert spare[1].steps == 2
    assert spare[3].activation.parameters == (syntax.Reference("q", Location(1, 1)),)
    assert (spare[6].steps, spare[8].activation.parameters) == (1, (1.0,))
    model = expanded(f"/a,b/{text} (h, <e>)")
    assert model.spare == ()
    assert [use.name for use in model.uses] == ["h", "h"]


def test_uses_in_what_nobody_uses_hand_on_open_numbers_and_widths():
    text = (
        "<d, p, q 1>[(x, width, <f, p, q>) (y, q, <g>)] <e, r>[(u, <d, r>) (v, r, <d, 2, r>) (w, width, <d, 3>)](i, 3)"
    )
    spare = {node.name: node for node in nodes_of_no_use(text)}
    r, place = syntax.Reference("r", Location(1, 1)), syntax.Reference("width", Location(1, 1))
    assert spare["u.x"].activation.parameters == (r, 1.0)
    assert (spare["v.x"].activation.parameters, spare["v.x"].width, spare["v"].width) == ((2.0, r), r, r)
    assert spare["w.x"].width == place
    assert expanded(f"/a,b/{text}").uses == ()


def test_what_nobody_uses_is_not_expanded_without_bound():
    most = doubling(13)
    many = "".join(f"<e{one}>[(x,<d12>)(y,<f>)]" for one in range(2_000))
    spare = nodes_of_no_use(f"{most}{many}(i,3)")
    assert 2_000 < len(spare) < 30_000


# The library ----------------------------------------------------------------------------------------------------------

NAMES = ["rnn", "lstm", "gru", "gru_before", "min_gru", "min_lstm", "ind_rnn", "leaky", "lif"]


def test_the_cells_of_the_library():
    assert [cell.name for cell in library()] == NAMES
    numbers = {cell.name: [default for _, default in cell.parameters] for cell in library() if cell.parameters}
    assert numbers == {"lstm": [1.0], "leaky": [0.1], "lif": [0.9]}


def test_the_library_passes_the_checks_of_a_text():
    model = parse("/a,b/" + ENDS.format("".join(f"(h{n}, 5, <{name}>)" for n, name in enumerate(NAMES))))
    own = replace(model, definitions=library())
    assert expand(own, FUNCTIONS, ()) == expand(model, FUNCTIONS)


@pytest.mark.parametrize("name", NAMES)
def test_links_back_of_the_library_say_how_far(name):
    """So nothing outside a cell can change what they read."""
    model = expand(parse(f"/a,b/{ENDS.format(f'(h, 5, <{name}>)')}"), FUNCTIONS)
    seen = set()
    for node in syntax.each(model.nodes):
        if isinstance(node, syntax.Merge):
            assert node.steps == (None if node.other in seen else 1), node
        seen.add(node.name)
    assert any(getattr(node, "steps", None) for node in syntax.each(model.nodes))


def test_the_lstm_has_a_forget_gate_that_stays_open_at_first():
    """The number is a bias of its own, whatever the use says of biases."""
    model = expand(parse(f"/a,b/{ENDS.format('(h, 5, <lstm, 2>, /,zero/)')}"), FUNCTIONS)
    biases = {
        node.name: (node.local.bias.name, node.local.bias.parameters)
        for node in syntax.each(model.nodes)
        if isinstance(node, syntax.Layer) and node.local is not None
    }
    zero = ("zero", ())
    assert biases == {
        "h.in_gate": zero, "h.candidate": zero, "h.out_gate": zero, "h.forget_gate": ("const_flat", (2.0,)),
    }  # fmt: skip


# Mutated texts --------------------------------------------------------------------------------------------------------

VALID = """\
/he,zero/
<leak, rate 0.1, k 1>[ {x, state, o, k} (y, width, <f, rate>, /u 0 rate,/) [s, (z, k, <g>)] {state, y, o} ]
<twice, r>[ (one, width, <leak>) (two, width, <leak, r, 2>) {sum, one.y, o} ]
<spare, p>[ (one, p, <leak, p>) ]
(input, 3) (h, 4, <twice, .5>, /w,/) (i, <lstm>) [b, (j, 3, <leak>)|] {m, h.two.y, o}
(output, 2, <linear>, <mse>)
"""
PIECES = [
    "leak", "twice", "spare", "rate", "k", "p", "r", "x", "one", "width", "state", "one.y", ".", "2", ".5", "-1", "9e9",
    "4097",
    "(q, <leak>)", "(q, 3, <twice, 1>)", "<d>[(e, <f>)]", "[", "]", "<", ">", ",", "|", "/", "/,/", "{m, one, o}"
]  # fmt: skip


def mutated(draw):
    text = VALID
    for _ in range(draw.randint(1, 2)):
        start = draw.randrange(len(text))
        end = min(len(text), start + draw.choice([0, 1, 2, 4, 8, 30]))
        text = text[:start] + draw.choice(["", *PIECES, text[end : end + 20]]) + text[end:]
    return text


def with_library(text):
    return expand(parse(text), FUNCTIONS)


def check_expansion(model, text):
    """It has no definitions, its plain text says the same, and so does the canonical text when expanded."""
    assert not model.definitions
    names = [node.name for node in syntax.each(model.nodes)]
    plain_text = to_text(with_widths(model, dict.fromkeys(names, 7)))
    assert [node.name for node in syntax.each(parse(plain_text).nodes)] == names
    assert with_library(to_text(parse(text))) == model


def test_mutated_texts_get_an_expansion_or_an_error_with_a_place():
    draw, fine = random.Random(20260101), 0
    for _ in range(5_000):
        text = mutated(draw)
        if check_outcome(text, with_library) is None:
            check_expansion(with_library(text), text)
            fine += 1
    assert 250 < fine < 4_750
