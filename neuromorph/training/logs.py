"""Cuts a log of epochs back to where a training goes on."""

from __future__ import annotations


def cut_log(path: str, epoch: int) -> None:
    """Cut off the lines at the end of a log that are of this epoch or later ones, and a line that was not finished.

    A line begins with the number of its epoch and a comma; the first line that does not ends the search.
    """
    with open(path, "rb+") as file:
        *lines, _ = file.read().split(b"\n")
        while lines:
            number = lines[-1].partition(b",")[0]
            if not number.isdigit() or int(number) < epoch:
                break
            lines.pop()
        file.truncate(sum(len(line) + 1 for line in lines))
