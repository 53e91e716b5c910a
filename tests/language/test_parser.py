"""What texts mean as trees, and the canonical text of a tree."""

import math
import subprocess
import sys
import threading
import time
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ply import yacc

from neuromorph.errors import Location, MDLError
from neuromorph.language import (
    Definition,
    Function,
    Initializer,
    Layer,
    Local,
    Merge,
    Model,
    Reference,
    Split,
    parse,
    parser,
    printer,
    to_text,
)

HERE = Location(1, 1)

EVERYTHING = """\
# every kind of node, with odd white space
/uniform -0.5 .5 , const_flat 1e-1/ (input,8)
[ gates , (a, 4, <tanh>) {b, a, additive} | | [inner,[tap,]] ] # äöü ☃ \x00
(squash,<swish,1.5>)
(output, 2, <softmax>, <huber, 2>)
"""

EVERYTHING_PRINTED = """\
/uniform -0.5 0.5,const_flat 0.1/
(input, 8)
[gates,
    (a, 4, <tanh>)
    {b, a, additive}
|
|
    [inner,
        [tap,]
    ]
]
(squash, <swish, 1.5>)
(output, 2, <softmax>, <huber, 2>)
"""


def initializer(name, *parameters):
    return Initializer(name, parameters, HERE, (HERE,) * len(parameters))


def function(name, *parameters):
    return Function(name, parameters, HERE, (HERE,) * len(parameters))


def local(weight, bias):
    return Local(weight, bias, HERE)


def layer(name, width=None, activation=None, loss=None, own=None):
    return Layer(name, width, activation, loss, HERE, None, own)


def merge(name, other, operation, steps=None):
    return Merge(name, other, operation, HERE, HERE, HERE, steps)


def reference(name):
    return Reference(name, HERE)


def definition(name, parameters, *nodes):
    return Definition(name, parameters, nodes, HERE, (HERE,) * len(parameters))


def split(name, *branches):
    return Split(name, branches, HERE)


def model(weight, bias, *nodes, definitions=()):
    return Model(weight, bias, nodes, "", None, definitions)


def only_node(text):
    (node,) = parse(f"/a,b/{text}").nodes
    return node


def test_every_kind_of_node():
    assert parse(EVERYTHING) == model(
        initializer("uniform", -0.5, 0.5),
        initializer("const_flat", 0.1),
        layer("input", 8),
        split(
            "gates",
            (layer("a", 4, function("tanh")), merge("b", "a", "additive")),
            (),
            (split("inner", (split("tap", ()),)),),
        ),
        layer("squash", None, function("swish", 1.5)),
        layer("output", 2, function("softmax"), function("huber", 2.0)),
    )


def test_places_do_not_count_in_comparisons_but_everything_said_does():
    assert parse("/a,b/(c,4)") == parse("\n\n/ a , b / ( c , 04 )", "file.mdl")
    assert hash(parse("/a,b/(c,4)")) == hash(parse(" /a,b/ (c,4)"))
    texts = [
        "/a,b/(c,4)",
        "/a,b/(c,5)",
        "/a,x/(c,4)",
        "/a,b/(d,4)",
        "/a 0,b/(c,4)",
        "/a,b/(c,4)[d,]",
        "/a,b/(c,<d>)",
    ]
    assert len({parse(text) for text in texts}) == len(texts)


def test_locations_are_those_of_the_names_and_numbers():
    tree = parse(
        "/u 1\t2,\r\nz 3/ # x\r(a,\n 4, <f, 5>,<g>)[ s,{ m , o , p }]", "net.mdl"
    )  # lines end after `,`, after the comment, and after `(a,`
    weight, bias = tree.weight_initializer, tree.bias_initializer
    assert (weight.location, *weight.parameter_locations) == (Location(1, 2), Location(1, 4), Location(1, 6))
    assert (bias.location, *bias.parameter_locations) == (Location(2, 1), Location(2, 3))
    node, branching = tree.nodes
    assert (node.location, node.width_location) == (Location(3, 2), Location(4, 2))
    assert (node.activation.location, node.activation.parameter_locations) == (Location(4, 6), (Location(4, 9),))
    assert (node.loss.location, node.loss.parameter_locations) == (Location(4, 13), ())
    assert branching.location == Location(4, 18)
    joint = branching.branches[0][0]
    places = (joint.location, joint.other_location, joint.operation_location)
    assert places == (Location(4, 22), Location(4, 26), Location(4, 30))
    assert (tree.filename, tree.source.count("\n")) == ("net.mdl", 2)


def test_the_tree_is_immutable():
    with pytest.raises(FrozenInstanceError):
        parse("/a,b/(c,4)").nodes = ()


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("(a, 4)", layer("a", 4)),
        ("(a, <f>)", layer("a", None, function("f"))),
        ("(a, 4, <f>)", layer("a", 4, function("f"))),
        ("(a, 4, <f>, <g>)", layer("a", 4, function("f"), function("g"))),
        ("(a,1048576)", layer("a", 1_048_576)),
        ("(a,0000000000000000000004)", layer("a", 4)),
        ("[a,]", split("a", ())),
        ("[a,||]", split("a", (), (), ())),
        ("{a.b-c, _, Z9}", merge("a.b-c", "_", "Z9")),
        ("(" + "n" * 255 + ",1)", layer("n" * 255, 1)),
    ],
)
def test_nodes(text, node):
    assert only_node(text) == node


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+5.25", 5.25),
        ("-.5e+1", -5.0),
        ("1E3", 1000.0),
        ("1e-400", 0.0),
        ("1.7976931348623157e308", sys.float_info.max),
        ("4.9e-324", 5e-324),
        ("0" * 6000 + "1", 1.0),
        ("0." + "1" * 6000, 1 / 9),
        ("1e-" + "9" * 6000, 0.0),
    ],
)
def test_numbers(text, value):
    assert only_node(f"(a, <f, {text}, {text}>)").activation.parameters == (value, value)
    assert parse(f"/a {text} {text},b/(c,4)").weight_initializer.parameters == (value, value)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_comment_ends_with_its_line(end):
    assert len(parse(f"/a,b/#/{end}(c,4)# (d,5) \u2028 (e,6){end}#\ud800").nodes) == 1


def test_white_space_means_nothing():
    assert parse("/a 1,b/(c,4,<f,1>)") == parse("/ a\t1 ,\rb\n/\r\n(\tc , 4\n,< f , 1 > )\n\n")


@pytest.mark.parametrize("text", [b"/a,b/(c,4)", None, 4, ["/a,b/"]])
def test_only_a_str_is_parsed(text):
    with pytest.raises(TypeError, match="a model description is a str, not"):
        parse(text)


def test_canonical_text():
    assert to_text(parse(EVERYTHING)) == EVERYTHING_PRINTED


@pytest.mark.parametrize(
    ("number", "printed"),
    [("5.0", "5"), (".5", "0.5"), ("-0", "-0"), ("1e5", "100000"), ("1e22", "1e+22"), ("1e-7", "1e-07")],
)
def test_numbers_are_printed_in_their_shortest_usual_form(number, printed):
    assert to_text(parse(f"/a {number},b/(c,4)")).startswith(f"/a {printed},b/")


def test_the_sign_of_zero_survives():
    (number,) = parse(to_text(parse("/a -0.0,b/(c,4)"))).weight_initializer.parameters
    assert math.copysign(1, number) == -1


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,6}", fullmatch=True)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
WIDTHS = st.integers(1, 2**20)
STEPS = st.integers(0, 4096)


def initializers_of(numbers):
    return st.builds(lambda name, found: initializer(name, *found), NAMES, st.lists(numbers, max_size=2))


def leaves_of(numbers, widths, steps):
    """Layers, activation nodes and merges with such numbers; no inputs, which stand in no definition."""
    functions = st.builds(lambda name, found: function(name, *found), NAMES, st.lists(numbers, max_size=2))
    places = st.none() | initializers_of(numbers)
    locals_ = st.none() | st.builds(local, places, places)
    return (
        st.builds(layer, NAMES, st.none() | widths, functions, st.none(), locals_)
        | st.builds(layer, NAMES, widths, functions, functions, locals_)
        | st.builds(merge, NAMES, NAMES, NAMES, st.none() | steps)
    )


def splits_of(nodes):
    branches = st.lists(st.lists(nodes, max_size=3).map(tuple), min_size=1, max_size=3)
    return st.builds(lambda name, parts: split(name, *parts), NAMES, branches)


def nodes_of(leaves):
    return st.recursive(leaves, splits_of, max_leaves=12)


NODES = nodes_of(leaves_of(NUMBERS, WIDTHS, STEPS) | st.builds(layer, NAMES, WIDTHS))
INITIALIZERS = initializers_of(NUMBERS)


@st.composite
def definitions_of(draw):
    taken = st.lists(NAMES.filter(lambda name: name != "width"), max_size=2, unique=True)
    parameters = tuple((name, draw(st.none() | NUMBERS)) for name in draw(taken))
    known = [st.sampled_from([reference(name) for name, _ in parameters])] if parameters else []
    numbers = st.one_of(NUMBERS, *known)
    widths, steps = st.one_of(WIDTHS, st.just(reference("width")), *known), st.one_of(STEPS, *known)
    nodes = draw(st.lists(nodes_of(leaves_of(numbers, widths, steps)), min_size=1, max_size=3))
    return definition(draw(NAMES), parameters, *nodes)


MODELS = st.builds(
    lambda weight, bias, nodes, cells: model(weight, bias, *nodes, definitions=tuple(cells)),
    INITIALIZERS,
    INITIALIZERS,
    st.lists(NODES, min_size=1, max_size=6),
    st.lists(definitions_of(), max_size=2),
)


@settings(max_examples=60, deadline=None)
@given(MODELS)
def test_parsing_what_is_printed_gives_the_tree_back(tree):
    text = to_text(tree)
    assert parse(text) == tree
    assert to_text(parse(text)) == text
    assert text.isascii()
    assert all(line == line.rstrip() for line in text.splitlines())


def dense_text_of(tree):
    """The form that `to_text` chooses for trees too large for the readable one."""
    return printer._print(tree, printer._DENSE)


SPELLINGS = st.from_regex(r"[+-]?([0-9]{1,20}\.?[0-9]{0,6}|\.[0-9]{1,6})([eE][+-]?[0-9]{1,3})?", fullmatch=True)


@settings(max_examples=200, deadline=None)
@given(SPELLINGS.filter(lambda spelling: math.isfinite(float(spelling))))
def test_the_dense_form_is_never_longer_than_the_text(spelling):
    """So the canonical text of a model stays within the limit of size that the model's own text kept."""
    text = f"/a {spelling},b/(c,4,<f>)[s,(d,<f,{spelling}>)|{{m,o,p}}]"
    dense = dense_text_of(parse(text))
    assert len(dense) <= len(text)
    assert parse(dense) == parse(text)


@pytest.mark.parametrize(
    ("number", "dense"),
    [
        ("100000", "1e5"),
        ("1e15", "1e15"),
        ("0.5", ".5"),
        ("-0.001", "-.001"),
        ("0.00001", "1e-5"),
        ("1500000000", "15e8"),
        ("12.5", "12.5"),
        ("0", "0"),
        ("-0", "-0"),
        ("1.25e300", "125e298"),
        ("10000000000000002", "10000000000000002"),
        ("1.5e-9", "15e-10"),
        ("-1234.5", "-1234.5"),
        ("4.9e-324", "5e-324"),
    ],
)
def test_dense_numbers(number, dense):
    assert dense_text_of(parse(f"/a {number},b/(c,4)")) == f"/a {dense},b/(c,4)"


def test_a_large_model_is_printed_densely():
    text = "/a,b/" + "[s," * 100 + "(c,<f,1e15>)" * 9_900 + "]" * 100
    tree = parse(text)
    assert to_text(tree) == text
    assert parse(to_text(tree)) == tree


def test_deep_models_are_compared_hashed_shown_and_printed():
    tree = parse("/a,b/" + "[s,|" * 100 + "(c,4)" + "]" * 100)
    again = parse(to_text(tree))
    assert again == tree
    assert hash(again) == hash(tree)
    assert repr(again).count("Split(") == 100


def test_many_calls_are_quick():
    start = time.process_time()
    for _ in range(200):
        parse(EVERYTHING)
    assert time.process_time() - start < 2


def test_a_text_of_a_mebibyte_is_read_in_linear_time():
    def seconds(pipes):
        start = time.process_time()
        parse(f"/a,b/[c,{'|' * pipes}]")
        return time.process_time() - start

    assert min(seconds(80_000) for _ in range(2)) < 25 * min(seconds(8_000) for _ in range(3))


def test_threads_do_not_disturb_each_other():
    texts = [f"/a,b/(input{index},4)" + f"[s{index},(x,<f>)|]" * 20 for index in range(8)]
    wrong = [text + f"(y{index}" for index, text in enumerate(texts)]
    trees = [parse(text) for text in texts]
    seen = []

    def work(index):
        for _ in range(10):
            seen.append(parse(texts[index]) == trees[index])
            try:
                parse(wrong[index])
            except MDLError as error:
                seen.append(error.column == len(wrong[index]) + 1)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 160


def run_python(*arguments, cwd):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd, timeout=60)


CHILD = """
import sys, threading
sys.path[:0] = {path!r}
from neuromorph.language import parse
results = []
threads = [threading.Thread(target=lambda: results.append(parse("/a,b/(c,4)"))) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(set(results)) == 1 and len(results) == 4
"""


def test_a_first_parse_in_several_threads_writes_no_files_and_needs_no_asserts(tmp_path):
    done = run_python("-O", "-c", CHILD.format(path=sys.path), cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_texts_are_read_without_docstrings(tmp_path):
    child = f"""import sys; sys.path[:0] = {sys.path!r}
import neuromorph as nm
print(nm.build.__doc__)
text = "/xavier,zero/ (a, 2) (h, 3, <lstm>) (b, 1, <linear>, <mse>)"
with nm.build(nm.compile(text, 1, 0.1, tier="instant"), seed=1) as model:
    print(nm.predict(model, [[[1.0, 2.0]]]).shape)
"""
    done = run_python("-OO", "-c", child, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "None\n(1, 1, 1)\n", "")


def test_the_grammar_has_no_conflicts_and_nothing_unused():
    class Log:
        def __init__(self):
            self.lines = []

        def warning(self, message, *arguments):
            self.lines.append(message % arguments)

        error = warning

        def debug(self, message, *arguments):
            """Progress, of no interest."""

    log = Log()
    yacc.yacc(module=parser, write_tables=False, debug=True, debuglog=yacc.NullLogger(), errorlog=log)
    assert log.lines == ["no p_error() function is defined"]  # each parse brings its own
