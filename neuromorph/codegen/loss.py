"""Emits the loss of every row, its gradient, and the mean loss of each sample."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from ..functions.expressions import Expression
from ..schedule import Access, Loss, Place
from .frame import Frame

SMALL, LARGE = "1.0e-100", "1.0e100"  # numbers between these two are far from the limits of float64
LOWEST = {"float32": "-3.0e38", "float64": "-1.0e308"}


def emit_loss(frame: Frame, loss: Loss) -> None:
    """Emits the loss of each row, and its gradient with respect to the loss's input.

    Rows of weight 0 have loss 0 and gradient 0, whatever their expected values are.
    """
    writer, place = frame.writer, loss.result
    with _each_row(frame):
        writer.line(f"weight = float(row_weights[weight0 + {_outside(frame)}])")
        with writer.block("if weight == 0.0:"):
            writer.line("row_losses[row0 + r] = 0.0")
            _emit_left_out(frame, loss)
        with writer.block("else:"):
            if frame.options.skips:
                _emit_known(frame, place.width)
            if loss.logits is not None:
                _emit_logits(frame, loss, loss.logits)
            else:
                _emit_plain(frame, loss)
            writer.line(f"row_losses[row0 + r] = total(loss){_divisor(frame, place.width)}")


def _emit_known(frame: Frame, width: int) -> None:
    """Emits ``known``, the number of components of a row's expected values that are known: those that are not NaN."""
    writer = frame.writer
    writer.line("counts = splat(0.0)")
    with frame.each_vector(width) as column:
        writer.line(f"target = {_given(frame, width, column)}")
        one = _cut(frame, "where(target <= target, splat(1.0), splat(0.0))", width, column)
        writer.line(f"counts = counts + {one}")
    writer.line("known = float(total(counts))")


def _divisor(frame: Frame, width: int) -> str:
    """What the loss of a row, a sum over its components, is divided by; an empty text if it stays a sum."""
    if not frame.plan.graph.loss.mean:
        return ""
    return " / known" if frame.options.skips else f" / {width}.0"


@contextmanager
def _each_row(frame: Frame) -> Iterator[None]:
    """A loop over the rows of this thread.

    Where threads divide the batch, the loop defines ``ahead``. This is the number to add to a row's number in this
    thread to get its number among all rows.
    """
    if not frame.by_batch:
        with frame.each_row():
            yield
        return
    writer, batch = frame.writer, frame.batch
    with writer.block("for t in span(0, steps):"):  # this loop is first: a piece of the kernel is one statement
        begin = f"{frame.all_lanes} * member // {frame.threads}"
        writer.line(f"ahead = t * {frame.all_lanes} + {begin} - t * {batch}")
        with writer.block(f"for r in span(t * {batch}, (t + 1) * {batch}):"), writer.naming():
            yield


def _outside(frame: Frame) -> str:
    """The number of row r in the arrays of the caller, as source."""
    return "(ahead + r)" if frame.by_batch else "r"


def _emit_left_out(frame: Frame, loss: Loss) -> None:
    assert loss.target is not None
    with frame.each_vector(loss.result.width) as column:
        frame.writer.line(f"store(work, {frame.at(loss.target, 0, column)}, splat(0.0))")


def _expected(frame: Frame, loss: Loss, column: str) -> str:
    """The expression that reads the expected values, in standard units if the output layer restores the units."""
    text = _given(frame, loss.result.width, column)
    if loss.units is None:
        return text
    mean, scale = (f"load(weights, {frame.layout.vector(name)} + {column})" for name in loss.units)
    return f"({text} - {mean}) / {scale}"


def _given(frame: Frame, width: int, column: str) -> str:
    where = f"expected0 + {_outside(frame)} * {width}" + (f" + {column}" if column != "0" else "")
    if frame.ragged(width, width):
        return f"load_head(expected, {where}, {frame.left(width, column)})"
    return f"load(expected, {where})"


def _cut(frame: Frame, text: str, width: int, column: str) -> str:
    """The expression, with zeros in the padding of a row."""
    return f"head({text}, splat(0.0), {frame.left(width, column)})" if frame.ragged(width, width) else text


def _fill(text: str, parameter: float | None) -> str:
    """The formula of a loss, with the names that the kernel has for its variables."""
    names = {"x": "logit", "y": "result", "r": "result", "e": "target", "p": repr(parameter)}
    return Expression(text).renamed(names)


def _emit_plain(frame: Frame, loss: Loss) -> None:
    graph, writer, width = frame.plan.graph, frame.writer, loss.result.width
    _emit_scale(frame, width)
    writer.line("loss = splat(0.0)")
    with frame.each_vector(width) as column:
        writer.line(f"result = {frame.load(Access(loss.result), width, column)}")
        _emit_terms(frame, loss, graph.loss.term, graph.loss.derivative, column)


def _emit_scale(frame: Frame, width: int) -> None:
    frame.writer.line(f"scale = weight * {frame.scales.replace(', ', ' * ')}{_divisor(frame, width)}")


def _emit_terms(frame: Frame, loss: Loss, term: str, derivative: str, column: str) -> None:
    """Emits one vector's part of the loss and of the gradient."""
    graph, writer, width = frame.plan.graph, frame.writer, loss.result.width
    assert loss.target is not None
    writer.line(f"target = {_expected(frame, loss, column)}")
    value, slope = _fill(term, graph.loss_parameter), _fill(derivative, graph.loss_parameter)
    if frame.options.skips:  # a comparison with NaN does not hold
        value, slope = (f"where(target <= target, {text}, splat(0.0))" for text in (value, slope))
    writer.line(f"loss = loss + {_cut(frame, f'({value})', width, column)}")
    slope = _cut(frame, f"scale * ({slope})", width, column)
    writer.line(f"store(work, {frame.at(loss.target, 0, column)}, {slope})")


def _emit_logits(frame: Frame, loss: Loss, logits: Place) -> None:
    graph, writer, width = frame.plan.graph, frame.writer, loss.result.width
    function = graph.nodes[graph.output].function
    assert function is not None
    form = graph.loss.logit_form(function.name)
    assert form is not None
    _emit_scale(frame, width)
    if form.couples:
        _emit_row_quantities(frame, logits, loss.result)
    writer.line("loss = splat(0.0)")
    with frame.each_vector(width) as column:
        writer.line(f"logit = {frame.load(Access(logits), width, column)}")
        writer.line(f"result = {frame.load(Access(loss.result), width, column)}")
        _emit_terms(frame, loss, form.term, form.derivative, column)


def _emit_row_quantities(frame: Frame, logits: Place, result: Place) -> None:
    """Emits ``esum``, the sum of the expected values, and ``lse``, the log of the sum of exponentials.

    ``lse`` is the largest logit minus the log of the largest probability, which is at least 1 / width.
    """
    writer, width = frame.writer, result.width
    writer.lines(f"peak = splat({LOWEST[frame.options.dtype]})", "best = splat(0.0)", "whole = splat(0.0)")
    with frame.each_vector(width) as column:
        logit = frame.load(Access(logits), width, column)
        if frame.ragged(width, width):
            logit = f"head({logit}, peak, {frame.left(width, column)})"
        writer.line(f"peak = maximum({logit}, peak)")
        writer.line(f"best = maximum({_cut(frame, frame.load(Access(result), width, column), width, column)}, best)")
        writer.line(f"whole = whole + {_given(frame, width, column)}")
    writer.line("lse = largest(peak) - log(largest(best))")
    writer.line("esum = total(whole)")


def emit_sum_of_weights(frame: Frame) -> None:
    """Emits the sum of a window's weights, in float64.

    For float64 models, where the sum may overflow or underflow, the weights are then scaled by ``unit``, a power of 2.
    """
    writer = frame.writer
    writer.line("weight = 0.0")
    with writer.block("for r in span(0, rows):"):
        writer.line("weight += float(row_weights[weight0 + r])")
    if frame.options.dtype == "float64":
        with writer.block(f"if weight > 0.0 and not {SMALL} < weight < {LARGE}:"):
            writer.lines(f"unit = {2.0**700!r} if weight < 1.0 else {2.0**-700!r}", "weight = 0.0")
            with writer.block("for r in span(0, rows):"):
                writer.line("weight += unit * float(row_weights[weight0 + r])")


def emit_means(frame: Frame) -> None:
    """Emits the weighted mean loss of each sample over its lanes, and the check whether all are finite.

    The mean is 0 for a sample whose weights are all 0.
    """
    writer = frame.writer
    writer.line("check = 0.0")
    with writer.block("for t in span(0, steps):"):
        writer.line("sum_loss, sum_weight = 0.0, 0.0")
        with _each_lane(frame):
            writer.lines("sum_loss += weight * loss", "sum_weight += weight")
        writer.line("loss = sum_loss / sum_weight if sum_weight > 0.0 else 0.0")
        if frame.options.dtype == "float64":
            _emit_careful_mean(frame)
        writer.line("check += 0.0 * loss")
        with writer.block("if member == 0:") if frame.threads > 1 else nullcontext():
            writer.line("losses[sample + t] = loss")
    writer.line("return check == 0.0")


@contextmanager
def _each_lane(frame: Frame) -> Iterator[None]:
    """A loop over the lanes of step t that defines the ``weight`` and the ``loss`` of each lane, in float64.

    Where threads divide the batch, the losses of each thread's lanes for a whole window are stored together.
    """
    writer, together, threads = frame.writer, frame.all_lanes, frame.threads
    if not frame.by_batch:
        batch = frame.options.batch
        with writer.block(f"for r in span(t * {batch}, (t + 1) * {batch}):"):
            writer.line("weight, loss = 1.0 * float(row_weights[weight0 + r]), 1.0 * float(row_losses[r])")
            yield
        return
    with writer.block(f"for other in span(0, {threads}):"):
        writer.line(f"first, last = {together} * other // {threads}, {together} * (other + 1) // {threads}")
        writer.line("row = first * capacity + t * (last - first) - first")
        with writer.block("for r in span(first, last):"):
            writer.line(f"weight = 1.0 * float(row_weights[weight0 + t * {together} + r])")
            writer.line("loss = 1.0 * float(row_losses[row + r])")
            yield


def _emit_careful_mean(frame: Frame) -> None:
    """Emits the same mean for sums that have overflowed. Only the sums of a float64 model can.

    The weights are divided by the largest weight, and the losses by 4. The result is at most the largest loss.
    """
    writer = frame.writer
    normal = f"{SMALL} < sum_weight < {LARGE} and -{LARGE} < sum_loss < {LARGE}"
    with writer.block(f"if sum_weight > 0.0 and not ({normal}):"):
        writer.line("most, top, sum_weight, mean = 0.0, 0.0, 0.0, 0.0")
        with _each_lane(frame):
            writer.lines("most = max(most, weight)", "top = max(top, loss, -loss)")
        with _each_lane(frame):
            writer.line("sum_weight += weight / most")
        with _each_lane(frame):
            writer.line("mean += weight / most / sum_weight * (0.25 * loss)")
        writer.line("mean = 4.0 * mean")
        writer.line("loss = top if mean > top else -top if mean < -top else mean")
