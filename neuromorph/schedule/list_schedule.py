"""Puts the work of a run in order by list scheduling, so that work of one width comes together."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

Task: TypeAlias = tuple[Literal["node", "group"], int]  # the element-by-element work of a node, the products of a group


def in_order(
    waits: Mapping[Task, set[int]], members: Mapping[int, Iterable[int]], width_of: Callable[[int], int]
) -> Iterator[Task]:
    """All tasks, each after the nodes that it waits for.

    As long as nodes are ready, nodes come, those of the last one's width first. Then come all groups that are ready.
    waits: the nodes that each task waits for. members: the layers of each group, which are ready when its products are
    done.
    """
    queue = _Queue(waits, members, width_of)
    while queue.ready or queue.groups:
        if not queue.ready:
            yield from queue.take_groups()
        index = queue.ready.take()
        yield "node", index
        queue.finish(index)


class _Queue:
    """The tasks of a run that are waiting, and those that are ready."""

    def __init__(
        self, waits: Mapping[Task, set[int]], members: Mapping[int, Iterable[int]], width_of: Callable[[int], int]
    ) -> None:
        self._members = members
        self._open = {task: len(nodes) for task, nodes in waits.items()}  # nodes that a task still waits for
        self._users: dict[int, list[Task]] = {}
        for task, nodes in waits.items():
            for index in nodes:
                self._users.setdefault(index, []).append(task)
        free = [task for task, count in self._open.items() if not count]
        self.groups = sorted(number for kind, number in free if kind == "group")
        self.ready = _Ready(width_of)
        self.ready.add_all(sorted(number for kind, number in free if kind == "node"))

    def take_groups(self) -> Iterator[Task]:
        """Take all groups that are ready. Their layers are then ready, unless they wait for other nodes."""
        for number in self.groups:
            yield "group", number
        for number in self.groups:
            self.ready.add_all(self._members[number])
        self.groups = []

    def finish(self, index: int) -> None:
        """Mark a node as computed. Tasks that wait for nothing else are then ready."""
        for task in self._users.get(index, []):
            self._open[task] -= 1
            if self._open[task]:
                continue
            kind, number = task
            if kind == "node":
                self.ready.add(number)
            else:
                self.groups.append(number)


class _Ready:
    """Nodes that are ready, in the order in which they came."""

    def __init__(self, width_of: Callable[[int], int]) -> None:
        self._width_of, self._width = width_of, 0
        self._all: OrderedDict[int, int] = OrderedDict()  # width by node
        self._by_width: dict[int, deque[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def add(self, index: int) -> None:
        """Add a node."""
        width = self._all[index] = self._width_of(index)
        self._by_width.setdefault(width, deque()).append(index)

    def add_all(self, nodes: Iterable[int]) -> None:
        """Add some nodes, in this order."""
        for index in nodes:
            self.add(index)

    def take(self) -> int:
        """Take a node: the first one of the same width as the last one taken, else the first of all."""
        same = self._by_width.get(self._width) or self._by_width[next(iter(self._all.values()))]
        index = same.popleft()
        self._width = self._all.pop(index)
        return index
