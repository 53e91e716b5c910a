"""Pictures of a model: what is in them, where it stands, and that texts of any kind stay texts."""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import neuromorph as nm
from helpers import witnesses
from helpers.paths import MODELS
from neuromorph.drawing import Drawing, draw, layout
from neuromorph.drawing.columns import place_columns
from neuromorph.drawing.geometry import GAP, Box, Link, Point, Size, lanes, rounded
from neuromorph.drawing.labels import DETAIL_SIZE, NAME_SIZE, label_of, text_width
from neuromorph.drawing.layout import lay_out, links_of
from neuromorph.drawing.rows import crossings, make_rows, ranks, topological, vertex_count
from neuromorph.drawing.svg import escape
from neuromorph.graph import Graph

SVG = "{http://www.w3.org/2000/svg}"
HEAD, END = "/xavier,zero/ (in, 4) ", " (out, 4, <tanh>, <mse>)"
LSTM = f"""/xavier,zero/ (input, 8) {{xh, recur, concatenate}}
    [gates, (in_gate, 16, <sigmoid>) | (candidate, 16, <tanh>) {{scaled, in_gate, multiplicative}} | (g, 16, <sigmoid>)]
    (forget_gate, 16, <sigmoid>) {{kept, memory, multiplicative}} {{cell, scaled, additive}} [m, [memory,]]
    (squashed, <tanh>) {{hidden, g, multiplicative}} {{acc, acc, additive}} [h, [recur,]] {END}"""
TWICE = (
    HEAD + "{twice, in, additive} {far, in, subtractive} [s, {x, x, additive} | {y, x, average}] {z, s, additive}" + END
)


def random_text(seed: int, count: int) -> str:
    """A model of ``count`` nodes, nested splits and merges with nodes from anywhere among them."""
    rng, names = random.Random(seed), ["n0"]

    def node(depth: int) -> str:
        name = f"n{len(names)}"
        names.append(name)
        kind = rng.choice(["layer"] * 5 + ["merge"] * 4 + ["split"] * 3 + ["activation"])
        if kind == "split" and depth < 3:
            return f"[{name}, {'|'.join(nodes(depth + 1, rng.randint(0, 3)) for _ in range(rng.randint(1, 3)))}]"
        if kind == "merge":
            return f"{{{name}, @{rng.randrange(10**6)}@, {rng.choice(['additive', 'multiplicative', 'average'])}}}"
        return f"({name}, <sigmoid>)" if kind == "activation" else f"({name}, {rng.choice([4, 16, 128])}, <swish, 1.5>)"

    def nodes(depth: int, many: int) -> str:
        return " ".join(node(depth) for _ in range(many) if len(names) < count - 1)

    body = ""
    while len(names) < count - 1:
        body += node(0)
    text = f"/xavier,zero/ (n0, 4) {body} (output, 4, <sigmoid>, <mse>)"
    return re.sub(r"@(\d+)@", lambda match: names[int(match[1]) % len(names)], text)


TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in sorted(MODELS.glob("*.mdl"))}
TEXTS |= {f"random{seed}": random_text(seed, 40) for seed in range(6)} | {"lstm": LSTM, "twice": TWICE}
TEXTS["loops"] = HEAD + "{first, acc, additive} [s, {acc, acc, additive} | (b, 9, <tanh>)] {far, b, average}" + END
LATE = "".join(f"{{m{n}, a{n}, additive}}" for n in range(7))
BESIDE = "|".join(f"{{x{n}, y{n}, average}}(a{n}, 4, <tanh>)(y{n}, 4, <tanh>)" for n in range(7))
TEXTS["tracks"] = f"{HEAD}{LATE}[s, {BESIDE}]{END}"
TEXTS["random70"] = random_text(9, 70)


@dataclasses.dataclass(frozen=True)
class Picture:
    """An SVG read back: the viewBox, boxes and texts by node, line points and arrow by link."""

    frame: Box
    boxes: dict[int, Box]
    texts: dict[int, list[Box]]
    links: list[tuple[Link, list[Point], list[Point]]]
    classes: dict[int, list[str]]
    dead_links: set[tuple[int, int]]


def read(svg: str) -> Picture:
    """What an SVG shows, from its text alone."""
    root = ET.fromstring(svg)
    x, y, width, height = map(float, root.attrib["viewBox"].split())
    groups = root.findall(f"{SVG}g")
    nodes = {int(g.attrib["data-node"]): g for g in groups if "data-node" in g.attrib}
    links = [g for g in groups if "data-from" in g.attrib]
    assert len(nodes) + len(links) == len(groups)
    return Picture(
        Box(x + width / 2, y + height / 2, width, height),
        {node: box_of(found(g, "rect")) for node, g in nodes.items()},
        {node: [text_box(text) for text in g.findall(f"{SVG}text")] for node, g in nodes.items()},
        [(link_of(g), *(sampled(path.attrib["d"]) for path in g.findall(f"{SVG}path"))) for g in links],
        {node: g.attrib["class"].split() for node, g in nodes.items()},
        {(link_of(g).source, link_of(g).target) for g in links if "dead" in g.attrib["class"].split()},
    )


def found(group: ET.Element, tag: str) -> ET.Element:
    element = group.find(f"{SVG}{tag}")
    assert element is not None
    return element


def box_of(rect: ET.Element) -> Box:
    x, y, width, height = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
    return Box(x + width / 2, y + height / 2, width, height)


def text_box(text: ET.Element) -> Box:
    """The room that a text takes: letters reach above and below the line that they stand on."""
    size = NAME_SIZE if text.attrib["class"] == "name" else DETAIL_SIZE
    x, base = float(text.attrib["x"]), float(text.attrib["y"])
    return Box(x, base - 0.26 * size, text_width(text.text or "", size), 0.98 * size)


def link_of(group: ET.Element) -> Link:
    """The link that a group draws; its role is its second class."""
    return Link(int(group.attrib["data-from"]), int(group.attrib["data-to"]), group.attrib["class"].split()[1])  # type: ignore[arg-type]


def sampled(d: str) -> list[Point]:
    """Points along a path of M, L, Q, C and Z, close to one another."""
    points: list[Point] = []
    for command, numbers in re.findall(r"([MLQCZ])([^MLQCZ]*)", d):
        given = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", numbers)]
        step = list(zip(given[::2], given[1::2], strict=True))
        assert len(step) == {"M": 1, "L": 1, "Q": 2, "C": 3, "Z": 0}[command]
        points += bezier([points[-1], *step]) if points and step else step
    return points


def bezier(control: list[Point]) -> Iterator[Point]:
    """De Casteljau's points of a curve, at most 4 pixels apart."""
    count = max(8, int(max(abs(a[n] - b[n]) for a, b in itertools.pairwise(control) for n in (0, 1)) / 4))
    for share in (number / count for number in range(1, count + 1)):
        points = control
        while len(points) > 1:
            points = [
                (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share) for a, b in itertools.pairwise(points)
            ]
        yield points[0]


def overlap(one: Box, other: Box, slack: float = 0.1) -> bool:
    apart = one.right <= other.left + slack or other.right <= one.left + slack
    return not apart and not (one.bottom <= other.top + slack or other.bottom <= one.top + slack)


def inside(point: Point, box: Box, slack: float = 0.1) -> bool:
    return box.left - slack <= point[0] <= box.right + slack and box.top - slack <= point[1] <= box.bottom + slack


def corners(box: Box) -> list[Point]:
    return [(box.left, box.top), (box.right, box.bottom)]


def check(graph: Graph, picture: Picture) -> None:
    """All that must hold for every picture."""
    check_contents(graph, picture)
    check_texts(picture)
    for one, other in itertools.combinations(picture.boxes.values(), 2):
        assert not overlap(one, other, -4.0), f"boxes touch: {one} {other}"
    for link, line, arrow in picture.links:
        check_line(picture, link, line, arrow)


def check_contents(graph: Graph, picture: Picture) -> None:
    """Every node and every link, dead ones too, each once and as what it is."""
    assert sorted(picture.boxes) == [node.index for node in graph.nodes]
    assert Counter(link for link, _, _ in picture.links) == Counter(links_of(graph))
    for node in graph.nodes:
        kind = "output" if node.index == graph.output else node.kind
        assert picture.classes[node.index] == ["node", kind, *([] if node.live else ["dead"])]
    live = [node.live for node in graph.nodes]
    dead = {(link.source, link.target) for link, _, _ in picture.links if not (live[link.source] and live[link.target])}
    assert picture.dead_links == dead


def check_texts(picture: Picture) -> None:
    """Texts lie inside their own box, away from its border, and not over one another."""
    for node, texts in picture.texts.items():
        box = picture.boxes[node]
        assert texts
        for text in texts:
            assert all(inside(corner, Box(box.x, box.y, box.width - 12, box.height - 4)) for corner in corners(text))
        assert not any(overlap(one, other) for one, other in itertools.combinations(texts, 2))
        assert all(inside(corner, picture.frame, -10) for corner in corners(box)), "a box is clipped"


def check_line(picture: Picture, link: Link, line: list[Point], arrow: list[Point]) -> None:
    """A line goes from its source to its target, inside the frame, and around every other box."""
    source, target = picture.boxes[link.source], picture.boxes[link.target]
    assert on_border(line[0], source), f"{link} starts at {line[0]}, not at {source}"
    assert on_border(arrow[0], target), f"{link} ends at {arrow[0]}, not at {target}"
    assert all(inside(point, picture.frame, -2) for point in [*line, *arrow]), f"{link} is clipped"
    for node, box in picture.boxes.items():
        near = [point for point in [*line, *arrow] if inside(point, box, 1.0)]
        if node == link.source:
            near = [point for point in near if not inside(point, Box(*line[0], 8, 8))]
        elif node == link.target:
            near = [point for point in near if not inside(point, Box(*arrow[0], 10, 10))]
        if link.source != link.target:
            assert not near, f"{link} runs through node {node} at {near[0]}"


def on_border(point: Point, box: Box) -> bool:
    """On the border of a box, or at most 2 pixels inside it."""
    deep = Box(box.x, box.y, box.width - 4.1, box.height - 4.1)
    return inside(point, box) and not inside(point, deep, 0.0)


# What stands where ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_everything_is_there_and_nothing_overlaps(name: str) -> None:
    graph = witnesses.graph_of(TEXTS[name])
    check(graph, read(draw(graph).svg))


@pytest.mark.parametrize("name", ["lstm-model", "twice", "random2", "random70", "big-model"])
def test_one_column_keeps_the_same_promises(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "LARGE", 0)
    graph = witnesses.graph_of(TEXTS[name])
    picture = read(draw(graph).svg)
    check(graph, picture)
    assert {box.x for box in picture.boxes.values()} == {0.0}


@pytest.mark.parametrize("name", TEXTS)
def test_data_flow_down_and_time_runs_against_them(name: str) -> None:
    picture = read(draw(witnesses.graph_of(TEXTS[name])).svg)
    for link, line, arrow in picture.links:
        heights = [y for _, y in line]
        if link.role == "time":
            assert picture.boxes[link.target].top <= picture.boxes[link.source].top
            assert arrow[0][1] < heights[0]
        else:
            assert all(above <= below + 0.02 for above, below in itertools.pairwise(heights)), f"{link} goes up"
            assert picture.boxes[link.source].bottom + 36 < picture.boxes[link.target].top


@pytest.mark.parametrize(
    "nodes",
    [
        "(a, 4, <tanh>){b, a, additive}{late, a, additive, 3}",
        "(a, 4, <tanh>)[s, {b, a, additive, 1} (c, 4, <tanh>)](d, 4, <tanh>){e, b, additive, 2}{f, a, additive, 1}",
        "{first, a, additive, 1}(a, 4, <tanh>){late, a, additive, 3}",
    ],
    ids=["down", "from a branch", "up and down"],
)
def test_links_in_time_may_read_what_stands_before(nodes: str) -> None:
    graph = witnesses.graph_of(HEAD + nodes + END)
    check(graph, read(draw(graph).svg))


@pytest.mark.parametrize(
    "nodes",
    [
        "(v, 4, <learned>)",
        "(a, 4, <tanh>)(b, 4, <tanh>){t, a, take}",
        "(a, 4, <tanh>)[s, {t, a, take, 2} (b, 4, <tanh>)]{m, b, additive}",
        "[s, (v, 4, <learned>) (w, 4, <tanh>) | (a, 4, <tanh>)(b, 4, <tanh>)]{m, w, additive}{n, v, additive}",
        "(h, 4, <gru>)(c, 4, <conv, 3, 2>)(k, <norm>)",
    ],
    ids=["a vector", "past a node", "of another step", "beside", "everything"],
)
def test_nodes_that_nothing_comes_into_have_their_place(nodes: str) -> None:
    graph = witnesses.graph_of(HEAD + nodes + END)
    check(graph, read(draw(graph).svg))


def test_a_learned_vector_stands_right_above_its_reader() -> None:
    nodes = "[s, (v, 4, <learned>) (w, <gain>)] (a, 4, <tanh>) (b, 4, <tanh>) (c, 4, <tanh>) {m, w, additive}"
    graph = witnesses.graph_of(HEAD + nodes + END)
    boxes = read(draw(graph).svg).boxes
    by_name = {node.name: boxes[node.index].y for node in graph.nodes}
    assert (by_name["v"], by_name["w"]) == (by_name["b"], by_name["c"])


FOLDED = HEAD + "(h, 4, <gru>) (k, 6, <lstm>) {m, h.reset, concatenate} (c, 4, <conv, 2>)" + END


def test_a_folded_cell_is_one_box_that_reads_itself() -> None:
    drawing = draw(witnesses.graph_of(FOLDED), folded=True)
    picture = read(drawing.svg)
    check(drawing.graph, picture)
    assert [words(drawing.svg, index)[:2] for index in (1, 2)] == [["h", "4 · <gru>"], ["k", "6 · <lstm>"]]
    assert words(drawing.svg, 1)[-1] == "h: cell <gru> of width 4"
    assert {(link.source, link.target) for link, _, _ in picture.links if link.role == "time"} == {(1, 1), (2, 2)}
    assert Link(1, 3, "merge") in {link for link, _, _ in picture.links}
    assert 'n1 [label="h\\n4 · <gru>", shape=box3d];' in drawing.dot


def test_a_folded_cell_says_how_many_steps_back_it_reads() -> None:
    cell = "<old>[{a, b, additive, 4} (b, <tanh>)]"
    text = f"/xavier,zero/ {cell} (in, 4) (h, 4, <old>) (k, 4, <leaky>)" + END
    drawing = draw(witnesses.graph_of(text), folded=True)
    assert "h up to 4 steps before" in words(drawing.svg, 1)
    assert "h up to 4 steps before" in drawing.dot
    assert not any("before" in word for word in words(drawing.svg, 2))


def test_a_plain_chain_is_a_straight_line() -> None:
    picture = read(draw(witnesses.graph_of(TEXTS["chain-model"])).svg)
    assert len({box.x for box in picture.boxes.values()}) == 1
    assert all(len({x for x, _ in line}) == 1 for _, line, _ in picture.links)


def test_branches_stand_side_by_side_in_text_order_around_their_split() -> None:
    graph = witnesses.graph_of(TEXTS["lstm-model"])
    boxes = read(draw(graph).svg).boxes
    at = {node.name: boxes[node.index] for node in graph.nodes}
    branches = [at[name] for name in ("include", "process", "add", "forget")]
    assert len({box.y for box in branches}) == 1
    assert branches[0].x < branches[1].x < min(branches[2].x, branches[3].x)
    assert branches[0].x < at["b"].x < max(box.x for box in branches)


def test_the_two_lines_of_a_merge_end_side_by_side() -> None:
    picture = read(draw(witnesses.graph_of(TWICE)).svg)
    ends = [arrow[0] for link, _, arrow in picture.links if (link.source, link.target) == (0, 1)]
    assert len(ends) == 2
    assert abs(ends[0][0] - ends[1][0]) >= 16


def test_links_in_time_that_meet_have_lanes_of_their_own() -> None:
    text = HEAD + "{a, c, additive}{b, d, additive}(c, 4, <tanh>)(d, 4, <tanh>)" + END
    picture = read(draw(witnesses.graph_of(text)).svg)
    lines = [line for link, line, _ in picture.links if link.role == "time"]
    middle = picture.boxes[0].x
    lane = [max((x for x, _ in line), key=lambda x: abs(x - middle)) for line in lines]
    assert len(lane) == 2
    assert abs(lane[0] - lane[1]) >= 10


def runs(line: list[Point], along: int) -> list[tuple[float, float, float]]:
    """The straight stretches of a line along an axis (0: x, 1: y): where it lies, from, to."""
    pairs = [(a, b) for a, b in itertools.pairwise(line) if abs(a[1 - along] - b[1 - along]) < 1e-6]
    return [(a[1 - along], *sorted((a[along], b[along]))) for a, b in pairs if abs(a[along] - b[along]) > 1.0]


@pytest.mark.parametrize("name", ["tracks", "loops", "random2", "random70"])
def test_lines_through_time_keep_apart_and_cross_others_at_right_angles(name: str) -> None:
    picture = read(draw(witnesses.graph_of(TEXTS[name])).svg)
    late = [(link, line) for link, line, _ in picture.links if link.role == "time"]
    now = [line for link, line, _ in picture.links if link.role != "time"]
    assert late
    for along in (0, 1):
        for (one, first), (other, second) in itertools.combinations(late, 2):
            for (a, low, high), (b, least, most) in itertools.product(runs(first, along), runs(second, along)):
                assert one.source == other.source or abs(a - b) > 4 or high <= least or most <= low
    for y, left, right in {run for _, line in late for run in runs(line, 0)}:
        for (x, above), (moved, below) in (pair for line in now for pair in itertools.pairwise(line)):
            assert abs(x - moved) < 1.5 or not (left < x < right and above < y < below)


def test_a_loop_from_a_node_to_itself_has_room() -> None:
    text = HEAD + "[s, {x, x, additive} | {y, y, additive}]" + END
    picture = read(draw(witnesses.graph_of(text)).svg)
    loops = [(picture.boxes[link.source], line, arrow) for link, line, arrow in picture.links if link.role == "time"]
    left, right = sorted(loops, key=lambda loop: loop[0].x)
    assert left[0].y == right[0].y
    for box, line, arrow in (left, right):
        assert arrow[0][1] < box.y < line[0][1]
        assert box.right + 10 < max(x for x, _ in line) < box.right + 20
    assert max(x for x, _ in left[1]) + 20 <= right[0].left


def test_a_tree_has_no_crossings_and_a_known_tangle_is_undone() -> None:
    tangled = "[s, (a, 4, <tanh>) | (b, 4, <tanh>) | (c, 4, <tanh>)] [r, {x, c, additive} | {y, b, additive}]"
    for text in (tangled, "[s, (a, 4, <tanh>) [t, (b, 4, <tanh>) | (c, 4, <tanh>)] | (d, 4, <tanh>)]"):
        graph = witnesses.graph_of(HEAD + text + END)
        links = links_of(graph)
        rows = make_rows(ranks(len(graph.nodes), links), links)
        assert crossings(rows.order, rows.lowers) == 0


# The parts of the layout ----------------------------------------------------------------------------------------------


def links_at_random(seed: int, count: int) -> list[Link]:
    """Each node reads an earlier one, and some a second one."""
    rng = random.Random(seed)
    links = [Link(rng.randrange(node), node, "flow") for node in range(1, count)]
    return links + [Link(rng.randrange(node), node, "merge") for node in range(2, count) if rng.random() < 0.4]


@pytest.mark.parametrize("seed", range(5))
def test_rows_hold_every_vertex_once_and_crossings_are_counted_right(seed: int) -> None:
    links = links_at_random(seed, 30)
    rank = ranks(30, links)
    rows = make_rows(rank, links)
    assert sorted(vertex for row in rows.order for vertex in row) == list(range(vertex_count(rank, links)))
    assert all(rows.rank[vertex] == number for number, row in enumerate(rows.order) for vertex in row)
    place = {vertex: place for row in rows.order for place, vertex in enumerate(row)}
    segments = [(upper, lower) for upper, many in enumerate(rows.lowers) for lower in many]
    pairs = itertools.combinations(segments, 2)
    crossing = [
        (place[a] - place[c]) * (place[b] - place[d]) < 0 for (a, b), (c, d) in pairs if rows.rank[a] == rows.rank[c]
    ]
    assert crossings(rows.order, rows.lowers) == sum(crossing)


@pytest.mark.parametrize("seed", range(5))
def test_columns_keep_order_and_distance_and_long_lines_straight(seed: int) -> None:
    links, rng = links_at_random(seed, 30), random.Random(seed)
    rows, widths = make_rows(ranks(30, links), links), [rng.uniform(40, 200) for _ in range(30)]
    xs = place_columns(rows, widths)
    for row in rows.order:
        for left, right in itertools.pairwise(row):
            least = sum(widths[v] / 2 + GAP / 2 for v in (left, right) if v < 30)
            assert xs[right] - xs[left] >= least - 1e-6
    bends = [(upper, lower) for upper in range(30, len(xs)) for lower in rows.lowers[upper] if lower >= 30]
    assert bends
    assert max(abs(xs[upper] - xs[lower]) for upper, lower in bends) < 1e-6


def test_nodes_come_after_what_they_read_the_smallest_first() -> None:
    links = [Link(0, 3, "flow"), Link(3, 1, "merge"), Link(0, 2, "flow"), Link(0, 1, "flow"), Link(1, 0, "time")]
    assert topological(4, links) == [0, 2, 3, 1]
    assert ranks(4, links) == [0, 2, 1, 1]


def test_lanes_are_apart_where_spans_meet_and_short_ones_lie_inside() -> None:
    rng = random.Random(3)
    spans = [tuple(sorted(rng.sample(range(40), 2))) for _ in range(60)]
    lane = lanes(spans)
    for (one, first), (other, second) in itertools.combinations(zip(spans, lane, strict=True), 2):
        assert first != second or one[1] < other[0] or other[1] < one[0]
    assert lanes([(0, 9), (2, 4), (5, 7), (3, 6)]) == [2, 0, 0, 1]
    assert lanes([]) == []


def test_corners_are_round_and_never_overshoot() -> None:
    assert rounded([(0, 0), (100, 0), (100, 100)]) == (((92.0, 0.0),), ((100, 0), (100.0, 8.0)), ((100, 100),))
    assert rounded([(0, 0), (4, 0), (4, 100)])[0] == ((2.0, 0.0),)
    assert rounded([(0, 0), (0, 0), (0, 9)])[-1] == ((0, 9),)


# What is written ------------------------------------------------------------------------------------------------------


def words(svg: str, index: int) -> list[str]:
    """The lines of text in a node, and its description last."""
    for group in ET.fromstring(svg).findall(f"{SVG}g"):
        if group.attrib.get("data-node") == str(index):
            return [text.text or "" for text in group.findall(f"{SVG}text")] + [found(group, "title").text or ""]
    raise AssertionError(f"no node {index}")


def test_what_is_written_in_each_kind_of_node() -> None:
    svg = draw(witnesses.graph_of(TEXTS["merge-model"])).svg
    graph = witnesses.graph_of(TEXTS["merge-model"])
    by_name = {node.name: words(svg, node.index) for node in graph.nodes}
    assert by_name["input"] == ["input", "128", "input: input of width 128"]
    assert by_name["time_travel"] == [
        "time_travel", "128 · average", "time_travel: merge of width 128, average with other of the step before",
    ]  # fmt: skip
    assert by_name["split"] == ["split", "split: split of width 128"]
    assert by_name["a"] == ["a", "144 · tanh", "a: layer of width 144"]
    assert by_name["output"][:3] == ["output", "16 · relu_parametric 0.6", "loss huber_modified 0.5"]
    assert words(draw(witnesses.graph_of(LSTM)).svg, 12)[1] == "16 · tanh"


def test_what_is_written_in_nodes_of_each_kind() -> None:
    nodes = "(a, <standardize>)(c, 8, <conv, 3, 2>){m, c, additive, 3}{n, a, maximum}(k, <norm>)(p, <prelu, 0.5>)"
    graph = witnesses.graph_of(HEAD + nodes + " (out, 4, <restore>, <mse>)")
    svg = draw(graph).svg
    by_name = {node.name: words(svg, node.index) for node in graph.nodes}
    assert by_name["a"] == ["a", "4 · standardize", "a: elementwise layer of width 4"]
    assert by_name["c"] == ["c", "8 · conv 3, dilation 2", "c: layer of width 8"]
    assert by_name["m"][1:] == ["8 · additive", "3 steps before", "m: merge of width 8, additive with c 3 steps before"]
    assert by_name["n"][1:] == ["8 · maximum", "n: merge of width 8, maximum with a"]
    assert (by_name["k"][1], by_name["p"][1]) == ("8 · norm 1e-05", "8 · prelu 0.5")
    assert by_name["out"] == ["out", "4 · restore", "loss mse", "out: output of width 4"]
    assert "m reads c 3 steps before" in svg
    assert ".nm-drawing .node.elementwise .box" in svg


def test_dead_nodes_say_so_and_are_grey() -> None:
    svg = draw(witnesses.graph_of(HEAD + "[s, (lost, 4, <tanh>)]" + END)).svg
    assert words(svg, 2)[-1] == "lost: layer of width 4 (dead: the output does not depend on it)"
    assert read(svg).classes[2] == ["node", "layer", "dead"]
    style = found(ET.fromstring(svg), "style").text or ""
    assert ".nm-drawing .node.dead .box{fill:#f5f5f5;stroke:#b4b4b4}" in style
    assert style.index(".node.layer .box") < style.index(".node.dead .box")  # the later of equal rules wins


def test_only_links_in_time_are_dashed() -> None:
    svg = draw(witnesses.graph_of(LSTM)).svg
    style = found(ET.fromstring(svg), "style").text or ""
    assert re.findall(r"([^}\n]*)\{[^}]*stroke-dasharray", style) == [".nm-drawing .time .line"]
    assert len(re.findall(r'class="link time"', svg)) == len(witnesses.graph_of(LSTM).delayed_links) == 3
    assert "xh reads recur of the step before" in svg


def test_long_names_are_shortened_in_the_box_and_whole_in_the_description() -> None:
    name = "a" * 100 + "b" * 155
    graph = witnesses.graph_of(HEAD + f"({name}, 4, <tanh>)" + END)
    drawing = draw(graph)
    check(graph, read(drawing.svg))
    assert words(drawing.svg, 1)[0] == "a" * 14 + "…" + "b" * 13
    assert words(drawing.svg, 1)[-1] == f"{name}: layer of width 4"
    assert name in drawing.dot


HOSTILE = '</text><script>alert("1")</script>&amp;\'\\\x00\x1b\ud800\u202e'


def hostile_graph() -> Graph:
    """A graph with a name that no text of the language can have."""
    graph = witnesses.graph_of(HEAD + "(a, 4, <tanh>)" + END)
    return dataclasses.replace(graph, nodes=tuple(dataclasses.replace(n, name=HOSTILE + n.name) for n in graph.nodes))


def test_names_are_escaped_wherever_they_stand(tmp_path: Path) -> None:
    drawing = draw(hostile_graph(), tmp_path / "x.svg")
    root = ET.fromstring((tmp_path / "x.svg").read_bytes())
    assert {element.tag for element in root.iter()} == {
        SVG + tag for tag in ("svg", "g", "title", "style", "rect", "text", "path")
    }
    assert (found(root, "title").text or "").startswith("3 nodes from </text><script>")
    assert "<script" not in drawing.svg
    assert escape("a\n\x00<") == "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}&lt;"
    assert len(dot_nodes(drawing.dot)) == 3


def test_text_is_never_wider_than_thought() -> None:
    """Against a font whose letters are among the widest of their kind."""
    fonts = pytest.importorskip("matplotlib.ft2font")
    path = Path(pytest.importorskip("matplotlib").get_data_path()) / "fonts" / "ttf" / "DejaVuSansMono-Bold.ttf"
    font = fonts.FT2Font(str(path))
    font.set_size(NAME_SIZE, 72)
    for text in ("relu_parametric", "MWmw@", "1,048,576 · concatenate", "a…b"):
        font.set_text(text, 0.0)
        assert 0 < font.get_width_height()[0] / 64 <= text_width(text, NAME_SIZE)


def test_label_sizes_grow_with_their_lines() -> None:
    graph = witnesses.graph_of(TEXTS["big-model"])
    split, layer, output = (label_of(graph, index).size() for index in (4, 1, graph.output))
    assert split.height < layer.height < output.height
    assert layer.width < output.width
    assert lay_out(graph, [Size(300.0, 90.0)] * len(graph.nodes)).boxes[0].width == 300.0


def luminance(colour: str) -> float:
    """Of sRGB, as WCAG 2.1 defines it."""
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_colours_are_readable_on_light_and_dark_pages() -> None:
    style = found(ET.fromstring(draw(witnesses.graph_of(LSTM)).svg), "style").text or ""
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    for part, page in ((light, "#ffffff"), (dark, "#0d1117")):
        fills = dict(re.findall(r"\.node\.(\w+) \.box\{fill:(#\w{6})", part))
        assert len(fills) == 9
        for text in ("name", "detail"):
            colour = re.search(rf"\n\.nm-drawing \.{text}\{{[^}}]*fill:(#\w{{6}})", part)
            assert colour is not None
            assert min(contrast(colour[1], fill) for kind, fill in fills.items() if kind != "dead") >= 4.5
        lines = set(re.findall(r"\.(?:link|time) \.line\{[^}]*stroke:(#\w{6})", light))
        assert len(lines) == 2
        assert min(contrast(line, page) for line in lines) >= 3.0


def test_the_picture_scales_and_depends_on_nothing() -> None:
    svg = draw(witnesses.graph_of(LSTM)).svg
    root = ET.fromstring(svg)
    assert root.attrib["viewBox"].split()[2:] == [root.attrib["width"], root.attrib["height"]]
    assert "max-width:100%" in svg
    assert not re.search(r"url\(|href|@import|<script|\bid=|http(?!://www\.w3\.org/2000/svg)", svg)
    assert all(rule.startswith((".nm-drawing", "@media")) for rule in re.findall(r"^[.@a-z][^\n]*", svg, re.M))


# DOT ------------------------------------------------------------------------------------------------------------------

STRING = r'"(?:[^"\\\n]|\\.)*"'
VALUE = rf"(?:{STRING}|[A-Za-z_]\w*)"
ATTRIBUTES = rf"(?:\s\[\w+={VALUE}(?:,\s\w+={VALUE})*\])?"


def dot_nodes(dot: str) -> dict[int, str]:
    """The attributes of each node; every line of the text must be one of the language's statements."""
    lines = dot.splitlines()
    assert lines[0] == "digraph neuromorph {"
    assert lines[-1] == "}"
    for line in lines[1:-1]:
        assert re.fullmatch(rf"  (?:\w+={VALUE}|\w+(?: -> \w+)?{ATTRIBUTES});", line), line
    return {int(m[1]): m[2] for line in lines if (m := re.fullmatch(r"  n(\d+) (\[.*\]);", line))}


@pytest.mark.parametrize("name", TEXTS)
def test_dot_has_every_node_and_link(name: str) -> None:
    graph = witnesses.graph_of(TEXTS[name])
    dot = draw(graph).dot
    nodes = dot_nodes(dot)
    assert sorted(nodes) == [node.index for node in graph.nodes]
    for node in graph.nodes:
        assert re.match(rf'\[label="{re.escape(node.name)}(\\n|")', nodes[node.index])
        assert ("fontcolor" in nodes[node.index]) == (not node.live)
    edges = re.findall(r"n(\d+) -> n(\d+)( \[.*\])?;", dot)
    dashed = Counter((int(a), int(b)) for a, b, said in edges if "style=dashed" in said)
    assert Counter((int(a), int(b)) for a, b, _ in edges) == Counter((k.source, k.target) for k in links_of(graph))
    assert dashed == Counter((node.other, node.index) for node in graph.nodes if node.delayed)


# How it is called -----------------------------------------------------------------------------------------------------


@pytest.fixture
def model() -> nm.Model:
    return nm.compile(LSTM, 2, 0.1)


def test_a_model_draws_itself(model: nm.Model, tmp_path: Path) -> None:
    drawing = nm.draw(model, tmp_path / "lstm.svg")
    assert isinstance(drawing, Drawing)
    assert (tmp_path / "lstm.svg").read_text(encoding="utf-8") == drawing.svg
    assert model.draw().svg == drawing.svg == drawing._repr_svg_() == model._repr_svg_()
    assert repr(drawing) == "<neuromorph.Drawing of 18 nodes>"
    model.release()
    assert model.draw().svg == drawing.svg


def test_a_notebook_is_spared_a_huge_picture() -> None:
    big = nm.compile(HEAD + "".join(f"(a{n}, 4, <tanh>)" for n in range(1000)) + END, 1, 0.1)
    assert big._repr_svg_() is None
    assert big.draw()._repr_svg_().startswith("<svg ")


def test_what_is_written_depends_on_the_ending_or_the_format(model: nm.Model, tmp_path: Path) -> None:
    drawing = model.draw(str(tmp_path / "a.DOT"))
    model.draw(tmp_path / "b.txt", format="dot")
    drawing.save(tmp_path / "c.dot", format="svg")
    drawing.save(tmp_path / "d.svg")
    written = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert written == {"a.DOT": drawing.dot, "b.txt": drawing.dot, "c.dot": drawing.svg, "d.svg": drawing.svg}


@pytest.mark.parametrize("name", ["a.svg/", "a.svg/.", "a.svg//"])
def test_a_picture_needs_the_name_of_a_file(name: str, model: nm.Model, tmp_path: Path) -> None:
    for call in (model.draw, model.draw().save):
        with pytest.raises(IsADirectoryError, match="a file needs a name, and this path is that of a folder"):
            call(f"{tmp_path}/{name}")
    assert list(tmp_path.iterdir()) == []


def test_other_formats_are_refused_before_anything_is_written(model: nm.Model, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.svg or \.dot, not '.*a\.png'; or give format="):
        model.draw(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"ends in \.svg or \.dot, not 'picture'"):
        model.draw("picture")
    with pytest.raises(ValueError, match=r'format must be "svg" or "dot", not \'png\''):
        nm.draw(model, tmp_path / "a.svg", format="png")
    with pytest.raises(ValueError, match="format must be"):
        nm.draw(model, format="SVG")
    with pytest.raises(TypeError):
        nm.draw(model, 3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        nm.draw(model, tmp_path / "nowhere" / "a.svg")
    assert not list(tmp_path.iterdir())


def test_one_model_gives_one_picture_in_every_process_and_needs_no_numba() -> None:
    code = (
        "import hashlib, sys, neuromorph as nm\n"
        f"drawing = nm.draw(nm.compile({TEXTS['random4']!r}, 1, 0.1))\n"
        "print(hashlib.sha256((drawing.svg + drawing.dot).encode()).hexdigest(), 'numba' in sys.modules)"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(printed) == 1
    assert printed.pop().split()[1] == "False"


def test_the_largest_models_are_drawn_in_seconds() -> None:
    back = "".join(f"{{b{n}, a{3999 - n}, additive}}" for n in range(2000))
    chain = "".join(f"(a{n}, 4, <tanh>)" for n in range(4000))
    skips = "".join(f"{{s{n}, a{3998 - n}, additive}}" for n in range(3998))
    graph = witnesses.graph_of(HEAD + back + chain + skips + END)
    assert len(graph.nodes) == 10_000
    started = time.perf_counter()
    svg = draw(graph).svg
    assert time.perf_counter() - started < 30  # 2 s on the machine where it was written
    assert svg.count('<g class="node ') == 10_000
    assert svg.count('<g class="link ') == 9_999 + 5_998


def test_a_picture_just_below_the_limit_takes_seconds() -> None:
    """Rows that are wide and tangled, the most work that the search for few crossings has."""
    rng = random.Random(1)
    branches = "|".join(f"(a{n}, 4, <tanh>)" for n in range(600))
    readers = "|".join(f"(b{n}, 4, <tanh>){{c{n}, a{rng.randrange(600)}, additive}}" for n in range(600))
    graph = witnesses.graph_of(f"{HEAD}[s, {branches}][r, {readers}]{END}")
    links = links_of(graph)
    assert vertex_count(ranks(len(graph.nodes), links), links) <= layout.LARGE
    started = time.perf_counter()
    boxes = lay_out(graph, [Size(80.0, 40.0)] * len(graph.nodes)).boxes
    assert time.perf_counter() - started < 30  # 2 s on the machine where it was written
    assert len({box.y for box in boxes}) == 5
