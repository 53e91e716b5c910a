"""The layout of a program: the words of its head and of every instruction. The encoder writes it, the machine reads it.

A program is an array of int64. An instruction begins with its number and its length in words. A stream says where an
operation finds the rows of a place in the workspace: the offset of the first row of step 0, elements from step to step,
elements from row to row and, for what an operation reads, 1, or 0 where one vector stands for all of a row. Streams of
maps have elements from vector to vector in place of the last two, and those that the end of a row adds.
"""

from __future__ import annotations

from .templates import MAPS, SUMS

NO_LIMIT = 1 << 40  # components, more than any row has

# Words at the head of a program, in order. A window of ``batch`` lanes is divided among ``members``, which one thread
# runs in turn, or several at the same time: a list of where the program of each begins. Each takes its own lanes or, if
# ``chunk`` is not 0, its rows, so many at a time, as steps of one lane. apart: rows of the window from step to step.
# sums: the ranges of parameters whose squares are added up, each with 1 if it is the first one of a member.
HEAD = (
    "lanes", "batch", "apart", "chunk", "members", "sums", "width", "wide", "x", "x_row", "y", "y_row", "size",
    "learning", "loss", "mean", "skips", "units",
    "unit_mean", "unit_scale", "result", "result_row", "logit", "logit_row", "target", "target_row", "optimizer",
    "drops", "drop_key", "forward", "backward", "gradients", "vectors", "zeros", "state", "transposes",
    "transposed_once",
)  # fmt: skip
WORD = {name: number for number, name in enumerate(HEAD)}

COUNT = len(MAPS)
MAP, SUM = 0, COUNT  # to which the number of a template is added
OTHERS = (  # the functions of the instructions behind those of the templates
    "spread", "cut", "finish", "forward", "backward", "weigh", "columns", "softmax_of_rows", "gradient_of_softmax",
    "mask",
)  # fmt: skip
_FIRST = SUM + len(SUMS)
SPREAD, CUT, FINISH, FORWARD, BACKWARD, WEIGHT, COLUMNS, SOFTMAX, SOFTMAX_GRADIENT, MASK = range(_FIRST, _FIRST + 10)

START_ZERO, START_ADD, START_BIAS = 0, 1, 2
# Flags of a map: it adds; only some components of its value count; its rows are one row.
ADDS, CAREFUL, ONE_ROW = 1, 2, 4
ONE_CHAIN, CHAINED = 0, 1  # orders of the sums of a product; from 2 on it is the number of ranges
