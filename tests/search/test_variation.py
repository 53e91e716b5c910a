"""Random, changed and crossed texts: legal, within limits, in canonical form."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import neuromorph as nm
from neuromorph import search
from neuromorph.errors import MDLError
from neuromorph.graph import build_graph
from neuromorph.language import parse, to_text
from neuromorph.search.setting import Setting, drawn
from neuromorph.search.variation import varied

LIMITS = search.Limits(nodes=24, parameters=300, multiplications=600, width=8, delay=3)
OWN_CELL = """
/xavier,zero/
<slow, rate 0.1>[{change, state, subtractive, 1} (part, <times, rate>) {state, state, additive, 1}]
(input, 3) (a, 4, <tanh>) (b, 4, <slow>) (output, 2, <linear>, <mse>)
"""


def check(text: str, limits: search.Limits = LIMITS) -> None:
    """Assert that a text compiles without warnings, is within limits, and is what its genome is printed as."""
    model = parse(text)
    graph = build_graph(model)
    assert all(node.live for node in graph.nodes)
    assert not limits.broken_by(search.size_of(graph))
    assert to_text(model) == text
    assert search.write(search.read(text)) == text


def population(seed: int, count: int, **options: object) -> Iterator[str]:
    rng = np.random.default_rng(seed)
    given = {"inputs": 3, "outputs": 2, "limits": LIMITS} | options
    for _ in range(count):
        yield search.random_text(rng, **given)  # type: ignore[arg-type]


def test_random_texts_are_legal_within_limits_and_differ() -> None:
    texts = list(population(0, 100))
    for text in texts:
        check(text)
    assert len(set(texts)) > 85
    assert sum(build_graph(parse(text)).has_time_links for text in texts) > 30


def test_no_text_that_operations_make_is_warned_of() -> None:
    texts = list(population(4, 20))
    rng = np.random.default_rng(4)
    for text in (*texts, *(search.mutate(text, rng, limits=LIMITS) for text in texts)):
        assert nm.check(text) == ()


def test_mutated_texts_are_legal_within_limits_and_differ_from_their_parents() -> None:
    rng = np.random.default_rng(1)
    texts = list(population(1, 10))
    for _ in range(15):
        for place, text in enumerate(texts):
            texts[place] = search.mutate(text, rng, limits=LIMITS)
            check(texts[place])
            assert texts[place] != text


@pytest.mark.parametrize("body", ["(a, 4, <relu, 5.9>) (b, 4, <swish, 5.9>)", "(c, 2, <conv, 2, 4>) (d, <gain, 2>)"])
def test_texts_with_numbers_that_may_be_wrong_can_be_changed(body: str) -> None:
    """Errors and warnings name the places of numbers, which a genome does not have."""
    text = f"/xavier,zero/ (input, 4) {body} (output, 4, <sigmoid>, <mse, 4>)"
    rng = np.random.default_rng(0)
    for _ in range(40):
        changed = search.mutate(text, rng)
        nm.check(changed)
        assert search.write(search.read(changed)) == changed != text


def test_crossed_texts_are_legal_within_limits() -> None:
    rng = np.random.default_rng(2)
    texts = list(population(2, 30))
    made = set()
    for _ in range(50):
        a, b = drawn(rng, texts), drawn(rng, texts)
        try:
            child = search.crossover(a, b, rng, limits=LIMITS)
        except search.SearchError:  # nothing of b fits
            continue
        check(child)
        made.add(child)
    assert len(made) > 35


@pytest.mark.parametrize("name", search.OPERATIONS)
def test_every_operation_applies_to_many_texts(name: str) -> None:
    """Alone, each gives a legal text for most parents that it fits."""
    rng = np.random.default_rng(3)
    alone = {name: search.OPERATIONS[name]}
    made = 0
    for text in population(3, 16, changes=6):
        try:
            check(search.mutate(text, rng, limits=LIMITS, operations=alone))
        except search.SearchError:
            continue
        made += 1
    assert made >= 4, name


def test_reading_a_text_gives_the_genome_that_it_was_written_from() -> None:
    """Also the order of the nodes, so that a search that goes on draws the same ones."""
    rng = np.random.default_rng(9)
    genome = search.read(search.random_text(rng, inputs=2, outputs=1, changes=6))
    for _ in range(30):
        genome, _ = varied(genome, rng, Setting(), search.OPERATIONS)
        assert search.read(search.write(genome)) == genome


def test_one_seed_gives_one_text() -> None:
    a, b = (search.random_text(7, inputs=2, outputs=1) for _ in range(2))
    assert a == b
    assert search.mutate(a, 5) == search.mutate(a, 5) != search.mutate(a, 6)
    other = search.random_text(8, inputs=2, outputs=1, changes=9)
    assert search.crossover(a, other, 3) == search.crossover(a, other, 3)


def test_a_generator_goes_on_from_call_to_call() -> None:
    rng = np.random.default_rng(0)
    first, second = (search.random_text(rng, inputs=2, outputs=1, changes=6) for _ in range(2))
    assert first != second


def test_without_delays_no_link_reaches_back_in_time() -> None:
    limits = search.Limits(delay=0)
    rng = np.random.default_rng(0)
    for text in population(5, 40, limits=limits):
        changed = search.mutate(text, rng, limits=limits, changes=3)
        assert not build_graph(parse(changed)).has_time_links


def test_choices_are_all_that_new_nodes_are_made_of() -> None:
    choices = search.Choices(activations=("tanh",), merges=("additive",), elementwise=(), cells=())
    for text in population(6, 40, choices=choices):
        functions = {gene.function for gene in search.read(text)}
        assert functions <= {"", "linear", "tanh", "additive", "scale", "take"}


def test_changes_is_the_number_of_operations() -> None:
    assert len(search.read(search.random_text(0, inputs=2, outputs=1, changes=0))) == 2
    few, many = (search.random_text(0, inputs=2, outputs=1, changes=count) for count in (1, 12))
    assert len(search.read(few)) < len(search.read(many))
    text = next(population(0, 1))
    assert search.mutate(text, 0, changes=3) != search.mutate(text, 0, changes=1)


def test_the_output_has_the_loss_and_the_activation_that_goes_with_it() -> None:
    for loss, activation in (("mse", "linear"), ("cross_entropy", "softmax"), ("binary_cross_entropy", "sigmoid")):
        assert f"<{activation}>, <{loss}>)" in search.random_text(0, inputs=2, outputs=2, loss=loss)
    text = search.random_text(0, inputs=2, outputs=2, loss="huber, 0.5", activation="tanh", initializers="he,zero")
    assert text.startswith("/he,zero/")
    assert text.rstrip().endswith("(output, 2, <tanh>, <huber, 0.5>)")


def test_cells_that_a_text_defines_are_kept_and_used() -> None:
    rng = np.random.default_rng(0)
    choices = search.Choices(cells=())
    found = 0
    for _ in range(40):
        child = search.mutate(OWN_CELL, rng, choices=choices, changes=2)
        check(child, search.Limits())
        found += child.count("<slow") > 2
        assert ("<slow, rate 0.1>[" in child) == any(gene.function == "slow" for gene in search.read(child))
    assert found


def test_an_operation_of_ones_own_is_used() -> None:
    def double(genome: search.Genome, rng: np.random.Generator, setting: Setting) -> search.Genome | None:
        wide = [gene for gene in genome if gene.width and not gene.is_fixed]
        return genome.replaced(*(gene.but(width=2 * (gene.width or 0)) for gene in wide)) if wide else None

    mine = {"double": search.Operation(double)}
    text = "/xavier,zero/ (input, 3) (a, 4, <tanh>) (output, 2, <linear>, <mse>)"
    assert "(a, 8, <tanh>)" in search.mutate(text, 0, operations=mine)
    assert search.mutate(text, 0, operations={**search.OPERATIONS, **mine})


# Bad input ------------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_within_the_limits_is_refused_with_a_reason() -> None:
    with pytest.raises(search.SearchError, match=r"the output alone is beyond the limits: parameters 8 > 5"):
        search.random_text(0, inputs=3, outputs=2, limits=search.Limits(parameters=5))
    text = "/xavier,zero/ (input, 3) (a, 40, <tanh>) (output, 2, <linear>, <mse>)"
    with pytest.raises(search.SearchError, match=r"the text itself is beyond them: parameters 242 > 20, width 40 > 16"):
        search.mutate(text, 0, limits=search.Limits(parameters=20), operations={"add": search.OPERATIONS["add"]})
    assert len(search.read(search.mutate(text, 0))) == 2, "only a smaller text is within the limits"


def test_texts_of_different_inputs_are_not_crossed() -> None:
    a, b = (search.random_text(0, inputs=inputs, outputs=1) for inputs in (2, 3))
    with pytest.raises(ValueError, match="have the widths 2 and 3: only texts for the same data"):
        search.crossover(a, b, 0)


def test_texts_that_define_different_cells_of_one_name_are_not_crossed() -> None:
    with pytest.raises(search.SearchError, match="different cells with the name 'slow': rename one"):
        search.crossover(OWN_CELL, OWN_CELL.replace("rate 0.1", "rate 0.2"), 0)


def test_nothing_of_a_text_without_inner_nodes_can_be_crossed() -> None:
    small = "/xavier,zero/ (input, 3) (output, 2, <linear>, <mse>)"
    with pytest.raises(search.SearchError, match="drawn parts of the second text"):
        search.crossover(OWN_CELL, small, 0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"inputs": 0}, ValueError, "inputs must be at least 1"),
        ({"outputs": 2.5}, TypeError, "outputs must be a whole number"),
        ({"outputs": 1 << 21}, ValueError, "outputs must be at most 1,048,576"),
        ({"changes": -1}, ValueError, "changes must be at least 0"),
        ({"loss": "msee"}, MDLError, "did you mean 'mse'"),
        ({"loss": None}, TypeError, "loss must be a text, not None"),
        ({"activation": "tahn"}, MDLError, "did you mean 'tanh'"),
        ({"initializers": "zero,xavier"}, MDLError, "is a bias initialiser"),
        ({"limits": 3}, TypeError, r"limits must be search.Limits\(…\), not 3"),
        ({"choices": ()}, TypeError, r"choices must be search.Choices\(…\)"),
        ({"operations": ["add"]}, TypeError, "operations must be a dict of search.Operation by name"),
        ({"operations": {"add": print}}, TypeError, r"operations\['add'\] must be a search.Operation"),
        ({"operations": {"add": search.Operation(print, 0.0)}}, ValueError, "at least one operation with a weight"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        search.random_text(0, **({"inputs": 2, "outputs": 1} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("rng", [None, -1, 1.5, True, "0"])
def test_a_wrong_generator_is_refused(rng: object) -> None:
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator or a seed"):
        search.mutate(OWN_CELL, rng)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: search.Limits(nodes=1), ValueError, "Limits: nodes must be at least 2"),
        (lambda: search.Limits(delay=5000), ValueError, "Limits: delay must be at most 4,096, not 5,000"),
        (lambda: search.Limits(width="8"), TypeError, "Limits: width must be a whole number"),  # type: ignore[arg-type]
        (lambda: search.Choices(activations=("tahn",)), ValueError, "activations has 'tahn'.*did you mean 'tanh'"),
        (lambda: search.Choices(activations=()), ValueError, "activations needs at least one name"),
        (lambda: search.Choices(cells="lstm"), TypeError, r"cells must be a tuple of names.*\('lstm',\)"),  # type: ignore[arg-type]
        (lambda: search.Choices(merges=("dot",)), ValueError, "merges has 'dot', which operations can't use"),
        (lambda: search.Operation("add"), TypeError, "change must be a function of"),  # type: ignore[arg-type]
        (lambda: search.Operation(print, -1.0), ValueError, "weight must be a finite number >= 0"),
    ],
)
def test_wrong_limits_choices_and_operations_are_refused(make: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()  # type: ignore[operator]


def test_an_operation_that_returns_no_genome_is_named() -> None:
    with pytest.raises(TypeError, match="the operation 'mine' returned 'text': it must return a Genome or None"):
        search.mutate(OWN_CELL, 0, operations={"mine": search.Operation(lambda *_: "text")})  # type: ignore[arg-type, return-value]
