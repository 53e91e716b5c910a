"""A stream's step as a function for users' compiled code: the same numbers, in Numba, from Python and by address."""

import ctypes
import gc
from typing import Any

import numba
import numpy as np
import pytest

import neuromorph as nm

RECURRENT = "/xavier,zero/ (i, 2) {both, h, concatenate} (h, 5, <tanh>) (o, 3, <sigmoid>, <mse>)"
OTHER = "/xavier,zero/ (a, 2) (b, 4, <gru>) (c, 3, <linear>, <mse>)"
TIERS = ("instant", "compiled")


def built(text: str = RECURRENT, batch_size: int = 1, **options: Any) -> nm.Model:
    return nm.build(nm.compile(text, batch_size, 0.1, **options), seed=1)


def numbers(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@numba.njit
def run(step: Any, argument: int, x: Any, y: Any, given: Any, found: Any) -> int:
    """All steps of a sequence; 0, or the first step's code that is not 0."""
    for index in range(len(given)):
        x[:] = given[index]
        code = step(argument)
        if code != 0:
            return code
        found[index] = y
    return 0


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numba_gets_what_a_stream_gives(tier: str, dtype: str) -> None:
    model = built(tier=tier, dtype=dtype)
    given = numbers(20, 2).astype(dtype)
    stream = nm.stream(model)
    step = stream.compiled_step()
    found = np.zeros((20, 3), dtype)
    assert run(step.function, step.argument, step.x, step.y, given, found) == 0
    np.testing.assert_array_equal(found, [stream(x) for x in given])
    for name, value in stream.state.items():
        np.testing.assert_array_equal(step.state[name], value)


def test_one_compiled_loop_runs_all_models() -> None:
    given, found = numbers(4, 2), np.zeros((4, 3), np.float32)
    for text in (RECURRENT, OTHER):
        model = built(text, tier="instant")
        step = nm.stream(model).compiled_step()
        run(step.function, step.argument, step.x, step.y, given, found)
        np.testing.assert_array_equal(found, nm.predict(model, given))
    if not numba.config.DISABLE_JIT:
        kinds = [signature for signature in run.signatures if signature[-1].dtype == numba.float32]
        assert len(kinds) == 1


def test_lanes_have_an_axis_of_their_own() -> None:
    stream = nm.stream(built(), lanes=4)
    step = stream.compiled_step()
    assert (step.lanes, step.x.shape, step.y.shape) == (4, (4, 2), (4, 3))
    step.x[:] = given = numbers(4, 2)
    assert step() == 0
    np.testing.assert_array_equal(step.y, stream(given))
    assert repr(step) == "<neuromorph.CompiledStep 2 -> 3, 4 lanes, float32>"


def test_other_arrays_can_t_take_the_places_of_x_and_y() -> None:
    """The function would go on with its own."""
    step: Any = nm.stream(built()).compiled_step()
    for name in ("x", "y"):
        with pytest.raises(AttributeError):
            setattr(step, name, np.zeros(2, np.float32))


def test_it_begins_in_the_state_of_its_stream_and_goes_its_own_way() -> None:
    stream = nm.stream(built())
    stream([1.0, 2.0])
    step = stream.compiled_step()
    before = stream.state["h"]
    np.testing.assert_array_equal(step.state["h"], before)
    step.x[:] = 0.5, 0.5
    step()
    np.testing.assert_array_equal(stream.state["h"], before)
    assert (step.state["h"] != before).any()
    step.reset()
    assert not step.state["h"].any()
    step.state = {"h": before}
    step()
    np.testing.assert_array_equal(step.y, stream([0.5, 0.5]))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_number_that_is_not_finite_changes_nothing(wrong: float) -> None:
    step = nm.stream(built()).compiled_step()
    step.x[:] = 1.0, 1.0
    assert step() == 0
    y, state = step.y.copy(), step.state["h"]
    step.x[1] = wrong
    assert step() == 2
    assert run(step.function, step.argument, step.x, step.y, step.x[None].copy(), np.zeros((1, 3), np.float32)) == 2
    np.testing.assert_array_equal(step.y, y)
    np.testing.assert_array_equal(step.state["h"], state)


def test_it_keeps_the_parameters_of_its_moment() -> None:
    model = built()
    stream = nm.stream(model)
    old = stream.compiled_step()
    nm.train(model, numbers(40, 1, 2), np.ones((40, 1, 3), np.float32), verbosity=0)
    new = stream.compiled_step()
    for step in (old, new):
        step.x[:] = 1.0, -1.0
        assert step() == 0
    np.testing.assert_array_equal(new.y, stream([1.0, -1.0]))
    assert (new.y != old.y).all()


@pytest.mark.parametrize("tier", TIERS)
def test_it_outlives_its_model(tier: str) -> None:
    model = built(OTHER, tier=tier)
    given, found = numbers(6, 2), np.zeros((6, 3), np.float32)
    wanted = nm.predict(model, given)
    stream = nm.stream(model)
    step = stream.compiled_step()
    nm.release(model)
    with pytest.raises(nm.ModelStateError, match="released"):
        stream.compiled_step()
    del model, stream
    gc.collect()
    function, argument, x, y = step.function, step.argument, step.x, step.y
    del step
    gc.collect()
    assert run(function, argument, x, y, given, found) == 0
    np.testing.assert_array_equal(found, wanted)


def test_it_can_be_called_by_its_address() -> None:
    stream = nm.stream(built())
    step = stream.compiled_step()
    step.x[:] = 0.25, 0.75
    if numba.config.DISABLE_JIT:
        assert step.address == 0
        return
    call = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(step.address)
    assert call(step.argument) == 0
    np.testing.assert_array_equal(step.y, stream([0.25, 0.75]))


def test_with_jit_off_the_loop_is_python() -> None:
    step = nm.stream(built()).compiled_step()
    other = nm.stream(built())
    given, found = numbers(3, 2), np.zeros((3, 3), np.float32)
    plain = run.py_func if hasattr(run, "py_func") else run
    assert plain(step.function, step.argument, step.x, step.y, given, found) == 0
    np.testing.assert_array_equal(found, [other(x) for x in given])
    with pytest.raises(ValueError, match="not that of this step"):
        step.function(0)


def test_it_is_not_pickled() -> None:
    import pickle

    with pytest.raises(TypeError, match="CompiledStep can't be pickled"):
        pickle.dumps(nm.stream(built()).compiled_step())


@pytest.mark.parametrize("tier", TIERS)
def test_parameters_can_be_tried_as_a_vector(tier: str) -> None:
    model = built(OTHER, tier=tier)
    step = nm.stream(model).compiled_step()
    given = model.get_parameters()
    vector = step.get_vector()
    np.testing.assert_array_equal(vector, np.concatenate([value.ravel() for value in given.values()]))
    step.set_vector(vector * 2)
    np.testing.assert_array_equal(step.get_vector(), vector * 2)
    found, inputs = np.zeros((5, 3), np.float32), numbers(5, 2)
    assert run(step.function, step.argument, step.x, step.y, inputs, found) == 0
    for name, value in model.get_parameters().items():
        np.testing.assert_array_equal(value, given[name])
    model.set_parameters({name: 2 * value for name, value in given.items()})
    np.testing.assert_array_equal(found, nm.predict(model, inputs))
    for wrong in (vector[1:], np.full(len(vector), np.nan), "many"):
        with pytest.raises(nm.DataError, match="numbers"):
            step.set_vector(wrong)
    np.testing.assert_array_equal(step.get_vector(), vector * 2)
