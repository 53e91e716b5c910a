"""The order of the work of a run."""

from __future__ import annotations

from neuromorph.schedule.list_schedule import Task, in_order

WIDTHS = {1: 4, 2: 8, 3: 4, 4: 8, 5: 4}


def order(waits: dict[Task, set[int]], members: dict[int, list[int]] | None = None) -> list[Task]:
    return list(in_order(waits, members or {}, WIDTHS.__getitem__))


def test_nodes_of_one_width_come_together() -> None:
    waits: dict[Task, set[int]] = {("node", index): set() for index in (4, 2, 3, 1)}
    assert [number for _, number in order(waits)] == [1, 3, 2, 4]


def test_a_node_comes_after_all_that_it_waits_for() -> None:
    waits: dict[Task, set[int]] = {("node", 1): {2, 4}, ("node", 2): {4}, ("node", 4): set(), ("node", 5): {1}}
    assert [number for _, number in order(waits)] == [4, 2, 1, 5]


def test_groups_come_when_no_node_is_ready_and_their_layers_after_them() -> None:
    waits: dict[Task, set[int]] = {("group", 7): {1}, ("group", 6): set(), ("node", 1): set(), ("node", 5): {3}}
    found = order(waits, {6: [3], 7: [4, 2]})
    assert found == [
        ("node", 1), ("group", 6), ("group", 7), ("node", 3), ("node", 5), ("node", 4), ("node", 2),
    ]  # fmt: skip
