"""The passes from a graph to a plan, each on its own, and what must hold of every plan."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable

import pytest
from hypothesis import given

from helpers.growing_texts import in_line, layers, loops_in_line, norms, of_many_widths, one_loop, side_by_side
from helpers.paths import MODELS
from helpers.plans import all_operations, read, written
from helpers.random_models import bounded, models
from helpers.texts import GRU, HEADER, LSTM, STRUCTURES, text_of
from helpers.witnesses import check_plain, graph_of
from neuromorph.graph import Graph
from neuromorph.graph.recurrence import computing, domains_of, inputs_of, segments_of
from neuromorph.schedule import (
    EXTERNAL,
    WINDOW,
    Access,
    Bias,
    Block,
    Loss,
    Map,
    Note,
    Operation,
    Place,
    Places,
    Plan,
    Product,
    Reduce,
    Rows,
    Segment,
    padded,
    plan,
)
from neuromorph.schedule.passes import drop_dead_stores, fuse
from neuromorph.schedule.siblings import virtual_concatenations

LANES = 4
NOTE = Note(0, "", "")


def plan_of(text: str, *, training: bool = True, lanes: int = LANES, size: int = 4) -> Plan:
    return plan(graph_of(text), lanes, training=training, size=size)


def names(graph: Graph, indices: object) -> set[str]:
    """Names of nodes."""
    return {graph.nodes[index].name for index in indices}  # type: ignore[attr-defined]


def operations(segments: tuple[Segment, ...], kind: type, domain: int | None = None) -> list[Operation]:
    """All operations of a kind, of all segments or of those of one domain."""
    chosen = [segment for segment in segments if domain is None or segment.domain == domain]
    return [operation for segment in chosen for operation in segment.operations if isinstance(operation, kind)]


def products(segments: tuple[Segment, ...], kind: str, domain: int | None = None) -> list[tuple[int, int]]:
    """(group, part) of the products of a kind."""
    return [(op.group, op.part) for op in operations(segments, Product, domain) if op.kind == kind]  # type: ignore[union-attr]


def maps(segments: tuple[Segment, ...], domain: int | None = None) -> list[Map]:
    """All element-by-element statements."""
    return [m for block in operations(segments, Block, domain) for m in block.maps]  # type: ignore[union-attr]


# Time loops -----------------------------------------------------------------------------------------------------------


def loops(text: str) -> list[set[str]]:
    """The names of the nodes of each loop, in the order in which they run."""
    graph = graph_of(text)
    return [names(graph, nodes) for domain, nodes in segments_of(graph) if domain != WINDOW]


def test_without_links_back_in_time_everything_runs_at_once() -> None:
    graph = graph_of(text_of("(a, 4, <tanh>) [s, (b, 3, <tanh>)] {m, b, additive}"))
    assert segments_of(graph) == [(WINDOW, computing(graph))]
    assert {segment.domain for segment in plan_of(text_of("(a, 4, <tanh>)")).forward} == {WINDOW}


def test_only_a_cycle_through_time_is_a_loop() -> None:
    (loop,) = loops(LSTM)
    assert loop == {
        "xh", "in_gate", "candidate", "scaled", "out_gate", "forget_gate", "kept", "cell", "squashed", "hidden",
    }  # fmt: skip
    before_and_after = "(before, 4, <tanh>) {m, a, additive} (a, 4, <tanh>) (after, 4, <tanh>) (more, 3, <relu>)"
    assert loops(text_of(before_and_after)) == [{"m", "a"}]
    assert loops(text_of(STRUCTURES["sum over time"])) == [{"acc"}]


def test_cycles_that_share_no_node_are_loops_of_their_own() -> None:
    assert loops(text_of(STRUCTURES["two loops in line"])) == [{"m", "d"}, {"n", "g"}]
    assert sorted(loops(text_of(STRUCTURES["two loops side by side"])), key=min) == [{"m", "a"}, {"n", "b"}]
    assert loops(text_of(STRUCTURES["loop in a loop"])) == [{"m", "a", "n", "b", "f"}]


def test_a_node_between_two_loops_waits_for_the_first() -> None:
    graph = graph_of(text_of(STRUCTURES["two loops in line"] + "[t, (early, 4, <tanh>)] {last, early, average}"))
    order = [names(graph, nodes) for _, nodes in segments_of(graph)]
    assert [{"e"} <= nodes for nodes in order].index(True) == 2
    assert order[1] == {"m", "d"}
    assert order[3] == {"n", "g"}


@bounded(60)
@given(models())
def test_every_node_is_in_one_run_after_all_it_reads(text: str) -> None:
    graph = graph_of(text)
    runs, domains = segments_of(graph), domains_of(graph)
    done: set[int] = set()
    for domain, nodes in runs:
        for index in nodes:
            assert domains[index] == domain
            reads = list(inputs_of(graph, graph.nodes[index]))
            assert {other for other, late in reads if not late} <= done
            for other, late in reads:  # a link back in time never leaves its loop
                assert not late or (domain != WINDOW and domains[other] == domain)
            done.add(index)
    assert sorted(index for _, nodes in runs for index in nodes) == sorted(computing(graph))


# Groups and concatenations --------------------------------------------------------------------------------------------


def grouped(text: str) -> list[list[str]]:
    """The layers of each group."""
    found = plan_of(text)
    return [[found.graph.nodes[m.node].name for m in group.members] for group in found.groups]


def test_layers_that_read_one_vector_are_one_group() -> None:
    assert grouped(LSTM) == [["in_gate", "out_gate", "forget_gate", "candidate"], ["output"]]  # one activation together
    text = text_of("[s, (a, 3, <tanh>) | (b, 5, <relu>)] (c, 9, <gelu>) {m, a, additive} {n, b, additive}")
    assert grouped(text) == [["a", "b", "c"], ["output"]]
    (group, _) = plan_of(text).groups
    assert [(m.column, m.width) for m in group.members] == [(0, 3), (4, 5), (12, 9)]  # each in whole vectors
    assert (group.columns, group.fan_in) == (24, 3)


def test_layers_of_a_loop_and_layers_outside_are_groups_of_their_own() -> None:
    assert ["a"] in grouped(text_of(STRUCTURES["late, read outside"]))
    assert ["b"] in grouped(text_of(STRUCTURES["late, read outside"]))


def virtual(body: str) -> set[str]:
    """The concatenations that are never built."""
    graph = graph_of(text_of(body))
    return names(graph, virtual_concatenations(graph, domains_of(graph)))


def test_concatenations_that_only_layers_read_are_never_built() -> None:
    assert virtual("(a, 4, <tanh>) {m, input, concatenate}") == {"m"}
    assert virtual("(a, 4, <tanh>) {m, input, concatenate} (b, <tanh>)") == set()
    assert virtual("(a, 4, <tanh>) {m, input, concatenate} [s, (b, <tanh>)]") == {"m"}  # b is dead
    assert virtual("(a, 4, <tanh>) {m, input, concatenate} {n, a, concatenate}") == {"m", "n"}
    assert virtual("(a, 4, <tanh>) {m, input, concatenate} {n, a, concatenate} (b, <tanh>)") == set()
    assert virtual("(a, 4, <tanh>) {m, c, additive} {c, a, concatenate} (d, 3, <tanh>)") == set()  # c is read later


def test_a_concatenation_with_the_step_before_is_built_for_layers_outside_its_loop() -> None:
    assert virtual(STRUCTURES["virtual and late"]) == {"m"}
    assert virtual(STRUCTURES["late, read outside"]) == set()
    assert virtual(STRUCTURES["late, nested, read outside"]) == {"n"}


def test_where_layers_read_very_many_nodes_by_concatenations_long_ones_are_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of their nodes would be a product, and in a text of 400 characters there may be 262,144."""
    doubled = "(a, 4, <tanh>)" + "".join(f"{{c{n}, {f'c{n - 1}' if n else 'a'}, concatenate}}" for n in range(11))
    assert virtual(doubled) == {f"c{n}" for n in range(11)}  # 2,048 nodes
    assert virtual(doubled + "{c11, c10, concatenate}") == set()
    dense = "".join(f"[s{n}, (a{n}, 3, <tanh>) | ] {{c{n}, a{n}, concatenate}}" for n in range(12))
    assert virtual(dense) == {f"c{n}" for n in range(12)}
    check_plain(text_of(dense))
    rules = sys.modules["neuromorph.schedule.siblings"]
    monkeypatch.setattr(rules, "_MOST_PARTS", 50)
    assert virtual(dense) == set()  # the last one is built, and so are all that it reads
    two = "[s, (a, 3, <tanh>) | ] {c, a, concatenate}" + "".join(f"(b{n}, 4, <tanh>)" for n in range(2)) + dense
    assert virtual(two) == {"c"}
    check_plain(text_of(two))


def test_the_parts_of_a_virtual_concatenation_are_rows_of_the_weight() -> None:
    found = plan_of(text_of("(a, 4, <tanh>) {m, input, concatenate} {n, a, concatenate} (b, 2, <tanh>)", width=3))
    group = next(g for g in found.groups if found.graph.nodes[g.members[0].node].name == "b")
    parts = [(found.graph.nodes[p.node].name, p.shift, p.width, p.first_row) for p in group.parts]
    assert parts == [("a", 0, 4, 0), ("input", 0, 3, 4), ("a", 0, 4, 7)]
    gates = plan_of(LSTM).groups[0]
    assert [(p.shift, p.width, p.first_row) for p in gates.parts] == [(0, 3, 0), (-1, 5, 3)]


# What leaves the loop -------------------------------------------------------------------------------------------------


def test_what_does_not_depend_on_the_loop_leaves_it() -> None:
    found = plan_of(LSTM)
    assert [segment.domain for segment in found.forward] == [WINDOW, 0, WINDOW, WINDOW]
    assert products(found.forward[:1], "forward") == [(0, 0)]  # the input's rows, for the whole window, with the bias
    assert products(found.forward, "forward", 0) == [(0, 1)]
    assert [op.start for op in operations(found.forward, Product)] == ["bias", "add", "bias"]  # type: ignore[union-attr]
    assert isinstance(found.forward[-1].operations[0], Loss)


def test_weight_gradients_are_products_over_the_whole_window_at_the_end() -> None:
    for text in (LSTM, GRU, text_of(STRUCTURES["two loops in line"])):
        found = plan_of(text)
        last = found.backward[-1]
        assert last.domain == WINDOW
        wanted = [(g.index, n) for g in found.groups for n in range(len(g.parts))]
        assert products((last,), "weight") == wanted
        assert [op.group for op in operations((last,), Bias)] == [g.index for g in found.groups]  # type: ignore[union-attr]
        assert not products(found.backward[:-1], "weight")
        assert not operations(found.backward[:-1], Bias)


def test_the_gradient_of_the_input_is_never_made() -> None:
    found = plan_of(LSTM)
    assert found.transposed == ((1, 0), (0, 1))  # what goes back to hidden; nothing to the input
    alone = plan_of(f"{HEADER} (input, 3) (output, 2, <tanh>, <mse>)")
    assert alone.transposed == ()
    assert not products(alone.backward, "backward")
    merged = plan_of(text_of("{m, input, multiplicative} (a, <tanh>) {n, a, average} (b, 4, <tanh>)"))
    named = {place.buffer for op in all_operations(merged) for place in written(op)}
    assert not named & {"d0", "d1", "d2", "d3"}  # neither the input nor anything that has no parameter before it


def test_gradients_to_the_step_before_are_made_after_those_from_the_step_after_are_read() -> None:
    for name in ("late, read in two groups", "late, read after", "two layers carry one gradient"):
        found = plan_of(text_of(STRUCTURES[name]))
        for segment in found.backward:
            carried: set[str] = set()
            for operation in segment.operations:
                for access in read(operation):
                    adds = any(p == access.place for p in written(operation))
                    assert access.place.buffer not in carried or access.place.buffer[0] != "c" or adds
                carried |= {place.buffer for place in written(operation)}


def test_prediction_has_no_backward_pass_and_no_loss() -> None:
    found = plan_of(LSTM, training=False)
    assert found.backward == ()
    assert found.transposed == ()
    assert found.carries == ()
    assert not operations(found.forward, Loss)
    assert maps(found.forward)[-1].target == Place("y", 0, 2)
    assert found.groups == plan_of(LSTM).groups  # one layout of the weights serves both


# Fusion and stores ----------------------------------------------------------------------------------------------------


def statement(target: str, *sources: str, width: int = 4, column: int = 0) -> Map:
    """A map of whole buffers."""
    operands = tuple((f"x{n}", Access(Place(source, 0, width))) for n, source in enumerate(sources))
    return Map(Place(target, column, width), "x0", operands, width, NOTE)


def test_statements_of_one_padded_width_are_one_block() -> None:
    three, four, five = statement("v1", "v7", width=3), statement("v2", "v8"), statement("v3", "v9", width=5)
    assert fuse([three, four], LANES) == (Block((three, four)),)
    assert fuse([three, five, four], LANES) == (Block((three,)), Block((five,)), Block((four,)))
    rows = Rows("softmax", Place("v1", 0, 9), (Place("s0", 0, 9),), False, NOTE)
    assert fuse([three, rows, four], LANES) == (Block((three,)), rows, Block((four,)))
    assert fuse([], LANES) == ()


def test_statements_that_meet_under_other_columns_are_blocks_of_their_own() -> None:
    slice_of = Map(Place("v1", 2, 4), "x", (("x", Access(Place("v0", 0, 4))),), 4, NOTE, exact=True)
    whole = statement("v2", "v1")
    assert fuse([slice_of, whole], LANES) == (Block((slice_of,)), Block((whole,)))
    assert fuse([whole, slice_of], LANES) == (Block((whole,)), Block((slice_of,)))


def test_what_only_its_own_block_reads_is_not_stored() -> None:
    inner, last = statement("v1", "v0"), statement("v2", "v1")
    reader = statement("v3", "v2", width=9)
    segments = [Segment(WINDOW, fuse([inner, last, reader], LANES))]
    (kept,) = drop_dead_stores(segments, LANES, {"v3"})
    stores = {m.target.buffer: m.store for block in kept.operations for m in block.maps}  # type: ignore[union-attr]
    assert stores == {"v1": False, "v2": True, "v3": True}


def test_what_is_added_up_in_a_block_is_stored_once() -> None:
    first, again = statement("v1", "v0"), statement("v1", "v5")
    segments = [Segment(WINDOW, (Block((first, again)),))]
    (kept,) = drop_dead_stores(segments, LANES, {"v1"})
    assert [m.store for m in kept.operations[0].maps] == [False, True]  # type: ignore[union-attr]


def test_what_a_later_pass_over_the_row_reads_is_stored() -> None:
    """But for the numbers of a row, which stay in registers."""
    number, made = Place("m3", 0, LANES), statement("v1", "v0")
    total = Reduce(number, "x", (("x", Access(made.target)),), 4, NOTE, spread=True)
    by_number = (("x", Access(made.target)), ("o", Access(number, broadcast=True)))
    last = Map(Place("v2", 0, 4), "x - o", by_number, 4, NOTE)
    segments = [Segment(WINDOW, fuse([made, total, last], LANES))]
    (kept,) = drop_dead_stores(segments, LANES, {"v2"})
    (block,) = kept.operations
    assert isinstance(block, Block)
    assert [[m.target.buffer for m in statements] for statements in block.passes] == [["v1", "m3"], ["v2"]]
    assert {m.target.buffer: m.store for m in block.maps} == {"v1": True, "m3": False, "v2": True}


def test_a_norm_and_its_neighbours_are_one_block_of_few_passes() -> None:
    """Mean, deviation and values forward; both means together and gradients backward."""
    loop = "{xh, h, concatenate} (a, 16, <linear>) (n, <norm>) (h, <tanh>)"
    text = f"{HEADER} (input, 3) {loop} (output, 2, <linear>, <mse>)"
    found, predicted = plan_of(text), plan_of(text, training=False)
    assert not [op for op in all_operations(found) if isinstance(op, Reduce)]
    (forward,), (backward,) = (operations(segments, Block, 0) for segments in (found.forward, found.backward))
    assert (len(forward.passes), len(backward.passes)) == (3, 2)  # type: ignore[attr-defined]
    assert not [buffer.name for buffer in predicted.buffers if buffer.name.startswith("m")]


def test_a_cell_is_one_block_forward_and_one_backward() -> None:
    found = plan_of(LSTM, lanes=8)
    assert len(operations(found.forward, Block, 0)) == 1
    assert len(operations(found.backward, Block, 0)) == 1
    stored = {m.target.buffer for m in maps(found.forward, 0) if m.store}
    assert stored == {"s0", "v9", "v12", "v13"}  # gates, cell, its tanh and the hidden state; products are recomputed
    ahead = plan_of(LSTM, lanes=8, training=False)
    assert {m.target.buffer for m in maps(ahead.forward, 0) if m.store} == {"s0", "v9", "v13"}


def test_a_chain_of_activations_stays_in_registers() -> None:
    found = plan_of(text_of("(a, 4, <tanh>) (b, <relu>) (c, <sigmoid>) (d, <tanh>)"), training=False)
    chain = maps(found.forward)[:4]
    assert [m.store for m in chain] == [False, False, False, True]
    assert not {"v2", "v3"} & {buffer.name for buffer in found.buffers}


# Buffers --------------------------------------------------------------------------------------------------------------


def rows_of(text: str, *, training: bool) -> dict[str, str]:
    """The kind of rows of each buffer."""
    return {buffer.name: buffer.rows for buffer in plan_of(text, training=training, lanes=8).buffers}


def test_buffers_have_as_many_rows_as_their_use_needs() -> None:
    assert rows_of(LSTM, training=True) == {
        "c9": "step", "c13": "step", "d13": "window", "g0": "window", "g1": "window", "s0": "window",
        "s1": "window", "v9": "slots", "v12": "window", "v13": "slots",
    }  # fmt: skip
    assert rows_of(LSTM, training=False) == {"s0": "window", "s1": "window", "v9": "slots", "v13": "slots"}
    inside = text_of("{m, h, additive} (a, 5, <tanh>) (b, 9, <tanh>) (h, 4, <tanh>)")
    ahead = rows_of(inside, training=False)
    assert [ahead[name] for name in ("s0", "s1")] == ["step", "step"]  # only the loop's own step reads them


def test_rows_are_whole_vectors_and_never_half_a_kibibyte_apart() -> None:
    text = text_of("(a, 256, <tanh>) (b, 250, <tanh>) (c, 5, <tanh>) (d, 128, <tanh>)", width=7)
    for lanes, size in ((8, 4), (4, 8), (16, 4), (2, 8)):
        strides = plan_of(text, lanes=lanes, size=size).strides
        assert strides["x"] == 7  # the caller's own
        assert strides["y"] == 3
        for name in strides.keys() - EXTERNAL:
            assert strides[name] % lanes == 0
            assert strides[name] * size % 512 != 0
        assert strides["d1"] == 256 + 64 // size
        assert strides["d4"] == 128 + 64 // size
        assert strides["d3"] == padded(5, lanes)


def test_state_names_the_nodes_that_are_read_back_in_time() -> None:
    found = plan_of(LSTM)
    assert [(found.graph.nodes[index].name, buffer) for index, buffer in found.state] == [
        ("cell", "v9"),
        ("hidden", "v13"),
    ]


# What holds of every plan ---------------------------------------------------------------------------------------------


def covers(place: Place, columns: set[tuple[str, int]]) -> bool:
    return all((place.buffer, column) in columns for column in range(place.column, place.column + place.width))


def check_every_read_has_its_write(found: Plan) -> None:
    """All that is read of this step was written before, and what is read of another step is kept."""
    buffers = {buffer.name: buffer.rows for buffer in found.buffers}
    columns = {("x", column) for column in range(found.strides["x"])}
    columns |= {(name, column) for name in found.carries for column in range(found.strides[name])}
    for operation in all_operations(found):
        for access in read(operation):
            name = access.place.buffer
            assert name in buffers or name in EXTERNAL
            if access.shift:
                assert buffers[name] == "slots"
            elif isinstance(operation, Product) and operation.kind == "backward" and access.place.buffer[0] == "g":
                group = found.groups[operation.group]
                assert all(covers(Place(name, m.column, m.width), columns) for m in group.members)
            elif isinstance(operation, Product) and operation.start == "add" and operation.target == access.place:
                assert (name, access.place.column) in columns
            else:
                assert covers(access.place, columns), (operation, access)
        for place in written(operation):
            assert place.buffer in buffers or place.buffer in EXTERNAL
            assert place.column + place.width <= found.strides[place.buffer]
            columns |= {(place.buffer, column) for column in range(place.column, place.column + place.width)}


def check_step_buffers_stay_in_their_loop(found: Plan) -> None:
    """A buffer of one step is used by one loop only."""
    for buffer in found.buffers:
        if buffer.rows != "step":
            continue
        users = [
            segment.domain
            for segment in (*found.forward, *found.backward)
            if any(a.place.buffer == buffer.name for op in segment.operations for a in read(op))
            or any(p.buffer == buffer.name for op in segment.operations for p in written(op))
        ]
        assert len(users) <= 1
        assert WINDOW not in users


def check_plan(text: str, lanes: int) -> None:
    for training in (True, False):
        found = plan_of(text, training=training, lanes=lanes)
        check_every_read_has_its_write(found)
        check_step_buffers_stay_in_their_loop(found)
        widths = [[padded(m.width, lanes) for m in b.maps] for b in operations(found.forward, Block)]  # type: ignore[union-attr]
        assert all(len(set(block)) == 1 for block in widths)
        assert all(segment.operations for segment in (*found.forward, *found.backward))
        live = set(found.graph.parameters)
        assert {m.node for group in found.groups for m in group.members} == live


@bounded(60)
@given(models())
def test_what_holds_of_every_plan_holds_of_random_models(text: str) -> None:
    for lanes in (2, 8):
        check_plan(text, lanes)


@pytest.mark.parametrize("name", sorted(STRUCTURES))
def test_what_holds_of_every_plan_holds_of_every_structure(name: str) -> None:
    check_plan(text_of(STRUCTURES[name]), LANES)


@pytest.mark.parametrize("path", sorted(MODELS.glob("*.mdl")), ids=lambda path: path.stem)
def test_what_holds_of_every_plan_holds_of_the_examples(path) -> None:  # type: ignore[no-untyped-def]
    check_plan(path.read_text(), LANES)


# Large models ---------------------------------------------------------------------------------------------------------


def test_places_are_found_by_the_columns_that_they_share() -> None:
    rng = random.Random(4)
    for _ in range(300):
        drawn = [Place(rng.choice("vs"), rng.randrange(0, 40, 2), rng.randint(1, 20)) for _ in range(8)]
        known, asked = drawn[:4], drawn
        places = Places(LANES)
        for place in known:
            places.add(place)
        for place in asked:
            wanted = any(place != other and place.overlaps(other, LANES) for other in known)
            assert places.any_over(place) == wanted, (known, place)


def steps_of_work(work: Callable[[], object]) -> int:
    """How many functions are called and left."""
    count = 0

    def note(*_: object) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("body", [in_line, layers, side_by_side, of_many_widths, loops_in_line, one_loop, norms])
def test_work_grows_no_faster_than_the_model(body: Callable[[int], str]) -> None:
    """Four times the nodes; a text of 100 kB may have 10,000."""
    small, large = (graph_of(text_of(body(count))) for count in (60, 240))
    work = [steps_of_work(lambda graph=graph: plan(graph, LANES, training=True)) for graph in (small, large)]  # type: ignore[misc]
    assert work[1] < 4.6 * work[0]


def test_takes_between_concatenations_do_not_multiply_products() -> None:
    """A layer reads through takes, so what they take counts among its parts."""
    nodes = "(a, 2, <tanh>)"
    last = "a"
    for level in range(5):
        names = [f"c{level}_{number}" for number in range(11)]
        nodes += "".join(f" {{{name}, {last}, concatenate}}" for name in names) + f" {{t{level}, {names[-1]}, take}}"
        last = f"t{level}"
    found = plan(graph_of(f"{HEADER} (input, 1) {nodes} (output, 2, <tanh>, <mse>)"), LANES, training=True)
    assert len(all_operations(found)) < 2_000
