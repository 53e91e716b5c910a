"""``Checkpoint``: which epochs it saves, under which names, what a failure does, and that training goes on from a file.

Kernels run as plain Python here.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuromorph as nm
from neuromorph.storage import files

LINEAR = "/uniform -0.5 0.5,zero/ (input, 2) (output, 1, <linear>, <mse>)"
RECURRENT = """/uniform -0.5 0.5,zero/
(input, 2) {sum, recur, concatenate} (a, 3, <tanh>) [tap, [recur,]] (output, 1, <linear>, <mse>)"""
LANES = 2

pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:.*encountered in:RuntimeWarning"
    ),  # of plain Python, where compiled code is silent
    pytest.mark.usefixtures("interpreted"),
]


def made(text: str = LINEAR, **options: Any) -> nm.Model:
    nm.seed(1)
    return nm.build(nm.compile(text, LANES, 0.05, **options))


def data(*leading: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (…, 2, 2) and what is expected of them (…, 2, 1)."""
    inputs = np.random.default_rng(0).normal(size=(*leading, LANES, 2)).astype(np.float32)
    return inputs, inputs[..., :1] - 0.5 * inputs[..., 1:]


def flat(model: nm.Model) -> np.ndarray:
    return np.concatenate([value.ravel() for value in model.get_parameters().values()])


class Recorder(nm.Callback):
    """Keeps the parameters after each epoch."""

    def __init__(self) -> None:
        self.parameters: list[np.ndarray] = []

    def after_epoch(self, run: Any) -> None:
        self.parameters.append(flat(run.model))


class Losses(nm.Callback):
    """Puts numbers of its own into the history, or does something after an epoch."""

    def __init__(self, name: str, values: list[float], then: dict[int, Any] | None = None) -> None:
        self.name, self.values, self.then = name, values, then or {}

    def after_epoch(self, run: Any) -> None:
        getattr(run.history, self.name)[-1] = self.values[run.epoch]
        self.then.get(run.epoch, lambda: None)()


def fit(checkpoint: nm.Checkpoint, losses: list[float], *, name: str = "loss", then: Any = None, **options: Any) -> Any:
    """A training whose epochs record these losses; the parameters after each epoch."""
    recorder = Recorder()
    callbacks = [Losses(name, losses, then), recorder, checkpoint]
    made().fit(*data(4), epochs=len(losses), callbacks=callbacks, progress=False, **options)
    return recorder.parameters


# Which epochs, which names --------------------------------------------------------------------------------------------


def test_a_path_without_fields_holds_the_last_epoch(tmp_path: Path) -> None:
    checkpoint = nm.Checkpoint(tmp_path / "new" / "folder" / "run.safetensors")
    parameters = fit(checkpoint, [3, 2, 1])
    np.testing.assert_array_equal(flat(nm.load(checkpoint.path)), parameters[-1])
    assert (checkpoint.last, checkpoint.failures) == (str(checkpoint.path), 0)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["run.safetensors"]


def test_fields_name_a_file_of_each_epoch(tmp_path: Path) -> None:
    checkpoint = nm.Checkpoint(tmp_path / "{{x}}{epoch:03d} {loss:.2f} {validation:g} {validation_loss:g}")
    parameters = fit(checkpoint, [0.5, 0.25], name="validation_loss", validation=data(2))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [re.sub(r" \d+\.\d\d ", " loss ", name) for name in names] == [
        "{x}000 loss 0.5 0.5",
        "{x}001 loss 0.25 0.25",
    ]
    for name, wanted in zip(names, parameters, strict=True):
        np.testing.assert_array_equal(flat(nm.load(tmp_path / name)), wanted)
    assert checkpoint.last == str(tmp_path / names[1])


def test_a_field_may_name_the_folder(tmp_path: Path) -> None:
    fit(nm.Checkpoint(tmp_path / "{epoch}" / "m.st"), [1, 2])
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.st")) == ["0/m.st", "1/m.st"]


def test_a_bare_name_goes_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fit(nm.Checkpoint("m.st"), [1])
    assert (tmp_path / "m.st").exists()


@pytest.mark.parametrize(("every", "saved"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3]), (3, [2]), (6, [])])
def test_every_so_many_epochs(tmp_path: Path, every: int, saved: list[int]) -> None:
    checkpoint = nm.Checkpoint(tmp_path / "{epoch}", every=every)
    fit(checkpoint, [5, 4, 3, 2, 1])
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == saved
    assert checkpoint.last == (str(tmp_path / str(saved[-1])) if saved else None)


@pytest.mark.parametrize(
    ("options", "losses", "saved"),
    [
        ({}, [3, 2, 2, 1, 4], [0, 1, 3]),
        ({"every": 2}, [1, 3, 2, 4, 0, 2], [1, 5]),
        ({"monitor": "loss"}, [1, float("nan"), 0], [0, 2]),
    ],
)
def test_the_best_only(tmp_path: Path, options: dict[str, Any], losses: list[float], saved: list[int]) -> None:
    checkpoint = nm.Checkpoint(tmp_path / "{epoch}", best_only=True, **options)
    for _ in range(2):  # a second call starts afresh
        fit(checkpoint, losses)
        assert sorted(int(path.name) for path in tmp_path.iterdir()) == saved


@pytest.mark.parametrize(
    ("initial", "losses", "saved"),
    [(2.5, [3, 2, 1, 2], [1, 2]), (0, [3, 2, 1, 2], []), (np.float32(2), [2, 3, -1], [2]), (None, [3, 4], [0])],
)
def test_an_initial_value_has_to_be_beaten(tmp_path: Path, initial: Any, losses: list[float], saved: list[int]) -> None:
    checkpoint = nm.Checkpoint(tmp_path / "{epoch}", best_only=True, initial=initial)
    for _ in range(2):  # in every call
        fit(checkpoint, losses)
        assert sorted(int(path.name) for path in tmp_path.iterdir()) == saved


def test_a_resumed_training_keeps_the_better_file(tmp_path: Path) -> None:
    """The advice of the docstring."""
    model, held_out = made(), data(3)
    options: dict[str, Any] = {"validation": held_out, "progress": False}
    best = nm.Checkpoint(tmp_path / "best", best_only=True)
    history = model.fit(*data(4), epochs=3, callbacks=best, **options)
    written = (tmp_path / "best").read_bytes()
    again = nm.load(tmp_path / "best")
    initial = again.evaluate(*held_out)
    assert initial == min(history.validation_loss)
    again.learning_rate = 30.0
    best = nm.Checkpoint(tmp_path / "best", best_only=True, initial=initial)
    worse = again.fit(*data(4), epochs=1, callbacks=best, **options)
    assert worse.validation_loss[0] > initial
    assert (tmp_path / "best").read_bytes() == written
    assert (best.last, best.failures) == (None, 0)


def test_by_default_the_best_is_that_of_the_validation_loss(tmp_path: Path) -> None:
    checkpoint = nm.Checkpoint(tmp_path / "{epoch}", best_only=True)
    fit(checkpoint, [1, 3, 2], name="validation_loss", validation=0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


def test_of_accuracy_more_is_better(tmp_path: Path) -> None:
    checkpoint = nm.Checkpoint(tmp_path / "{epoch}-{accuracy}", best_only=True, monitor="accuracy")
    nm.seed(1)
    model = nm.build(nm.compile("/uniform,zero/ (input, 2) (o, 1, <sigmoid>, <binary_cross_entropy>)", LANES, 0.1))
    fake = Losses("accuracy", [0.25, 0.5, 0.25])
    model.fit(*data(4), epochs=3, metrics="accuracy", callbacks=[fake, checkpoint], progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0-0.25", "1-0.5"]


# Restart --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leading", [(11,), (3, 5)])
@pytest.mark.parametrize("optimizer", ["adam", nm.SGD(momentum=0.9)])
def test_training_goes_on_bit_for_bit(tmp_path: Path, leading: tuple[int, ...], optimizer: Any) -> None:
    inputs, expected = data(*leading)
    options: dict[str, Any] = {"validation": (inputs[:2], expected[:2]), "progress": False}
    one, other = (made(RECURRENT, optimizer=optimizer, bptt_steps=4, clip_norm=1.0) for _ in range(2))
    whole = one.fit(inputs, expected, epochs=5, **options)
    other.fit(inputs, expected, epochs=2, callbacks=nm.Checkpoint(tmp_path / "run"), **options)
    other.release()
    again = nm.load(tmp_path / "run")
    rest = again.fit(inputs, expected, epochs=3, **options)
    assert rest.loss == whole.loss[2:]
    assert rest.validation_loss == whole.validation_loss[2:]
    for name in ("get_parameters", "optimizer_state", "state"):
        found, wanted = (getattr(model, name) for model in (again, one))
        found, wanted = (value() if callable(value) else value for value in (found, wanted))
        assert found.keys() == wanted.keys() != set()
        for key in wanted:
            np.testing.assert_array_equal(found[key], wanted[key], err_msg=key)
    assert np.abs(flat(one)).max() > 0


def test_training_that_carries_its_state_goes_on_bit_for_bit(tmp_path: Path) -> None:
    inputs, expected = data(11)
    options: dict[str, Any] = {"validation": 0.3, "carry_state": True, "progress": False}
    one, other = made(RECURRENT, bptt_steps=4), made(RECURRENT, bptt_steps=4)
    whole = one.fit(inputs, expected, epochs=4, **options)
    other.fit(inputs, expected, epochs=2, callbacks=nm.Checkpoint(tmp_path / "run"), **options)
    rest = nm.load(tmp_path / "run").fit(inputs, expected, epochs=2, **options)
    assert (rest.loss, rest.validation_loss) == (whole.loss[2:], whole.validation_loss[2:])


def test_behind_a_callback_that_sets_the_learning_rate_its_file_has_that(tmp_path: Path) -> None:
    plateau = nm.ReduceOnPlateau(patience=1, factor=0.5)
    made().fit(
        *data(4), epochs=2, callbacks=[Losses("loss", [1, 2]), plateau, nm.Checkpoint(tmp_path / "m")], progress=False
    )
    assert nm.load(tmp_path / "m").learning_rate == 0.025


# Failures -------------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_once_and_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, left = files.replace_file, iter([1, 0, 0, 1, 1])

    def full(target: str, content: bytes) -> None:
        if not next(left):
            raise OSError(errno.ENOSPC, "No space left on device", target)
        replace(target, content)

    monkeypatch.setattr(files, "replace_file", full)
    checkpoint = nm.Checkpoint(tmp_path / "{epoch}")
    with pytest.warns(RuntimeWarning) as told:
        parameters = fit(checkpoint, [5, 4, 3, 2, 1])
    assert [str(warning.message) for warning in told] == [
        f"no checkpoint after epoch 1: [Errno 28] No space left on device: '{tmp_path / '1'}'; "
        "training goes on, and later epochs try again"
    ]
    assert (checkpoint.failures, checkpoint.last) == (2, str(tmp_path / "4"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "3", "4"]
    assert len(parameters) == 5


def test_each_fit_warns_at_the_line_that_called_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python tells the same words of the same line once only, if it is asked to remember them."""

    def full(target: str, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", target)

    monkeypatch.setattr(files, "replace_file", full)
    model, checkpoint = made(), nm.Checkpoint(tmp_path / "m")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(3):
            model.fit(*data(4), epochs=2, callbacks=checkpoint, progress=False)
    told = [warning for warning in told if "no checkpoint after epoch 0" in str(warning.message)]
    assert [warning.filename for warning in told] == [__file__] * 3
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "no checkpoint", module=__name__)
        with pytest.raises(RuntimeWarning, match="no checkpoint after epoch 0"):
            model.fit(*data(4), epochs=2, callbacks=checkpoint, progress=False)


def test_the_best_is_that_of_the_file_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss of 1 was never written, so that of 2 is better than the file, which has 3."""
    replace, left = files.replace_file, iter([1, 0, 1])

    def full(target: str, content: bytes) -> None:
        if not next(left):
            raise MemoryError
        replace(target, content)

    monkeypatch.setattr(files, "replace_file", full)
    with pytest.warns(RuntimeWarning, match="no checkpoint after epoch 1: MemoryError; training goes on"):
        parameters = fit(nm.Checkpoint(tmp_path / "m", best_only=True), [3, 1, 2])
    np.testing.assert_array_equal(flat(nm.load(tmp_path / "m")), parameters[2])


def test_a_folder_that_is_gone_or_in_the_way_is_a_failure_too(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def replaced() -> None:
        (folder / "m").unlink()
        folder.rmdir()
        folder.write_text("a file")

    def blocked() -> None:
        folder.unlink()
        (folder / "m").mkdir(parents=True)

    checkpoint = nm.Checkpoint(folder / "m")
    with pytest.warns(RuntimeWarning, match="no checkpoint after epoch 1: .*'; training goes on"):
        fit(checkpoint, [4, 3, 2], then={1: replaced, 2: blocked})
    assert checkpoint.failures == 2


def test_a_failure_is_no_error_of_its_own_in_a_second_call(tmp_path: Path) -> None:
    checkpoint = nm.Checkpoint(tmp_path / "run" / "m")
    with pytest.warns(RuntimeWarning):
        fit(checkpoint, [1], then={0: lambda: ((tmp_path / "run").rmdir(), (tmp_path / "run").write_text(""))})
    (tmp_path / "run").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*encountered in", RuntimeWarning)
        fit(checkpoint, [1])
    assert (checkpoint.failures, checkpoint.last) == (0, str(tmp_path / "run" / "m"))


def refused_before_training(checkpoint: nm.Checkpoint, error: type[Exception], message: str, **options: Any) -> None:
    """``fit`` raises, and the model has not moved."""
    model = made()
    before = flat(model)
    with pytest.raises(error, match=re.escape(message)):
        model.fit(*data(4), epochs=2, callbacks=checkpoint, progress=False, **options)
    np.testing.assert_array_equal(flat(model), before)


def test_a_place_that_can_not_work_is_an_error_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused_before_training(
        nm.Checkpoint(tmp_path), IsADirectoryError, "a checkpoint needs a file, but this is a folder"
    )
    refused_before_training(nm.Checkpoint(tmp_path / "file" / "m"), OSError, str(tmp_path / "file"))
    refused_before_training(nm.Checkpoint(tmp_path / ("x" * 300)), OSError, "File name too long")


@pytest.mark.parametrize("place", ["/dev/null", "/dev/full", "pipe", "socket", "link to a pipe", "pipe of {epoch}"])
def test_what_is_no_regular_file_is_an_error_before_training(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    os.mkfifo("pipe of 0")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    Path("link to a pipe").symlink_to("pipe")
    before = sorted(path.name for path in tmp_path.iterdir())
    checkpoint = nm.Checkpoint(place)
    said = "a checkpoint needs a regular file, but this is a device, a pipe or a socket"
    refused_before_training(checkpoint, OSError, said)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_link_is_followed_to_the_folder_that_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "new" / "m")
    checkpoint = nm.Checkpoint(tmp_path / "link")
    parameters = fit(checkpoint, [1])
    assert (tmp_path / "link").is_symlink()
    np.testing.assert_array_equal(flat(nm.load(tmp_path / "new" / "m")), parameters[0])
    (tmp_path / "file").write_text("")
    (tmp_path / "lost").symlink_to(tmp_path / "file" / "m")
    refused_before_training(nm.Checkpoint(tmp_path / "lost"), OSError, str(tmp_path / "file"))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused_before_training(nm.Checkpoint(tmp_path / "loop"), OSError, "Too many levels of symbolic links")


def test_a_folder_that_can_not_be_written_is_an_error_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    checkpoint = nm.Checkpoint(tmp_path / "m")
    refused_before_training(checkpoint, PermissionError, f"a checkpoint can't be written to this folder: '{tmp_path}'")


def test_what_is_not_recorded_is_refused_before_training(tmp_path: Path) -> None:
    for name in ("validation", "accuracy"):
        checkpoint = nm.Checkpoint(tmp_path / f"{{{name}}}")
        message = f"path has {{{name}}}, but this call of fit records loss, learning_rate, seconds only"
        refused_before_training(checkpoint, ValueError, message)
    checkpoint = nm.Checkpoint(tmp_path / "new" / "m", best_only=True, monitor="validation_loss")
    refused_before_training(checkpoint, ValueError, "monitor must be one of loss in this call of fit")
    refused_before_training(nm.Checkpoint(tmp_path / "new" / "{accuracy}"), ValueError, "path has {accuracy}")
    assert list(tmp_path.iterdir()) == []


# Arguments ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("{epok}", ValueError, "path has the field {epok}, but may have {epoch}, {loss}, {validation_loss}, "),
        ("{epok}", ValueError, " only; did you mean {epoch}?"),
        ("{qq}", ValueError, "{validation} only"),
        ("{}", ValueError, "path has the field {}"),
        ("{0}", ValueError, "path has the field {0}"),
        ("{loss.real}", ValueError, "path has the field {loss.real}"),
        (
            "{epoch",
            ValueError,
            "path '{epoch' has a malformed field: expected '}' before end of string",
        ),
        ("epoch}", ValueError, "path 'epoch}' has a malformed field"),
        ("{loss:d}", ValueError, "path '{loss:d}' has a malformed field: Unknown format code 'd'"),
        ("{epoch:3y}", ValueError, "path '{epoch:3y}' has a malformed field"),
        ("{epoch:{seed}}", ValueError, "path '{epoch:{seed}}' has a malformed field: 'seed'"),
        ("{epoch!x}", ValueError, "path '{epoch!x}' has a malformed field"),
        ("", ValueError, "path '' can't be the name of a file"),
        ("a\0b", ValueError, "path 'a\\x00b' can't be the name of a file"),
        ("run/", ValueError, "path 'run/' can't be the name of a file"),
        ("{epoch}//", ValueError, "path '{epoch}//' can't be the name of a file"),
        ("run/.", ValueError, "path 'run/.' can't be the name of a file"),
        ("run/..", ValueError, "path 'run/..' can't be the name of a file"),
        (b"m", TypeError, "path must be a text (str) or a path object, not b'm'"),
        (None, TypeError, "path must be a text (str) or a path object, not None"),
        (5, TypeError, "path must be a text (str) or a path object, not 5"),
    ],
)
def test_a_wrong_path_is_refused_at_once(path: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        nm.Checkpoint(path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"every": 0}, ValueError, "every must be at least 1, not 0"),
        ({"every": 2.5}, TypeError, "every must be a whole number, not 2.5"),
        ({"best_only": 1}, TypeError, "best_only must be True or False, not 1"),
        ({"monitor": "loss"}, ValueError, "monitor='loss' says what is best, so it needs best_only=True"),
        ({"initial": 1}, ValueError, "initial=1.0 is what the best has to beat, so it needs best_only=True"),
        ({"initial": "1", "best_only": True}, TypeError, "initial must be a number, not '1'"),
        ({"initial": True, "best_only": True}, TypeError, "initial must be a number, not True"),
        ({"initial": [1.0], "best_only": True}, TypeError, "initial must be a number, not [1.0]"),
        ({"initial": float("nan"), "best_only": True}, ValueError, "initial must be a finite number, not nan"),
        ({"initial": 10**400, "best_only": True}, ValueError, "initial must be a finite number, not 1000"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        nm.Checkpoint("m", **options)


def test_only_the_path_is_given_by_position() -> None:
    with pytest.raises(TypeError):
        nm.Checkpoint("m", 2)  # type: ignore[misc]
