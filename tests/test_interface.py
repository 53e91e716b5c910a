"""The public interface, as a user meets it: what each call gives, refuses and leaves alone."""

import copy
import hashlib
import os
import pickle
import pkgutil
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
import types
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

import neuromorph as nm
from helpers.division import divide_everything
from neuromorph import prediction
from neuromorph.host.resources import processors
from neuromorph.runtime import pacing
from neuromorph.training import loop, progress

TEXT = """
/xavier,const_uneven 0.1 0.3/
(input, 3)
{both, recur, concatenate}
(a, 5, <tanh>)
[link, [recur,]]
(output, 2, <linear>, <mse>)
"""
PLAIN = "/xavier,zero/ (input, 3) (output, 2, <linear>, <mse>)"
BATCH, WINDOW = 4, 4
NAMES = ["a.weight", "a.bias", "output.weight", "output.bias"]
Parameters = dict[str, np.ndarray]


def recurrent(seed: int = 1, *, rate: float = 0.1, **options: Any) -> nm.Model:
    """A built model of TEXT; its kernels are shared by all that differ in rate, window and clip norm only."""
    nm.seed(seed)
    return nm.build(nm.compile(TEXT, BATCH, rate, **{"bptt_steps": WINDOW, **options}))


def plain(**options: Any) -> nm.Model:
    """A built model without links in time: one layer, linear, from zero weights."""
    model = nm.build(nm.compile(PLAIN, BATCH, 0.1, **options))
    model.set_parameters(dict.fromkeys(model.get_parameters(), 0.0))
    return model


def data(samples: int = 12, *, seed: int = 0, sequences: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (samples, BATCH) if sequences is None else (sequences, samples, BATCH)
    return rng.normal(size=(*shape, 3)).astype(np.float32), rng.normal(size=(*shape, 2)).astype(np.float32)


def assert_same(one: Parameters, other: Parameters) -> None:
    """The same names in the same order with the same bits."""
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def differ(one: Parameters, other: Parameters) -> bool:
    return any((one[name] != other[name]).any() for name in one)


# compile --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("batch_size", 0, ValueError), ("batch_size", -3, ValueError), ("batch_size", 2.0, TypeError),
        ("batch_size", True, TypeError), ("batch_size", "4", TypeError), ("batch_size", None, TypeError),
        ("batch_size", 10**12, ValueError), ("learning_rate", -0.1, ValueError),
        ("learning_rate", float("nan"), ValueError), ("learning_rate", float("inf"), ValueError),
        ("learning_rate", 10**400, ValueError), ("learning_rate", "0.1", TypeError),
        ("learning_rate", None, TypeError), ("learning_rate", [0.1], TypeError), ("optimizer", "sdg", ValueError),
        ("optimizer", 3, TypeError), ("optimizer", None, TypeError), ("bptt_steps", 0, ValueError),
        ("bptt_steps", 1.5, TypeError), ("clip_norm", 0, ValueError), ("clip_norm", -1, ValueError),
        ("clip_norm", float("nan"), ValueError), ("clip_norm", "1", TypeError), ("dtype", "float16", ValueError),
        ("dtype", np.float32, TypeError), ("threads", 0, ValueError), ("threads", "all", TypeError),
    ],
)  # fmt: skip
def test_compile_names_the_wrong_argument(argument: str, value: object, error: type[Exception]) -> None:
    arguments: dict[str, Any] = {"batch_size": 2, "learning_rate": 0.1, argument: value}
    with pytest.raises(error, match=f"^{argument} must be"):
        nm.compile(PLAIN, **arguments)


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ("(a, 4, <swish, 1e39>) (output, 2, <linear>, <mse>)", "swish in 'a'"),
        ("(a, 4, <tanh>) (b, <relu_leaky, -1e39>) (output, 2, <linear>, <mse>)", "relu_leaky in 'b'"),
        ("(output, 2, <linear>, <huber, 1e39>)", "huber in 'output'"),
        ("(h, 4, <own, 1e39>) (output, 2, <linear>, <mse>)", "elu in 'h'"),
    ],
)  # fmt: skip
def test_numbers_of_a_text_must_fit_the_models_type(nodes: str, said: str) -> None:
    text = f"/xavier,zero/\n<own, p>[(x, width, <elu, p>)] (input, 3) {nodes}"
    with pytest.raises(nm.MDLSemanticError) as caught:
        nm.compile(text, 1, 0.1)
    bounds = "must be from -3.402823e+38 to 3.402823e+38, the range of float32"
    assert caught.value.reason.startswith(f"the number of {said} {bounds}, not ")
    assert caught.value.line == 2
    assert ("; 'h' is the last node of a use of the cell 'own'" in caught.value.reason) == ("own" in nodes)
    nm.compile(text, 1, 0.1, dtype="float64")
    dead = "[s, (dead, 4, <swish, 1e39>)] (output, 2, <linear>, <mse>)"
    with pytest.warns(nm.MDLWarning, match="left out"):
        nm.compile(f"/xavier,zero/ (input, 3) {dead}", 1, 0.1)  # nothing is generated of it


def test_compile_suggests_an_optimizer() -> None:
    with pytest.raises(ValueError, match=r"optimizer must be one of .*, not 'sdg'; did you mean 'sgd'"):
        nm.compile(PLAIN, 1, 0.1, optimizer="sdg")


@pytest.mark.parametrize("mdl", [b"/xavier,zero/", None, 5, ["(a, 4)"]])
def test_compile_takes_a_text_or_a_path(mdl: Any) -> None:
    with pytest.raises(TypeError, match="mdl must be a text"):
        nm.compile(mdl, 1, 0.1)


class PathLike:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


@pytest.mark.parametrize("kind", [Path, PathLike])
def test_errors_and_warnings_of_a_file_name_it(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    path = tmp_path / "wrong.mdl"
    path.write_text("/xavier,zero/\n(input, 3)\n(output, 2, <liner>, <mse>)")
    with pytest.raises(nm.MDLSemanticError, match="did you mean 'linear'") as caught:
        nm.compile(kind(path), 1, 0.1)
    assert (caught.value.filename, caught.value.line, caught.value.column) == (str(path), 3, 14)
    assert str(caught.value).startswith(f"{path}:3:14: ")
    path.write_text("/xavier,zero/ (input, 3) (output, 2, <linear, 4>, <mse>)")
    with pytest.warns(nm.MDLWarning, match="wrong.mdl:1:") as warned:
        nm.compile(kind(path), 1, 0.1)
    assert warned[0].filename == __file__


@pytest.mark.parametrize("name", ["net.mdl", "NET.MDL", "/home/somebody/net.mdl", "some folder/net.mdl"])
def test_the_name_of_a_file_is_no_text_and_the_error_says_how_to_read_it(name: str) -> None:
    with pytest.raises(nm.MDLSyntaxError, match=r"looks like the name of a file; to read .*Path\("):
        nm.compile(name, 1, 0.1)
    with pytest.raises(nm.MDLSyntaxError, match="looks like the name of a file"):
        nm.check(name)


def test_a_long_name_of_a_file_is_cut() -> None:
    with pytest.raises(nm.MDLSyntaxError) as caught:
        nm.compile("x" * 100_000 + ".mdl", 1, 0.1)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("text", ["/xavier,zero/ # net.mdl", "/xavier,zero/\nnet.mdl"])
def test_what_is_no_name_of_a_file_has_the_error_of_a_text(text: str) -> None:
    with pytest.raises(nm.MDLSyntaxError, match="expected"):
        nm.compile(text, 1, 0.1)


def test_a_text_may_end_in_a_comment_that_names_a_file() -> None:
    assert nm.compile(f"{PLAIN} # plain.mdl", 1, 0.1).input_width == 3


def test_a_file_of_other_bytes_is_a_syntax_error(tmp_path: Path) -> None:
    path = tmp_path / "bytes.mdl"
    path.write_bytes(b"/xavier,zero/ # caf\xe9\n(input, 3)\xff")
    with pytest.raises(nm.MDLSyntaxError) as caught:
        nm.compile(path, 1, 0.1)
    assert (caught.value.line, caught.value.column) == (2, 11)


def test_default_windows() -> None:
    assert nm.compile(PLAIN, 1, 0.1).bptt_steps == 1
    assert nm.compile(TEXT, 1, 0.1).bptt_steps == 16


def test_a_model_says_what_it_is() -> None:
    model = nm.compile(TEXT, BATCH, 0.25, bptt_steps=WINDOW, clip_norm=2)
    assert (model.input_width, model.output_width, model.batch_size, model.bptt_steps) == (3, 2, BATCH, WINDOW)
    assert (model.parameter_count, model.learning_rate, model.clip_norm) == (8 * 5 + 5 + 5 * 2 + 2, 0.25, 2.0)
    assert model.dtype == np.float32
    assert nm.compile(model.text, BATCH, 0.1).text == model.text
    assert repr(model) == "<neuromorph.Model 3 -> 2, 2 layers, 57 parameters, batch 4, float32, not built>"
    nm.build(model)
    assert repr(model).endswith(", built>")
    nm.release(model)
    assert repr(model).endswith(", released>")


def test_summary_and_source() -> None:
    model = nm.compile(TEXT, BATCH, 0.1)
    lines = nm.summary(model).splitlines()
    assert [line.split()[:4] for line in lines if line.startswith("a ")] == [["a", "layer", "5", "45"]]
    assert lines[-2:] == ["parameters: 57", "links backward in time: both reads recur"]
    source = nm.kernel_source(model)
    compile(source, "kernel", "exec")
    assert source == nm.kernel_source(nm.compile(TEXT, BATCH, 3.0, clip_norm=1))
    comments = [line.lstrip("# ") for line in source.splitlines() if line.startswith("#")]
    assert {line.strip() for line in model.text.splitlines()} <= {"", *comments}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dead = nm.compile("/xavier,zero/ (i, 2) [s, (d, 3, <tanh>)] (o, 1, <tanh>, <mse>)", 1, 0.1)
    assert "dead: the output does not depend on it" in nm.summary(dead)


# Life -----------------------------------------------------------------------------------------------------------------

INPUTS, EXPECTED = data()
USES: dict[str, Callable[[nm.Model], Any]] = {
    "train": lambda model: nm.train(model, INPUTS, EXPECTED, 0),
    "evaluate": lambda model: nm.evaluate(model, INPUTS, EXPECTED),
    "predict": lambda model: nm.predict(model, INPUTS),
    "gradients": lambda model: nm.gradients(model, INPUTS, EXPECTED),
    "gradcheck": nm.gradcheck,
    "get_parameters": nm.get_parameters,
    "set_parameters": lambda model: nm.set_parameters(model, {}),
    "reset_state": nm.reset_state,
    "state": lambda model: model.state,
    "set state": lambda model: setattr(model, "state", {}),
}


@pytest.mark.parametrize("use", USES)
def test_a_model_must_be_built_first(use: str) -> None:
    with pytest.raises(nm.ModelStateError, match=r"not built yet; call build\(model\) first"):
        USES[use](nm.compile(TEXT, BATCH, 0.1))


@pytest.mark.parametrize("use", [*USES, "build", "with", "pickle"])
def test_a_released_model_can_do_nothing(use: str) -> None:
    model = recurrent()
    nm.release(model)
    nm.release(model)
    assert (model.released, model.built) == (True, False)
    more = {"build": nm.build, "with": lambda model: model.__enter__(), "pickle": pickle.dumps}
    with pytest.raises(nm.ModelStateError, match="the model was released"):
        {**USES, **more}[use](model)


def test_with_releases() -> None:
    with pytest.raises(ZeroDivisionError), nm.compile(PLAIN, 1, 0.1) as model:
        raise ZeroDivisionError
    assert model.released


def test_a_second_build_draws_anew_and_forgets() -> None:
    model = recurrent()
    first = model.get_parameters()
    model.train(INPUTS, EXPECTED, 0)
    assert np.abs(model.state["recur"]).max() > 0
    assert nm.build(model) is model
    assert differ(model.get_parameters(), first)
    assert np.abs(model.state["recur"]).max() == 0


def test_a_build_that_fails_leaves_the_model_as_it_was() -> None:
    model = nm.compile(PLAIN.replace("xavier", "normal 0 1e300"), BATCH, 0.1)
    with pytest.raises(ValueError, match=r"the initialiser draws numbers for output\.weight that float32 can't hold"):
        nm.build(model)
    assert not model.built


def test_a_huge_model_is_refused_before_anything_is_allocated() -> None:
    wide = "/xavier,zero/ (input, 1048576) (a, 1048576, <tanh>) (output, 1048576, <linear>, <mse>)"
    model = nm.compile(wide, 1, 0.1)
    tracemalloc.start()
    try:
        with pytest.raises(MemoryError, match=r"the model needs [\d,]{18,} bytes \([\d.]+ GiB\) to train") as caught:
            nm.build(model)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert isinstance(caught.value, nm.NeuromorphError)
    assert not model.built
    with pytest.raises(MemoryError, match="the model needs"):
        nm.build(nm.compile(TEXT, 2**31, 0.1, bptt_steps=2**31))


# Seeds ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "error"), [(True, TypeError), (1.0, TypeError), ("1", TypeError), ([1], TypeError), (-1, ValueError)]
)
def test_seed_refuses(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^seed must be"):
        nm.seed(value)


def test_a_seed_gives_the_same_bits_and_a_stream() -> None:
    one, two = recurrent(7), nm.build(nm.compile(TEXT, BATCH, 0.1))
    assert differ(one.get_parameters(), two.get_parameters())
    again = recurrent(7)
    assert_same(one.get_parameters(), again.get_parameters())
    assert_same(two.get_parameters(), nm.build(nm.compile(TEXT, BATCH, 0.1)).get_parameters())
    nm.seed(np.int64(7))
    nm.seed(None)
    assert differ(nm.build(again).get_parameters(), one.get_parameters())


def digest(model: nm.Model) -> str:
    return hashlib.sha256(b"".join(array.tobytes() for array in model.get_parameters().values())).hexdigest()


SCRIPT = f"""
import sys
import neuromorph as nm
assert "numba" not in sys.modules
import hashlib, numpy as np
nm.seed(7)
model = nm.build(nm.compile({TEXT!r}, {BATCH}, 0.1, bptt_steps={WINDOW}))
rng = np.random.default_rng(0)
x, e = (rng.normal(size=(12, {BATCH}, w)).astype(np.float32) for w in (3, 2))
model.train(x, e, 0)
print(hashlib.sha256(b"".join(array.tobytes() for array in model.get_parameters().values())).hexdigest())
"""


@pytest.mark.usefixtures("interpreted")
def test_a_build_may_have_a_seed_of_its_own() -> None:
    """It draws what a first build after that seed draws, and leaves the generator of all others alone."""
    text = "/xavier,zero/ (input, 2) (a, 3, <tanh>) (d, <dropout, 0.5>) (output, 1, <linear>, <mse>)"

    def drawn(seed: int | None = None) -> tuple[Any, ...]:
        model = nm.build(nm.compile(text, 1, 0.1), seed=seed)
        return *(array.tobytes() for array in model.get_parameters().values()), model.dropout_state

    nm.seed(3)
    wanted = [drawn(), drawn()]
    nm.seed(3)
    assert drawn(seed=7) == drawn(seed=7)
    assert [drawn(), drawn(seed=3), drawn()] == [wanted[0], wanted[0], wanted[1]]
    assert drawn(seed=7) != wanted[0]
    with ThreadPoolExecutor(4) as pool:
        seeds = [number % 3 for number in range(24)]
        assert list(pool.map(drawn, seeds)) == [drawn(seed) for seed in seeds]
    for value, error in ((-1, ValueError), (0.5, TypeError), (True, TypeError), ("1", TypeError)):
        with pytest.raises(error, match=r"^seed must be"):
            nm.build(nm.compile(text, 1, 0.1), seed=value)  # type: ignore[arg-type]


def test_a_seed_gives_the_same_bits_in_another_process() -> None:
    """That process takes the kernels from the cache, and importing the package does not import Numba."""
    model = recurrent(7)
    model.train(INPUTS, EXPECTED, 0)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=True,
        env=os.environ | {"NEUROMORPH_CACHE_MISS_IS_ERROR": "1"},
    )  # fmt: skip
    assert done.stdout.strip() == digest(model)


# Training -------------------------------------------------------------------------------------------------------------


def test_training_learns_and_says_so() -> None:
    model = recurrent()
    before = model.evaluate(INPUTS, EXPECTED)
    losses = [nm.train(model, INPUTS, EXPECTED, 0) for _ in range(20)]
    assert all(type(loss) is float for loss in losses)
    assert model.evaluate(INPUTS, EXPECTED) < losses[0] < before * 1.01
    assert model.losses.shape == (len(INPUTS),)
    assert model.losses.mean() == pytest.approx(losses[-1])


def test_one_update_is_a_step_down_the_gradient() -> None:
    model = recurrent(rate=0.5, bptt_steps=len(INPUTS))
    before = model.get_parameters()
    loss, slopes = nm.gradients(model, INPUTS, EXPECTED)
    assert_same(model.get_parameters(), before)
    assert list(slopes) == NAMES
    assert nm.train(model, INPUTS, EXPECTED, 0) == pytest.approx(loss, rel=1e-6)
    for name, after in model.get_parameters().items():
        np.testing.assert_allclose(after, before[name] - 0.5 * slopes[name], rtol=1e-5, atol=1e-6)


def test_clip_norm_bounds_a_step_and_can_be_set() -> None:
    model = recurrent(rate=1.0, bptt_steps=len(INPUTS), clip_norm=0.01)
    before = model.get_parameters()
    model.train(INPUTS, EXPECTED, 0)
    step = [model.get_parameters()[name] - before[name] for name in NAMES]
    assert np.sqrt(sum((part.astype(float) ** 2).sum() for part in step)) == pytest.approx(0.01, rel=1e-3)
    model.clip_norm = None
    model.set_parameters(before)
    model.train(INPUTS, EXPECTED, 0)
    assert np.abs(model.get_parameters()["output.bias"] - before["output.bias"]).max() > 0.02


def test_the_learning_rate_can_be_set_between_calls() -> None:
    model = recurrent(rate=0.0)
    before, source = model.get_parameters(), model.kernel_source()
    model.train(INPUTS, EXPECTED, 0)
    assert_same(model.get_parameters(), before)
    model.learning_rate = np.float32(0.5)
    model.train(INPUTS, EXPECTED, 0)
    other = recurrent(rate=0.5)
    other.train(INPUTS, EXPECTED, 0)
    assert_same(model.get_parameters(), other.get_parameters())
    assert model.kernel_source() == source
    with pytest.raises(ValueError, match=r"^learning_rate must be a finite number"):
        model.learning_rate = float("nan")
    assert model.learning_rate == 0.5


def test_lists_and_other_types_give_the_same_as_arrays() -> None:
    one, two, three = recurrent(), recurrent(), recurrent()
    one.train(INPUTS, EXPECTED, 0)
    two.train(INPUTS.tolist(), EXPECTED.tolist(), 0)
    three.train(INPUTS.astype(np.float64)[:, ::-1][:, ::-1], np.asfortranarray(EXPECTED), 0)
    assert_same(one.get_parameters(), two.get_parameters())
    assert_same(one.get_parameters(), three.get_parameters())


def test_data_are_neither_copied_nor_changed() -> None:
    inputs, expected = data(50_000)
    weight = np.ones(inputs.shape[:2], np.float32)
    before = [array.tobytes() for array in (inputs, expected, weight)]
    for array in (inputs, expected, weight):
        array.setflags(write=False)
    model = recurrent(rate=0.001)
    model.predict(inputs[:2])
    tracemalloc.start()
    try:
        model.train(inputs, expected, 0, sample_weight=weight)
        model.evaluate(inputs, expected)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        start = tracemalloc.get_traced_memory()[0]
        result = model.predict(inputs)
        assert tracemalloc.get_traced_memory()[1] - start < result.nbytes + inputs.nbytes // 2
    finally:
        tracemalloc.stop()
    assert most < 5 * model.losses.nbytes < inputs.nbytes  # room for losses and their mean, not for the data
    assert [array.tobytes() for array in (inputs, expected, weight)] == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, e: (x[0], e), r"^inputs has shape \(4, 3\), but needs"),
        (lambda x, e: (x[:, :3], e), r"^inputs has 3 on axis 1 \(batch\), but needs 4"),
        (lambda x, e: (x[..., :2], e), r"^inputs has 2 on axis 2 \(width\), but needs 3"),
        (lambda x, e: (x[:0], e[:0]), r"^inputs .*empty|^inputs has 0 on axis 0"),
        (lambda x, e: (x, e[:-1]), r"^expected has 11 on axis 0 \(samples\), but inputs has 12"),
        (lambda x, e: (x, e[..., :1]), r"^expected has 1 on axis 2 \(width\), but needs 2"),
        (lambda x, e: (np.where(x == x[2, 1, 0], np.nan, x), e), r"^inputs\[2, 1, 0\] is nan, but must be finite"),
        (lambda x, e: (x, np.where(e == e[3, 2, 1], np.inf, e)), r"^expected\[3, 2, 1\] is inf, but must be finite"),
        (lambda x, e: ([[[1, 2, 3]] * 4, [[1, 2, 3]] * 3], e), r"^inputs\[1\] has 3 items, but inputs\[0\] has 4"),
        (lambda x, e: ("text", e), "^inputs"),
        (lambda x, e: (None, e), "^inputs"),
        (lambda x, e: (x + 1j, e), "^inputs"),
        (lambda x, e: (x.astype(float) * 1e300, e), "^inputs.*too large for float32"),
    ],
)
def test_data_that_do_not_fit(change: Callable[..., Any], message: str) -> None:
    model = recurrent()
    before = model.get_parameters()
    inputs, expected = change(INPUTS, EXPECTED)
    for use in (model.train, model.evaluate, model.gradients):
        with pytest.raises(nm.DataError, match=message):
            use(inputs, expected)
    assert_same(model.get_parameters(), before)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(12), "^sample_weight has shape"),
        (np.ones((12, 3)), "^sample_weight has 3 on axis 1"),
        (-np.ones((12, 4)), r"^sample_weight\[0, 0\] is -1.0, but a weight must be 0 or more"),
        (np.full((12, 4), np.nan), r"^sample_weight\[0, 0\] is nan"),
    ],
)
def test_weights_that_do_not_fit(weight: np.ndarray, message: str) -> None:
    with pytest.raises(nm.DataError, match=message):
        recurrent().train(INPUTS, EXPECTED, 0, sample_weight=weight)


def test_sample_weight_is_a_weighted_mean() -> None:
    model = recurrent()
    weight = np.random.default_rng(3).random((12, BATCH), np.float32)
    each = ((model.predict(INPUTS) - EXPECTED) ** 2).mean(axis=-1)
    mean = (each * weight).sum() / weight.sum()
    assert model.evaluate(INPUTS, EXPECTED, sample_weight=weight) == pytest.approx(mean, rel=1e-5)
    loss, slopes = model.gradients(INPUTS, EXPECTED, sample_weight=weight)
    assert loss == pytest.approx(mean, rel=1e-5)
    doubled = model.gradients(INPUTS, EXPECTED, sample_weight=2 * weight)[1]
    for name in NAMES:
        np.testing.assert_allclose(doubled[name], slopes[name], rtol=1e-5, atol=1e-7)
    ones, none = recurrent(), recurrent()
    assert ones.train(INPUTS, EXPECTED, 0, sample_weight=np.ones((12, BATCH))) == none.train(INPUTS, EXPECTED, 0)
    assert_same(ones.get_parameters(), none.get_parameters())


def test_a_weight_of_zero_leaves_a_vector_out_whatever_is_expected() -> None:
    weight = np.ones((12, BATCH), np.float32)
    weight[2, 1] = weight[5] = 0
    hidden = EXPECTED.copy()
    hidden[2, 1], hidden[5, 0], hidden[5, 1] = np.nan, np.inf, 3e38
    one, two = recurrent(), recurrent()
    loss = one.train(INPUTS, EXPECTED, 0, sample_weight=weight)
    assert np.isfinite(loss)
    assert two.train(INPUTS, hidden, 0, sample_weight=weight) == loss
    assert_same(one.get_parameters(), two.get_parameters())
    np.testing.assert_array_equal(one.losses, two.losses)
    assert one.evaluate(INPUTS, hidden, sample_weight=weight) == one.evaluate(INPUTS, EXPECTED, sample_weight=weight)
    for slopes in (model.gradients(INPUTS, hidden, sample_weight=weight)[1] for model in (one, two)):
        assert all(np.isfinite(slope).all() for slope in slopes.values())


def test_a_window_of_zeros_makes_no_update_but_time_goes_on() -> None:
    model, other = recurrent(), recurrent()
    before = model.get_parameters()
    assert model.train(INPUTS, EXPECTED, 0, sample_weight=np.zeros((12, BATCH))) == 0.0
    assert_same(model.get_parameters(), before)
    assert np.abs(model.state["recur"]).max() > 0
    weight = np.ones((12, BATCH))
    weight[:WINDOW] = 0
    model.train(INPUTS, EXPECTED, 0, sample_weight=weight)
    other.train(INPUTS[:WINDOW], EXPECTED[:WINDOW], 0, sample_weight=weight[:WINDOW])
    other.train(INPUTS[WINDOW:], EXPECTED[WINDOW:], 0, carry_state=True)
    assert_same(model.get_parameters(), other.get_parameters())


def test_sequences_are_trained_one_by_one() -> None:
    inputs, expected = data(7, sequences=3)
    weight = np.random.default_rng(4).random((3, 7, BATCH), np.float32)
    together, apart = recurrent(), recurrent()
    loss = together.train(inputs, expected, 0, sample_weight=weight)
    losses = []
    for x, e, w in zip(inputs, expected, weight, strict=True):
        apart.train(x, e, 0, sample_weight=w)
        losses.append(apart.losses)
    assert_same(together.get_parameters(), apart.get_parameters())
    np.testing.assert_array_equal(together.losses, losses)
    shares = weight.sum(axis=-1, dtype=float)
    assert loss == pytest.approx((np.array(losses) * shares).sum() / shares.sum())
    np.testing.assert_array_equal(together.predict(inputs), [together.predict(x) for x in inputs])
    each = [together.evaluate(x, e) for x, e in zip(inputs, expected, strict=True)]
    assert together.evaluate(inputs, expected) == pytest.approx(np.mean(each))
    with pytest.raises(nm.DataError, match="gradients takes one sequence"):
        together.gradients(inputs, expected)
    with pytest.raises(nm.DataError, match="carry_state can't be used with 4-axis inputs"):
        together.train(inputs, expected, 0, carry_state=True)


def test_state_is_carried_on_only_when_asked() -> None:
    whole, cut, fresh = recurrent(), recurrent(), recurrent()
    whole.train(INPUTS, EXPECTED, 0)
    cut.train(INPUTS[:8], EXPECTED[:8], 0)
    cut.train(INPUTS[8:], EXPECTED[8:], 0, carry_state=True)
    fresh.train(INPUTS[:8], EXPECTED[:8], 0)
    fresh.train(INPUTS[8:], EXPECTED[8:], 0)
    assert_same(whole.get_parameters(), cut.get_parameters())
    assert_same(whole.state, cut.state)
    assert differ(whole.get_parameters(), fresh.get_parameters())


@pytest.mark.parametrize("threads", [1, 2])
def test_state_can_be_read_set_and_reset(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where threads divide the lanes."""
    divide_everything(monkeypatch)
    nm.seed(1)
    model = nm.build(nm.compile(TEXT, BATCH, 0.01, bptt_steps=WINDOW, threads=threads))
    assert model.kernels.kernel.options.threads == min(threads, processors())
    assert {name: array.shape for name, array in model.state.items()} == {"recur": (BATCH, 5)}
    start = copy.deepcopy(model)
    model.train(INPUTS[:8], EXPECTED[:8], 0)
    kept, parameters = model.state, model.get_parameters()
    assert np.abs(kept["recur"]).min(axis=0).max() > 0
    model.train(INPUTS[8:], EXPECTED[8:], 0, carry_state=True)
    after = model.get_parameters()
    model.set_parameters(parameters)
    model.state = kept
    assert_same(model.state, kept)
    model.train(INPUTS[8:], EXPECTED[8:], 0, carry_state=True)
    assert_same(model.get_parameters(), after)
    nm.reset_state(model)
    assert np.abs(model.state["recur"]).max() == 0
    model.state = {"recur": 0.5}
    assert (model.state["recur"] == 0.5).all()
    assert np.abs(start.state["recur"]).max() == 0


def test_state_can_be_set_by_either_name_of_a_node() -> None:
    text = """/xavier,zero/ (input, 3) {a, one, additive} {b, other, additive}
    (h, 3, <tanh>) [t, [one,]] [u, [other,]] (output, 2, <linear>, <mse>)"""
    model = nm.build(nm.compile(text, 1, 0.1))
    assert set(model.state) == {"one", "other"}
    for number, name in enumerate(("one", "other"), 1):
        model.state = {name: float(number)}
        for value in model.state.values():
            np.testing.assert_array_equal(value, np.full((1, 3), number))


def test_state_refuses_what_does_not_fit() -> None:
    model = recurrent()
    for value, message in (
        ({"recru": 0.0}, "keeps no state named 'recru'; it keeps: recur"),
        ({"recur": np.zeros((BATCH, 4))}, r"recur has shape \(4, 4\), and the model needs \(4, 5\)"),
        ({"recur": np.nan}, r"recur is nan, but must be finite"),
        ({"recur": "no"}, r"recur is 'no' \(str_\), but must be real numbers"),
    ):
        with pytest.raises(nm.DataError, match=message):
            model.state = value
    assert np.abs(model.state["recur"]).max() == 0
    assert plain().state == {}


def diverging(samples: int = 9) -> tuple[nm.Model, np.ndarray, np.ndarray]:
    """A model whose loss overflows at some sample, and that stands in the midst of a window."""
    inputs, expected = data(samples)
    return recurrent(rate=0.1), inputs, expected


def test_divergence_names_the_sample_and_keeps_the_last_finite_parameters() -> None:
    model, inputs, expected = diverging()
    expected[6, 2] = 3e38
    with pytest.raises(nm.TrainingDivergedError, match="training diverged: the loss of sample 6 is inf") as caught:
        model.train(inputs, expected, 0)
    assert "a smaller learning_rate, or clip_norm, may help" in str(caught.value)
    good = recurrent(rate=0.1)
    good.train(inputs[:WINDOW], expected[:WINDOW], 0)
    assert_same(model.get_parameters(), good.get_parameters())
    assert_same(model.state, good.state)
    np.testing.assert_array_equal(model.losses[:WINDOW], good.losses)
    model.train(inputs[:4], expected[:4], 0)


def test_divergence_of_a_gradient() -> None:
    model, inputs, expected = diverging()
    model.set_parameters({"output.bias": [1e17, 0.0], "a.weight": 0.0, "output.weight": 1e30})
    model.learning_rate = 1e38
    before = model.get_parameters()
    with pytest.raises(nm.TrainingDivergedError, match=r"training diverged: .* samples? 0"):
        model.train(inputs, expected, 0)
    assert_same(model.get_parameters(), before)


def test_divergence_in_a_sequence_names_it() -> None:
    inputs, expected = data(4, sequences=3)
    expected[1, 2] = 3e38
    model = recurrent()
    with pytest.raises(nm.TrainingDivergedError, match="the loss of sample 2 of sequence 1 is inf"):
        model.train(inputs, expected, 0)


def test_evaluate_of_a_loss_beyond_numbers_is_not_finite() -> None:
    model, inputs, expected = diverging()
    expected[6, 2] = 3e38
    assert not np.isfinite(model.evaluate(inputs, expected))
    with pytest.raises(nm.TrainingDivergedError, match="of these samples is not a finite number"):
        model.gradients(inputs, expected)


def train_for_ever(model: nm.Model, inputs: np.ndarray, expected: np.ndarray) -> None:
    while True:
        model.train(inputs, expected, 0)


def test_control_c_ends_training_with_whole_windows() -> None:
    inputs, expected = data(400_000)
    model = recurrent(rate=1e-3)
    sent = []

    def interrupt() -> None:
        time.sleep(0.1)
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        train_for_ever(model, inputs, expected)
    assert time.perf_counter() - sent[0] < 10.0  # 0.2 where nothing else keeps the processors busy
    done = np.count_nonzero(np.isfinite(model.losses))
    assert done > 0
    assert done % WINDOW == 0
    assert model.train(INPUTS, EXPECTED, 0) > 0


def test_control_c_leaves_the_parameters_of_whole_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    model, other = recurrent(), recurrent()
    run, calls = loop.Pass.run, []

    def interrupted(self: loop.Pass, start: int, stop: int) -> int:
        reached = run(self, start, stop)
        calls.append(reached)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return reached

    inputs, expected = data(200)
    monkeypatch.setattr(loop.Pass, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.train(inputs, expected, 0)
    monkeypatch.undo()
    done = calls[-1]
    assert done < len(inputs)
    other.train(inputs[:done], expected[:done], 0)
    assert_same(model.get_parameters(), other.get_parameters())
    np.testing.assert_array_equal(model.losses[:done], other.losses)


@pytest.mark.parametrize("sequences", [None, 3])
def test_losses_that_training_did_not_reach_are_not_numbers(
    sequences: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, expected = data(12, sequences=sequences)
    model, other, rest = recurrent(), recurrent(), ()
    if sequences:
        rest = (1,)
        other.train(inputs[0], expected[0], 0)
    first = other.losses if sequences else None
    other.train(inputs[rest][:WINDOW], expected[rest][:WINDOW], 0)
    run, calls = loop.Pass.run, []

    def interrupted(self: loop.Pass, start: int, stop: int) -> int:
        calls.append(start)
        if start == WINDOW and calls.count(0) == len(rest) + 1:
            raise KeyboardInterrupt
        return run(self, start, stop)

    monkeypatch.setattr(loop.Pass, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.train(inputs, expected, 0)
    np.testing.assert_array_equal(model.losses[rest], [*other.losses, *[np.nan] * (12 - WINDOW)])
    if sequences:
        np.testing.assert_array_equal(model.losses[0], first)
        assert np.isnan(model.losses[2]).all()


def test_losses_after_divergence_are_not_numbers() -> None:
    model, inputs, expected = diverging(12)
    expected[6, 2] = 3e38
    with pytest.raises(nm.TrainingDivergedError):
        model.train(inputs, expected, 0)
    assert np.isfinite(model.losses[:6]).all()
    assert np.isnan(model.losses[2 * WINDOW :]).all()


class Clock:
    """A time that passes only by samples: so much for each that a kernel works on."""

    def __init__(self, cost: float) -> None:
        self.cost, self.now = cost, 0.0
        self.pieces: list[float] = []

    def perf_counter(self) -> float:
        return self.now

    def work(self, samples: int) -> None:
        self.pieces.append(samples * self.cost)
        self.now += self.pieces[-1]


@pytest.mark.parametrize("cost", [1e-5, 1e-3, 0.009, 0.03])
@pytest.mark.parametrize("sequences", [None, 2])
def test_evaluation_looks_for_control_c_every_twentieth_of_a_second(
    cost: float, sequences: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or after each window, where that is longer; and its result does not depend on the pieces."""
    model, (inputs, expected) = recurrent(), data(999, sequences=sequences)
    wanted, clock, run = model.evaluate(inputs, expected), Clock(cost), loop.Pass.run

    def measured(self: loop.Pass, start: int, stop: int) -> int:
        clock.work(stop - start)
        return run(self, start, stop)

    monkeypatch.setattr(loop.Pass, "run", measured)
    monkeypatch.setattr(pacing, "time", clock)
    assert model.evaluate(inputs, expected) == wanted
    assert sum(clock.pieces) == pytest.approx(cost * 999 * (sequences or 1))
    assert max(clock.pieces) <= max(0.05, WINDOW * cost) * 1.001
    assert len(clock.pieces) < 2 * sum(clock.pieces) / max(0.05, WINDOW * cost) + 12


@pytest.mark.parametrize("cost", [1e-6, 1e-4, 1e-3])
@pytest.mark.parametrize("sequences", [None, 2])
def test_prediction_looks_for_control_c_every_twentieth_of_a_second(
    cost: float, sequences: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or after each chunk, where that is longer."""
    model, inputs = recurrent(), data(3000, sequences=sequences)[0]
    wanted, clock, predict = model.predict(inputs), Clock(cost), model.kernels.predict
    chunk = prediction.CHUNK_ROWS // BATCH

    def measured(lanes: int, samples: int, *arguments: Any) -> None:
        clock.work(samples)
        predict(lanes, samples, *arguments)

    monkeypatch.setitem(model.kernels.__dict__, "predict", measured)
    monkeypatch.setattr(pacing, "time", clock)
    np.testing.assert_array_equal(model.predict(inputs), wanted)
    assert sum(clock.pieces) == pytest.approx(cost * 3000 * (sequences or 1))
    assert max(clock.pieces) <= max(0.05, chunk * cost) * 1.001


# What is said ---------------------------------------------------------------------------------------------------------


def test_verbosity(capsys: pytest.CaptureFixture[str]) -> None:
    model = recurrent()
    for verbosity, lines in ((0, 0), (1, 0), (2, 3), (7, 3), (-1, 0)):
        nm.train(model, INPUTS, EXPECTED, verbosity)
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == lines
    nm.train(model, INPUTS[:6], EXPECTED[:6], 2)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("update 1: samples 0 to 3, loss ")
    assert second.startswith("update 2: samples 4 to 5, loss ")
    with pytest.raises(TypeError, match=r"^verbosity must be a whole number, not 'loud'$"):
        nm.train(model, INPUTS, EXPECTED, "loud")  # type: ignore[arg-type]


def test_weights_by_position_are_no_verbosity() -> None:
    model = plain()
    given = nm.batches(np.zeros((10, 3)), np.zeros((10, 2)), BATCH)
    for weights, shown in ((given[2], "an array of shape (3, 4)"), ([[1.0] * BATCH] * 3, "[[1.0, 1.0, 1.0, 1.0], [")):
        with pytest.raises(TypeError, match=r"did you mean sample_weight=…\?$") as caught:
            nm.train(model, given[0], given[1], weights)  # type: ignore[arg-type]
        assert str(caught.value).startswith(f"verbosity must be a whole number, not {shown}")
        assert len(str(caught.value)) < 160


@pytest.mark.parametrize("verbosity", [1, 2])
def test_a_bar_after_half_a_second(
    verbosity: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(np.arange(0.0, 1e6, 0.2))
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    inputs, expected = data(8, sequences=5)
    nm.train(recurrent(), inputs, expected, verbosity)
    out, err = capsys.readouterr()
    assert out == ""
    assert "40.0/40.0" in err
    assert err.count("update ") == (10 if verbosity == 2 else 0)


def test_build_says_how_long_compiling_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(tmp_path / "cache"))
    model = nm.compile("/xavier,zero/ (input, 2) (output, 1, <linear>, <mae>)", 3, 0.1, tier="compiled")
    assert nm.cache_info().entries == 0
    nm.build(model, verbosity=1)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"compiling kernels, \d+\.\d s\n", err)
    assert nm.cache_info().entries == 1
    nm.build(nm.compile(model.text, 3, 0.1, tier="compiled"), verbosity=1)
    assert capsys.readouterr().err == ""  # found


# Prediction and evaluation --------------------------------------------------------------------------------------------


def test_predict_takes_any_number_of_lanes() -> None:
    model = recurrent()
    results = nm.predict(model, INPUTS)
    assert (results.shape, results.dtype) == ((12, BATCH, 2), np.float32)
    for lane in range(BATCH):
        np.testing.assert_allclose(model.predict(INPUTS[:, lane]), results[:, lane], rtol=1e-5, atol=1e-6)
    many = np.concatenate([INPUTS] * 33, axis=1)
    np.testing.assert_allclose(model.predict(many), np.concatenate([results] * 33, axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(model.predict(INPUTS.tolist()), results)


def test_predict_follows_the_formula_over_many_chunks() -> None:
    model, inputs = recurrent(), data(1500)[0]
    p, recur, found = model.get_parameters(), np.zeros((BATCH, 5)), []
    for x in inputs.astype(float):
        recur = np.tanh(np.concatenate([x, recur], axis=1) @ p["a.weight"] + p["a.bias"])
        found.append(recur @ p["output.weight"] + p["output.bias"])
    np.testing.assert_allclose(model.predict(inputs), found, atol=1e-4)


def test_predict_and_evaluate_start_from_zero_and_change_nothing() -> None:
    model = recurrent()
    fresh = model.predict(INPUTS)
    model.train(INPUTS, EXPECTED, 0)
    model.set_parameters(recurrent().get_parameters())
    state, losses, parameters = model.state, model.losses.copy(), model.get_parameters()
    np.testing.assert_array_equal(model.predict(INPUTS), fresh)
    assert nm.evaluate(model, INPUTS, EXPECTED) == pytest.approx(((fresh - EXPECTED) ** 2).mean(), rel=1e-5)
    model.gradients(INPUTS, EXPECTED)
    assert_same(model.state, state)
    assert_same(model.get_parameters(), parameters)
    np.testing.assert_array_equal(model.losses, losses)


@pytest.mark.parametrize("threads", [1, 2])
def test_evaluate_goes_on_from_the_state_that_there_is(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where threads divide the lanes. The model stays as it is."""
    divide_everything(monkeypatch)
    nm.seed(1)
    model = nm.build(nm.compile(TEXT, BATCH, 0.01, bptt_steps=WINDOW, threads=threads))
    assert model.kernels.kernel.options.threads == min(threads, processors())
    model.train(INPUTS[:6], EXPECTED[:6], 0)
    state, losses, parameters = model.state, model.losses.copy(), model.get_parameters()
    stream = model.stream(BATCH)
    stream.state = state
    each = [((stream(x) - e) ** 2).mean() for x, e in zip(INPUTS[6:], EXPECTED[6:], strict=True)]
    for _ in range(2):
        found = nm.evaluate(model, INPUTS[6:], EXPECTED[6:], carry_state=True)
        assert found == pytest.approx(np.mean(each), rel=1e-5)
    assert found != pytest.approx(model.evaluate(INPUTS[6:], EXPECTED[6:]), rel=1e-3)
    assert_same(model.state, state)
    assert_same(model.get_parameters(), parameters)
    np.testing.assert_array_equal(model.losses, losses)
    model.learning_rate = 0.0
    assert model.train(INPUTS[6:], EXPECTED[6:], 0, carry_state=True) == pytest.approx(found, rel=1e-6)
    with pytest.raises(nm.DataError, match="carry_state can't be used with 4-axis inputs"):
        model.evaluate(*data(4, sequences=3), carry_state=True)


@pytest.mark.parametrize("wrong", [np.zeros(3), np.zeros((4, 2)), np.zeros((0, 3)), [[1, 2, 3], [1, 2]], "x", None])
def test_predict_refuses(wrong: Any) -> None:
    with pytest.raises(nm.DataError, match=r"^inputs"):
        recurrent().predict(wrong)


# Gradients ------------------------------------------------------------------------------------------------------------


def test_gradients_depend_on_nothing_that_training_does_with_them() -> None:
    """Not on the rate, which once made them infinite, nor on clipping, nor on what the optimizer remembers."""
    inputs, expected = data(6)
    model = recurrent(optimizer="adam")
    loss, found = model.gradients(inputs, expected)
    parameters = model.get_parameters()
    for rate, clip in ((0.0, None), (3e37, None), (1e-300, 1e-300), (3e37, 1e300)):
        model.train(inputs, expected, 0)
        model.set_parameters(parameters)
        model.learning_rate, model.clip_norm = rate, clip
        again, others = model.gradients(inputs, expected)
        assert again == loss
        assert_same(others, found)
        model.learning_rate, model.clip_norm = 0.1, None
    plain = recurrent()
    plain.set_parameters(parameters)
    plain.learning_rate = 3e38
    assert_same(plain.gradients(inputs, expected)[1], found)


def test_gradients_take_lengths() -> None:
    model, weight = recurrent(), (np.arange(12)[:, np.newaxis] < [12, 3, 0, 7]).astype(np.float32)
    loss, slopes = nm.gradients(model, INPUTS, EXPECTED, lengths=[12, 3, 0, 7])
    wanted, others = nm.gradients(model, INPUTS, EXPECTED, sample_weight=weight)
    assert loss == wanted
    assert_same(slopes, others)
    assert loss != nm.gradients(model, INPUTS, EXPECTED)[0]
    with pytest.raises(nm.DataError, match=r"lengths\[0\] is 13"):
        nm.gradients(model, INPUTS, EXPECTED, lengths=[13, 3, 0, 7])


SIGNS = "/xavier,zero/ (x, 2) (yes, 1, <linear>, <hinge>)"
COUNTS = "/xavier,zero/ (x, 2) (count, 1, <exp>, <poisson>)"


@pytest.mark.parametrize(
    ("text", "wrong", "right", "said"),
    [
        (SIGNS, 0.0, 1.0, r"is 0, and the loss hinge needs -1 or 1; 2 \* expected - 1 turns 0/1 labels into -1 and 1$"),
        (SIGNS, 0.5, -1.0, r"is 0.5, and the loss hinge needs -1 or 1$"),
        (COUNTS, -0.5, 0.0, r"is -0.5, and the loss poisson needs numbers of at least 0$"),
    ],
)
def test_every_way_in_refuses_what_the_loss_can_not_be_of(text: str, wrong: float, right: float, said: str) -> None:
    model = nm.build(nm.compile(text, 1, 0.1))
    inputs, expected = np.ones((3, 1, 2), np.float32), np.full((3, 1, 1), right, np.float32)
    assert np.isfinite(nm.train(model, inputs, expected, 0))
    expected[1] = wrong
    weights, before = np.array([[1.0], [0.0], [2.0]]), model.get_parameters()
    ways = [
        lambda: nm.train(model, inputs, expected, 0),
        lambda: nm.train(model, inputs.tolist(), expected.tolist(), 0, sample_weight=np.ones((3, 1))),
        lambda: nm.train(model, inputs[np.newaxis], expected[np.newaxis], 0, lengths=[2]),
        lambda: nm.fit(model, inputs, expected, epochs=1),
        lambda: nm.evaluate(model, inputs, expected),
        lambda: nm.gradients(model, inputs, expected),
        lambda: nm.gradcheck(model, inputs, expected),
    ]
    for number, way in enumerate(ways):
        place = r"expected\[0, 1, 0, 0\]" if number == 2 else r"expected\[1, 0, 0\]"
        with pytest.raises(nm.DataError, match=f"^{place} {said}"):
            way()
    assert_same(model.get_parameters(), before)
    for anything in (wrong, np.nan):  # where the weight is 0
        expected[1] = anything
        assert np.isfinite(nm.evaluate(model, inputs, expected, sample_weight=weights))
    assert nm.gradcheck(model).worst < 1e-5


@pytest.mark.parametrize("function", ["spike", "detach"])
def test_gradcheck_leaves_out_what_learns_through_a_surrogate(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    around = "{m, a, additive}" if function == "detach" else ""
    body = f"(a, 4, <tanh>) (s, <{function}>) {around} (b, 5, <tanh>)"
    text = f"/xavier,const_uneven 0 0.5/ (x, 3) {body} (o, 2, <linear>, <mse>)"
    report = nm.gradcheck(nm.build(nm.compile(text, 2, 0.1)))
    assert list(report.errors) == ["b.weight", "b.bias", "o.weight", "o.bias"]
    assert report.left_out == ("a",)
    assert str(report).endswith("left out, since differences can't tell a surrogate's gradient: a")
    text = "/xavier,zero/ (x, 3) (h, 4, <sigmoid>) {m, o, concatenate} (o, 2, <spike>, <mse>)"
    report = nm.gradcheck(nm.build(nm.compile(text, 2, 0.1)))
    assert (report.errors, report.left_out, report.worst) == ({}, ("h", "o"), 0.0)
    around = "{m, k, additive}" if function == "detach" else ""
    body = f"(a, 4, <tanh>) (k, <gain>) (s, <{function}>) {around} (b, <shift>)"
    report = nm.gradcheck(nm.build(nm.compile(f"/xavier,zero/ (x, 3) {body} (o, 2, <linear>, <mse>)", 2, 0.1)))
    assert report.left_out == ("a", "k")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_new_merges_train_and_pass_gradcheck(dtype: str) -> None:
    """Operands narrower and wider than the branch, beside whole vectors and not; padding must stay harmless."""
    for own, other in ((5, 2), (19, 33)):
        merges = "".join(
            f" {{{operation}{number}, {read}, {operation}}}"
            for number, read in enumerate(("o", "p"))
            for operation in ("maximum", "minimum", "divisive")
        )
        text = (
            f"/xavier,const_uneven 2 0.3/ (x, 3) [s, (o, {other}, <sigmoid>) | (p, {own}, <sigmoid>)]"
            f" (a, {own}, <tanh>){merges} (b, 6, <tanh>) (out, 2, <linear>, <mse>)"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", nm.MDLWarning)
            model = nm.build(nm.compile(text, 2, 0.05, dtype=dtype))
        rng = np.random.default_rng(0)
        inputs, expected = rng.normal(size=(20, 2, 3)), rng.uniform(size=(20, 2, 2))
        losses = [nm.train(model, inputs, expected, 0) for _ in range(20)]
        assert losses[-1] < losses[0]
        assert nm.gradcheck(model).worst < 1e-5


def test_gradcheck_reports_each_parameter() -> None:
    model = recurrent()
    before = model.get_parameters()
    report = nm.gradcheck(model)
    assert list(report.errors) == NAMES
    assert report.worst < 1e-5
    assert "a.weight" in str(report)
    assert_same(model.get_parameters(), before)
    assert nm.gradcheck(model, INPUTS.tolist(), EXPECTED.tolist(), checks=3).worst < 1e-5
    with pytest.raises(
        nm.GradientError, match=r"gradients disagree with central differences:\n(.|\n)*a\.weight .*DISAGREES"
    ):
        nm.gradcheck(model, tolerance=1e-30)
    with pytest.raises(nm.DataError, match=r"^inputs"):
        nm.gradcheck(model, [[1, 2], [3]])
    with pytest.raises(nm.DataError, match=r"^inputs"):
        nm.gradcheck(model, INPUTS[:, :2])
    with pytest.raises(ValueError, match=r"^checks must be at least 1"):
        nm.gradcheck(model, checks=0)
    with pytest.raises(ValueError, match=r"^step must be greater than 0"):
        nm.gradcheck(model, step=0)


# Parameters -----------------------------------------------------------------------------------------------------------


def test_parameters_are_named_copies_in_text_order() -> None:
    model = recurrent()
    found = nm.get_parameters(model)
    shapes = [(8, 5), (5,), (5, 2), (2,)]
    assert [(name, array.shape) for name, array in found.items()] == list(zip(NAMES, shapes, strict=True))
    assert all(array.dtype == np.float32 for array in found.values())
    found["a.weight"][:] = 9
    assert np.abs(nm.get_parameters(model)["a.weight"]).max() < 9


def test_parameters_can_be_set_in_part_and_broadcast() -> None:
    model = recurrent()
    before = model.get_parameters()
    nm.set_parameters(model, {"a.bias": 1, "output.weight": [2.0, 3.0], "a.weight": np.arange(40).reshape(8, 5)})
    after = nm.get_parameters(model)
    np.testing.assert_array_equal(after["a.bias"], np.ones(5))
    np.testing.assert_array_equal(after["output.weight"], [[2, 3]] * 5)
    np.testing.assert_array_equal(after["a.weight"], np.arange(40).reshape(8, 5))
    np.testing.assert_array_equal(after["output.bias"], before["output.bias"])
    nm.set_parameters(model, before)
    assert_same(model.get_parameters(), before)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("a.wieght", 0.0, "the model has no parameter 'a.wieght'; did you mean 'a.weight'"),
        (3, 0.0, "the model has no parameter 3"),
        ("a.weight", np.zeros((5, 8)), r"a\.weight has shape \(5, 8\), and the model needs \(8, 5\)"),
        ("a.weight", [[1, 2], [3]], r"a\.weight\[1\] has 1 number, but a\.weight\[0\] has 2"),
        ("a.weight", "many", r"a\.weight is 'many' \(str_\), but must be real numbers"),
        ("a.bias", [0, 0, np.nan, 0, 0], r"a\.bias\[2\] is nan, but must be finite"),
        ("a.bias", 1e300, r"a\.bias is 1e\+300, too large for float32"),
        ("a.bias", 1j, r"a\.bias is 1j \(complex128\), but must be real numbers"),
    ],
)
def test_parameters_that_do_not_fit_change_nothing(name: Any, value: Any, message: str) -> None:
    model = recurrent()
    before = model.get_parameters()
    with pytest.raises(nm.DataError, match=message):
        model.set_parameters({"output.bias": 7.0, name: value})
    assert_same(model.get_parameters(), before)


def test_set_parameters_takes_a_dictionary() -> None:
    with pytest.raises(TypeError, match="parameters must be a dict"):
        recurrent().set_parameters([1.0])  # type: ignore[arg-type]


# Copies ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_trains_on_bit_for_bit(copied: Callable[[nm.Model], nm.Model]) -> None:
    model = recurrent(clip_norm=1.5)
    model.train(INPUTS[:8], EXPECTED[:8], 0)
    model.learning_rate = 0.03
    other = copied(model)
    assert (other.learning_rate, other.clip_norm, other.options, other.text) == (0.03, 1.5, model.options, model.text)
    assert other.losses.size == 0
    for one in (model, other):
        one.train(INPUTS[8:], EXPECTED[8:], 0, carry_state=True)
    assert_same(model.get_parameters(), other.get_parameters())
    assert_same(model.state, other.state)
    other.set_parameters({"a.weight": 0.0})
    assert differ(model.get_parameters(), other.get_parameters())
    nm.release(other)
    assert model.built


def test_a_model_not_built_can_be_copied() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = pickle.loads(pickle.dumps(nm.compile(TEXT, BATCH, 0.1)))
    assert not other.built
    assert nm.build(other).predict(INPUTS).shape == (12, BATCH, 2)


# Batches, the cache, threads ------------------------------------------------------------------------------------------


def test_batches_feed_training() -> None:
    vectors = np.random.default_rng(5).normal(size=(10, 3)).astype(np.float32)
    inputs, expected, weight = nm.batches(vectors, [0, 1] * 5, BATCH, classes=2)
    assert (inputs.shape, expected.shape) == ((3, BATCH, 3), (3, BATCH, 2))
    np.testing.assert_array_equal(weight, [[1] * 4, [1] * 4, [1, 1, 0, 0]])
    model = plain()
    wanted = ((model.predict(vectors) - np.eye(2)[[0, 1] * 5]) ** 2).mean()
    assert model.evaluate(inputs, expected, sample_weight=weight) == pytest.approx(wanted, rel=1e-5)
    assert np.isfinite(model.train(inputs, expected, 0, sample_weight=weight))


def test_the_cache_can_be_seen_and_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recurrent()
    info = nm.cache_info()
    assert info.entries >= 1
    assert info.bytes > 0
    assert str(info.path) == os.environ["NEUROMORPH_CACHE_DIR"]
    copied = tmp_path / "cache"
    shutil.copytree(info.path, copied)
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(copied))
    assert nm.cache_info().entries == info.entries
    assert nm.clear_cache() == info.entries
    assert nm.cache_info().entries == 0
    (copied / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match=r"mine\.txt.* nothing was removed"):
        nm.clear_cache()
    assert (copied / "mine.txt").read_text() == "keep"


def in_threads(work: Callable[[int], Any], count: int) -> list[Any]:
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        results[number] = work(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_several_models_train_in_several_threads() -> None:
    inputs, expected = data(3000)

    def trained(model: nm.Model) -> Parameters:
        for _ in range(3):
            model.train(inputs, expected, 0)
        return model.get_parameters()

    alone = [trained(recurrent(seed, rate=0.01)) for seed in range(4)]
    models = [recurrent(seed, rate=0.01) for seed in range(4)]
    for one, other in zip(alone, in_threads(lambda number: trained(models[number]), 4), strict=True):
        assert_same(one, other)


def test_threads_that_share_a_model_take_turns() -> None:
    model, other = recurrent(), recurrent()
    in_threads(lambda number: [model.train(INPUTS, EXPECTED, 0) for _ in range(5)], 4)
    for _ in range(20):
        other.train(INPUTS, EXPECTED, 0)
    assert_same(model.get_parameters(), other.get_parameters())


def test_kernels_release_the_lock_of_the_interpreter() -> None:
    model, (inputs, expected) = recurrent(rate=1e-3), data(400_000)
    seen, over = [], threading.Event()

    def count() -> None:
        while not over.wait(0.005):
            seen.append(time.perf_counter())

    watcher = threading.Thread(target=count)
    watcher.start()
    try:
        model.evaluate(inputs, expected)
    finally:
        over.set()
        watcher.join()
    assert len(seen) >= 2


# The package ----------------------------------------------------------------------------------------------------------


def test_everything_public_is_there_and_has_a_docstring() -> None:
    for name in nm.__all__:
        assert getattr(nm, name).__doc__, name
    assert len(set(nm.__all__)) == len(nm.__all__)


def test_names_are_looked_up_in_time() -> None:
    """A missing one raises; those of modules and private ones import nothing. Modules for users are there."""
    code = (
        "import sys\nimport neuromorph as nm\nassert not hasattr(nm, 'demo') and not hasattr(nm, '_hidden')\n"
        "assert 'numpy' not in sys.modules\nassert nm.__all__ == sorted(nm.__all__)\n"
        "assert {*nm.__all__} <= {*dir(nm)}\n"
        "assert all(getattr(nm, module).__name__ == f'neuromorph.{module}' for module in nm._MODULES)\n"
        "assert not hasattr(nm, 'callbacks')\n"
        "from neuromorph import *\nprint(SGD.__name__, train.__name__)\nnm.tarin"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "SGD train\n"
    assert "AttributeError: module 'neuromorph' has no attribute 'tarin'" in done.stderr


def test_no_module_hides_a_public_name() -> None:
    """Importing a submodule sets it as an attribute of the package, in place of a function of that name."""
    assert not {module.name for module in pkgutil.iter_modules(nm.__path__)} & set(nm.__all__)


def test_errors_are_what_they_are_nearest_to() -> None:
    for error, builtin in (
        (nm.MDLError, ValueError), (nm.MDLSyntaxError, nm.MDLError), (nm.MDLSemanticError, nm.MDLError),
        (nm.DataError, ValueError), (nm.ModelStateError, RuntimeError), (nm.TrainingDivergedError, ArithmeticError),
        (nm.StorageError, ValueError), (nm.GradientError, AssertionError),
    ):  # fmt: skip
        assert issubclass(error, builtin)
        assert issubclass(error, nm.NeuromorphError)
    for warning in (nm.MDLWarning, nm.CacheWarning):
        assert issubclass(warning, UserWarning)
