"""Saved models: everything comes back, files are whole or not there, and no file can do harm."""

import copy
import errno
import json
import os
import pickle
import random
import re
import signal
import stat
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import neuromorph as nm
from helpers.mutations import FAULTS, mutated_file
from neuromorph.host import atomic_write, cgroups
from neuromorph.runtime import seeding
from neuromorph.storage import header

TEXT = """
/xavier,const_uneven 0.1 0.3/   # comments are kept: ü, 𝕏
(input, 3)
{both, recur, concatenate}
(a.b-c, 5, <tanh>)
[link, [recur,]]
{sum, sum, average}
(output, 2, <linear>, <mse>)
"""
BATCH, WINDOW = 4, 3
OPTIMIZERS = [
    nm.SGD(), nm.SGD(weight_decay=0.1), nm.SGD(momentum=0.9), nm.SGD(momentum=0.9, nesterov=True),
    nm.RMSProp(alpha=0.7), nm.RMSProp(momentum=0.5), nm.Adam(betas=(0.5, 0.75)), nm.AdamW(weight_decay=0.25),
]  # fmt: skip


def made(seed: int = 1, **options: Any) -> nm.Model:
    """A built model with links in time."""
    nm.seed(seed)
    return nm.build(nm.compile(TEXT, BATCH, 0.1, **{"bptt_steps": WINDOW, "clip_norm": 2.5, **options}))


def data(seed: int = 0, samples: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(samples, BATCH, 3)), rng.normal(size=(samples, BATCH, 2))


def everything(model: nm.Model) -> dict[str, Any]:
    """All that a model keeps, arrays as their bytes."""
    arrays = {}
    if model.built:
        arrays |= model.get_parameters()
        arrays |= {f"optimizer {name}": array for name, array in model.optimizer_state.items()}
        arrays |= {f"state {name}": array for name, array in model.state.items()}
    found: dict[str, Any] = {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}
    settings = (model.learning_rate, model.clip_norm, model.optimizer, model.options, model.text)
    history = {} if model.history is None else {**vars(model.history), "seconds": len(model.history.seconds)}
    return found | {"settings": settings, "history": history}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of a small model that was trained, as bytes."""
    text = "/xavier,zero/ (input, 2) {a, r, additive} (h, 3, <tanh>) [l, [r,]] (output, 1, <sigmoid>, <mse>)"
    with pytest.warns(nm.MDLWarning, match="the widths differ"):
        model = nm.compile(text, 2, 0.1, optimizer="adam", bptt_steps=3)
    model.prepare()
    rng = np.random.default_rng(0)
    model.set_parameters({name: rng.normal(size=array.shape) for name, array in model.get_parameters().items()})
    model.state = {"r": 0.25}
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    model.save(path)
    return path.read_bytes()


# What comes back ------------------------------------------------------------------------------------------------------


def through_file(model: nm.Model, path: Path) -> nm.Model:
    model.save(path)
    return nm.load(path)


COPIES: dict[str, Callable[[nm.Model, Path], nm.Model]] = {
    "save": through_file,
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, path: copy.deepcopy(model),
}


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=str)
def test_training_goes_on_as_if_nothing_had_happened(way: str, optimizer: nm.Optimizer, path: Path) -> None:
    model = made(optimizer=optimizer)
    model.train(*data(), 0)
    other = COPIES[way](model, path)
    assert everything(other) == everything(model)
    assert model.train(*data(1), 0, carry_state=True) == other.train(*data(1), 0, carry_state=True)
    assert everything(other) == everything(model)


@pytest.mark.parametrize("way", COPIES)
def test_compiled_training_goes_on_bit_for_bit(way: str, path: Path) -> None:
    model = made(optimizer="adam")
    model.train(*data(), 0)
    other = COPIES[way](model, path)
    assert model.train(*data(1), 0, carry_state=True) == other.train(*data(1), 0, carry_state=True)
    assert everything(other) == everything(model)
    assert other.predict(data()[0]).tobytes() == model.predict(data()[0]).tobytes()


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize(
    "options",
    [
        {"dtype": "float64", "threads": 2},
        {"clip_norm": None, "bptt_steps": 1},
        {"tier": "instant"},
        {"tier": "compiled"},
    ],
    ids=str,
)
def test_arguments_come_back(way: str, options: dict[str, Any], path: Path) -> None:
    model = made(**options)
    model.learning_rate = 0.1 + 0.2
    model.train(*data(), 0)
    other = COPIES[way](model, path)
    assert everything(other) == everything(model)
    assert other.options == model.options
    assert other.kernel_source() == model.kernel_source()


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("way", COPIES)
def test_losses_of_samples_stay_behind(way: str, path: Path) -> None:
    """They are as many as the samples, not as the parameters."""
    model = made()
    sizes = []
    for samples in (8, 800):
        model.train(*data(samples=samples), 0)
        model.save(path)
        sizes.append((path.stat().st_size, len(pickle.dumps(model))))
    assert max(abs(few - many) for few, many in zip(*sizes, strict=True)) < 100  # digits of the generator
    assert COPIES[way](model, path).losses.shape == (0,)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("way", COPIES)
def test_the_history_comes_back(way: str, path: Path) -> None:
    model = made()
    history = model.fit(*data(), epochs=3, validation=0.25, progress=False)
    history.seconds[1], history.metrics, history.best_epoch = np.nan, {"mae": [np.inf, -np.inf, 1]}, 1
    found = COPIES[way](model, path).history
    assert isinstance(found, nm.History)
    assert repr(vars(found)) == repr(vars(history) | {"metrics": {"mae": [np.inf, -np.inf, found.mae[2]]}})
    assert (found.mae[2], found.ended, len(found)) == (1.0, "all epochs", 3)


@pytest.mark.parametrize(
    "text", [TEXT, "/xavier,zero/ (input, 3) (a, 4, <tanh>) (d, <dropout, 0.5>) (output, 2, <linear>, <mse>)"]
)
@pytest.mark.usefixtures("interpreted")
def test_a_file_for_use_alone(text: str, path: Path) -> None:
    nm.seed(1)
    model = nm.build(nm.compile(text, BATCH, 0.1, optimizer="adam"))
    model.fit(*data(), epochs=2, progress=False)
    nm.save(model, path, training=False)
    assert set(load_file(path)) == set(model.get_parameters())
    nm.seed(5)
    other = nm.load(path)
    drawn = seeding.generator().integers(1 << 62)
    nm.seed(5)
    assert drawn == seeding.generator().integers(1 << 62), "the generator is not in the file"
    assert other.history is None
    assert (other.options, other.learning_rate) == (model.options, model.learning_rate)
    np.testing.assert_array_equal(other.predict(data()[0]), model.predict(data()[0]))
    assert not any(array.any() for array in (*other.state.values(), *other.optimizer_state.values()))
    assert np.isfinite(other.train(*data(), 0))
    with pytest.raises(TypeError, match="training must be True or False, not 'no'"):
        nm.save(model, path, training="no")  # type: ignore[arg-type]


def test_what_the_optimizer_remembers_is_a_dict() -> None:
    model = nm.compile(TEXT, BATCH, 0.1)
    model.prepare()
    with pytest.raises(TypeError, match="optimizer_state must be a dict of names and numbers, not int"):
        model.optimizer_state = 5


@pytest.mark.parametrize("way", COPIES)
def test_a_model_that_is_not_built_stays_so(way: str, path: Path) -> None:
    model = nm.compile(TEXT, BATCH, 0.1, optimizer=nm.Adam(eps=1e-5))
    other = COPIES[way](model, path)
    assert not other.built
    assert everything(other) == everything(model)
    with pytest.raises(nm.ModelStateError, match="not built yet"):
        other.get_parameters()


def test_a_model_is_loaded_for_another_number_of_threads(path: Path) -> None:
    model = nm.compile(TEXT, BATCH, 0.1, threads=3)
    model.save(path)
    assert [nm.load(path).options.threads, nm.load(path, threads=2).options.threads] == [3, 2]
    for wrong, error in ((0, ValueError), ("2", TypeError)):
        with pytest.raises(error, match=r"^threads must be"):
            nm.load(path, threads=wrong)  # type: ignore[arg-type]


def test_a_released_model_cannot_be_saved(path: Path) -> None:
    model = nm.compile(TEXT, BATCH, 0.1)
    model.release()
    with pytest.raises(nm.ModelStateError, match="the model was released"):
        nm.save(model, path)
    assert not path.exists()


def test_anybody_can_read_the_parameters(path: Path) -> None:
    model = made()
    nm.save(model, str(path))
    tensors, parameters = load_file(path), model.get_parameters()
    assert {name for name in tensors if "/" not in name} == set(parameters)
    for name, array in parameters.items():
        np.testing.assert_array_equal(tensors[name], array)
        assert tensors[name].dtype == np.float32
    with safe_open(path, "np") as file:
        metadata = file.metadata()
    assert metadata["neuromorph_version"] == "3"
    record = json.loads(metadata["neuromorph"])
    assert record["text"] == TEXT
    assert record["optimizer"] == {"name": "sgd", "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}
    assert (record["batch_size"], record["bptt_steps"], record["clip_norm"]) == (BATCH, WINDOW, 2.5)


def test_a_file_of_a_machine_with_other_vectors(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(optimizer="adam")
    model.train(*data(), 0)
    model.save(path)
    for bits in ("128", "256"):
        monkeypatch.setenv("NEUROMORPH_SIMD_BITS", bits)
        assert everything(nm.load(path)) == everything(model)


def test_nothing_is_compiled_before_it_is_needed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made(seed=3)
    model.save(path)
    nm.load(path).release()
    monkeypatch.setenv("NEUROMORPH_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("NEUROMORPH_CACHE_MISS_IS_ERROR", "1")
    code = f"import neuromorph as nm; m = nm.load({str(path)!r}); print(m.state['recur'].shape); m.predict([[1, 2, 3]])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == f"({BATCH}, 5)\n"
    assert "RuntimeError: predict of neuromorph_kernel_" in done.stderr


# The generator --------------------------------------------------------------------------------------------------------


def test_the_generator_goes_on(path: Path) -> None:
    model = made(seed=11)
    model.save(path)
    wanted = everything(nm.build(nm.compile(TEXT, BATCH, 0.1)))
    nm.seed(5)
    nm.load(path)
    assert everything(nm.build(nm.compile(TEXT, BATCH, 0.1))) == wanted


@pytest.mark.usefixtures("interpreted")
def test_a_shuffling_fit_goes_on(path: Path) -> None:
    model = nm.build(nm.compile("/xavier,zero/ (input, 3) (output, 2, <linear>, <mse>)", BATCH, 0.1))
    model.save(path)
    model.fit(*data(), epochs=2, shuffle=True, progress=False)
    other = nm.load(path)
    other.fit(*data(), epochs=2, shuffle=True, progress=False)
    assert everything(other) == everything(model)


def test_the_generator_is_left_alone_on_demand_and_by_copies(path: Path, tmp_path: Path) -> None:
    model = made(seed=11)
    model.save(path)
    draws = []
    for action in (lambda: None, lambda: nm.load(path, restore_random=False), lambda: copy.deepcopy(model)):
        nm.seed(5)
        action()
        draws.append(everything(nm.build(nm.compile(TEXT, BATCH, 0.1))))
    assert draws[0] == draws[1] == draws[2]
    nm.seed(5)
    (tmp_path / "cut").write_bytes(path.read_bytes()[:-1])
    with pytest.raises(nm.StorageError):
        nm.load(tmp_path / "cut")
    assert everything(nm.build(nm.compile(TEXT, BATCH, 0.1))) == draws[0]


# Forks ----------------------------------------------------------------------------------------------------------------

FORKED = """
import os, signal, sys, threading, time
import numpy as np
import neuromorph as nm

nm.seed(1)
text = "/xavier,zero/ (input, 2) (h, 3, <tanh>) (output, 1, <linear>, <mse>)"
busy, idle = (nm.build(nm.compile(text, 1, 1e-9)) for _ in range(2))
stream, x = busy.stream(), np.ones((1, 1, 2), np.float32)
wanted = idle.predict(x)
many = np.zeros((100_000, 1, 2), np.float32)
threading.Thread(target=busy.train, args=(many, many[..., :1], 0), daemon=True).start()
while busy.lock.acquire(blocking=False):
    busy.lock.release()
    time.sleep(0.001)
child = os.fork()
if not child:
    signal.alarm(60)
    for use in (lambda: busy.predict(x), lambda: busy.state, lambda: busy.save("never"), busy.get_parameters):
        try:
            use()
        except nm.ModelStateError as error:
            print(error)
    print(bool((idle.predict(x) == wanted).all()), stream(x[0, 0]).shape, busy.built)
    busy.build()
    print(busy.predict(x).shape, busy.train(x, x[..., :1], 0) >= 0.0, flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1], busy.built, flush=True)
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_a_model_in_use_when_the_process_is_forked_says_so_in_the_child(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "ignore", "-c", FORKED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment)
    assert done.stderr == ""
    *errors, others, again, parent = done.stdout.splitlines()
    assert len(errors) == 4
    assert all(line.startswith("another thread was changing this model when this") for line in errors)
    assert others == "True (1,) False"
    assert again == "(1, 1, 1) True"
    assert parent == "0 True"
    assert names_in(tmp_path) == []


# Writing --------------------------------------------------------------------------------------------------------------


def names_in(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "interrupt"])
def test_trouble_leaves_what_was_there(call: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(b"what was there")
    model = nm.compile(TEXT, BATCH, 0.1)

    def fail(*arguments: Any) -> None:
        raise KeyboardInterrupt if call == "interrupt" else OSError(28, "No space left on device")

    if call == "write":
        monkeypatch.setattr(atomic_write, "open", lambda *_: fail(), raising=False)
    else:
        monkeypatch.setattr(os, "fsync" if call == "interrupt" else call, fail)
    with pytest.raises((OSError, KeyboardInterrupt)):
        model.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"what was there"
    assert names_in(path.parent) == [path.name]


def test_a_file_is_flushed_before_it_takes_its_place_and_its_folder_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(file: int) -> None:
        calls.append("flush folder" if stat.S_ISDIR(os.fstat(file).st_mode) else f"flush {os.fstat(file).st_size}")
        real_fsync(file)

    def replace(source: str, target: str) -> None:
        assert os.path.dirname(source) == str(path.parent)
        calls.append("replace")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    nm.compile(TEXT, BATCH, 0.1).save(path)
    assert calls == [f"flush {path.stat().st_size}", "replace", "flush folder"]


KILLED = """
import sys, neuromorph as nm
models = [nm.load(path) for path in sys.argv[1:3]]
print("ready", flush=True)
while True:
    for model in models:
        model.save(sys.argv[3])
"""


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    text = "/xavier,zero/ (input, 200) (a, 900, <tanh>) (output, 1, <linear>, <mse>)"
    paths = [str(tmp_path / name) for name in ("first", "second", "target")]
    for number, name in enumerate(paths):
        model = nm.compile(text, 1, 0.1)
        model.prepare()
        model.set_parameters({"a.weight": float(number)})
        model.save(name)
    rng = random.Random(3)
    for _ in range(4):
        command = [sys.executable, "-c", KILLED, *paths]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.06))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        weights = nm.load(paths[2]).get_parameters()["a.weight"]
        assert (weights == weights[0, 0]).all()


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    model = nm.compile(TEXT, BATCH, 0.1)
    before = os.umask(0o027)
    try:
        model.save(tmp_path / "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o604)
    (tmp_path / "folder").mkdir()
    link = tmp_path / "folder" / "link"
    link.symlink_to(tmp_path / "new")
    os.truncate(tmp_path / "new", 0)
    model.save(link)
    assert link.is_symlink()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o604
    assert nm.load(tmp_path / "new").text == model.text
    assert names_in(tmp_path / "folder") == ["link"]


def test_where_nothing_can_be_saved(tmp_path: Path) -> None:
    model = nm.compile(TEXT, BATCH, 0.1)
    with pytest.raises(FileNotFoundError) as caught:
        model.save(tmp_path / "missing" / "model")
    assert caught.value.filename == str(tmp_path / "missing" / "model")
    with pytest.raises(nm.StorageError, match=r"can't save the model: .* is not a regular file"):
        model.save(tmp_path)
    with pytest.raises(TypeError):
        model.save(7)  # type: ignore[arg-type]
    assert names_in(tmp_path) == []
    (tmp_path / "there").write_text("old")
    for name in ("a.safetensors/", "a.safetensors//", "there/", "a/.", "a/..", ""):
        for path in (f"{tmp_path}/{name}", os.fsencode(f"{tmp_path}/{name}")):
            with pytest.raises(IsADirectoryError, match="a file needs a name, and this path is that of a folder: "):
                nm.save(model, path)  # type: ignore[arg-type]
    assert names_in(tmp_path) == ["there"]
    assert (tmp_path / "there").read_text() == "old"


def test_a_write_that_fails_names_the_users_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{path}'")):
        nm.compile(TEXT, BATCH, 0.1).save(path)


def test_paths_may_be_bytes(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xc3\xbc"
    model = nm.compile(TEXT, BATCH, 0.1)
    model.save(path)  # type: ignore[arg-type]
    assert nm.load(path).text == model.text  # type: ignore[arg-type]
    assert names_in(tmp_path) == ["ü"]


def killed_save(model: nm.Model, path: Path) -> Path:
    """What a save leaves that was killed before it was done."""
    before = set(names_in(path.parent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "unlink", lambda *_: None)
        patch.setattr(os, "replace", lambda *_: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            model.save(path)
    (left,) = set(names_in(path.parent)) - before
    return path.parent / left


@pytest.mark.parametrize("name", ["model.safetensors", "ü" * 120], ids=["short", "long"])
def test_what_a_killed_save_left_is_removed_by_a_later_one(name: str, tmp_path: Path) -> None:
    model = nm.compile(TEXT, BATCH, 0.1)
    old, young, others = (killed_save(model, tmp_path / target) for target in (name, name, "another.safetensors"))
    assert old.name.startswith(f".neuromorph-{name[:10]}")
    folder = tmp_path / re.sub("[0-9a-f]{16}", "0" * 16, old.name)
    folder.mkdir()
    for stale in (old, others, folder):
        os.utime(stale, (1e9, 1e9))
    model.save(tmp_path / name)
    assert names_in(tmp_path) == sorted([name, young.name, others.name, folder.name])
    os.utime(young, (1e9, 1e9))
    model.save(tmp_path / name)
    model.save(tmp_path / "another.safetensors")
    assert names_in(tmp_path) == sorted([name, "another.safetensors", folder.name])


def test_numbers_that_are_not_finite_are_not_saved(path: Path) -> None:
    model = nm.compile(TEXT, BATCH, 0.1)
    model.prepare()
    path.write_bytes(b"old")
    model.memory().weights[:] = np.inf
    with pytest.raises(nm.StorageError, match=r"can't save the model: a.b-c.weight has numbers that are not finite"):
        model.save(path)
    assert path.read_bytes() == b"old"


def test_an_optimizer_of_the_users_own_cannot_be_saved(path: Path) -> None:
    class Mine(nm.SGD):
        pass

    with pytest.raises(nm.StorageError, match="can't save the model: Mine is not an optimizer of this library"):
        nm.compile(TEXT, BATCH, 0.1, optimizer=Mine()).save(path)
    assert not path.exists()


# Files that are no models ---------------------------------------------------------------------------------------------


def taken_apart(raw: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Header, record and numbers of a file."""
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["neuromorph"]), raw[8 + length :]


def put_together(header: Any, record: Any, numbers: bytes) -> bytes:
    """A file of these; a record that is a text already stays as it is."""
    if record is not None:
        header["__metadata__"]["neuromorph"] = record if isinstance(record, str) else json.dumps(record)
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def refused(raw: bytes, path: Path, message: str) -> None:
    path.write_bytes(raw)
    with pytest.raises(nm.StorageError) as caught:
        nm.load(path)
    found = str(caught.value)
    assert found.startswith(f"{path}: ")
    assert re.match(message, found.removeprefix(f"{path}: ")), found


def test_the_parts_make_the_file_again(saved: bytes, path: Path) -> None:
    path.write_bytes(put_together(*taken_apart(saved)))
    assert (nm.load(path).state["r"] == 0.25).all()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "truncated: it has 0 bytes"),
        (b"\x10\0\0\0\0\0\0\0", "truncated: it has 8 bytes, and its header needs more"),
        (b"\x10\0\0\0\0\0\0\0{", "truncated: it has 9 bytes, and its header needs more"),
        (b"Dear Sir or Madam,", "foreign: not a safetensors file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "foreign: not a safetensors file"),
        (b"PK\x03\x04" + bytes(100), "foreign: not a safetensors file"),
        (b"\xff" * 8 + b"{" + bytes(100), "foreign: not a safetensors file"),
        (struct.pack("<Q", header.MOST_HEADER + 1) + b"{}", "foreign: not a safetensors file"),
        (b"\x01\0\0\0\0\0\0\0{", "foreign: not a safetensors file"),
        (b"\x02\0\0\0\0\0\0\0{}", "foreign: a safetensors file, but not one of neuromorph"),
        (b"\x02\0\0\0\0\0\0\0{]", "corrupt: its header is not JSON"),
        (b"\x02\0\0\0\0\0\0\0{\xff", "corrupt: its header is not UTF-8"),
        (put_together(b'{"a":' * 20000, None, b""), "corrupt: its header is not JSON"),
        (put_together(b'{"a":' + b"9" * 5000 + b"}", None, b""), "corrupt: its header is not JSON"),
        (put_together(b'{"a":NaN}', None, b""), "corrupt: its header has the number NaN"),
        (put_together(b'{"a":-Infinity}', None, b""), "corrupt: its header has the number -Infinity"),
        (put_together(b'{"a":1,"a":1}', None, b""), "corrupt: its header gives a name twice"),
        (put_together(b'{"__metadata__":[]}', None, b""), "foreign: a safetensors file, but not one of neuromorph"),
    ],
)
def test_what_is_no_file_of_ours(raw: bytes, message: str, path: Path) -> None:
    refused(raw, path, message)


def test_a_file_of_another_library(path: Path) -> None:
    save_file({"a.weight": np.zeros((2, 2), np.float32)}, path, {"format": "pt"})
    refused(path.read_bytes(), path, "foreign: a safetensors file, but not one of neuromorph")


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(nm.StorageError, match="foreign: it is not a regular file"):
            nm.load(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        nm.load(tmp_path / "missing")
    with pytest.raises(TypeError):
        nm.load(7)  # type: ignore[arg-type]


def test_every_truncated_file_says_so(saved: bytes, path: Path) -> None:
    for length in [*range(40), *range(40, len(saved), 37), len(saved) - 1]:
        refused(saved[:length], path, "truncated: ")
    refused(saved + b"\0", path, "corrupt: 1 bytes stand behind its tensors")


def test_a_file_that_shrinks_while_it_is_read(saved: bytes, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(saved[:-100])
    real = os.fstat

    def fstat(file: int) -> Any:
        found = real(file)
        return os.stat_result([*found[:6], len(saved), *found[7:10]])

    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(nm.StorageError, match="truncated: it became shorter while it was read"):
        nm.load(path)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("4", "a newer version: its format is 4, and this neuromorph reads up to 3; upgrade neuromorph"),
        ("123456789", "a newer version: "),
        ("0", "corrupt: its version is '0'"), ("-1", "corrupt: its version is '-1'"),
        ("", "corrupt: its version is ''"), ("1.0", "corrupt: its version is '1.0'"),
        ("²", r"corrupt: its version is '\\xb2'"), ("9" * 99, "corrupt: its version is "),
        (1, "corrupt: its version is 1"), (None, "corrupt: its version is None"),
    ],
)  # fmt: skip
def test_versions(version: Any, message: str, saved: bytes, path: Path) -> None:
    header, record, numbers = taken_apart(saved)
    header["__metadata__"]["neuromorph_version"] = version
    refused(put_together(header, record, numbers), path, message)


DELETED = object()


def changed(record: dict[str, Any], name: str, value: Any) -> None:
    """Set a field, such as "optimizer.eps", or take it away."""
    *outer, last = name.split(".")
    for step in outer:
        record = record[step]
    if value is DELETED:
        del record[last]
    else:
        record[last] = value


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("text", DELETED, "corrupt: its metadata lacks 'text'"),
        ("text", 5, "corrupt: its metadata have no text"),
        ("text", "(input, 4", r"corrupt: its model does not parse: line 1, column \d+"),
        ("text", "/xavier,zero/(input,2)(output,1,<tanhh>,<mse>)", "corrupt: its model does not parse: .*tanhh"),
        ("text", "[" * 100_000, "corrupt: its model does not parse"),
        ("text", "/xavier,zero/(input,2)(output,1,<tanh>,<mse>)", "corrupt: its text (needs|has no) tensor"),
        ("text", "/xavier,zero/(input,1048576)(h,1048576,<tanh>)(output,1,<tanh>,<mse>)", "corrupt: its text"),
        ("extra", 1, "corrupt: its metadata has an unknown 'extra'"),
        ("batch_size", 0, "corrupt: batch_size must be at least 1"),
        ("batch_size", 3, r"corrupt: the tensor 'state/r' is F32 of shape \(2, 3\), and its text needs F32 .*\(3, 3\)"),
        ("batch_size", 2.0, "corrupt: batch_size must be a whole number"),
        ("batch_size", True, "corrupt: batch_size must be a whole number"),
        ("batch_size", 10**30, "corrupt: batch_size must be at most"),
        ("batch_size", [2], "corrupt: batch_size must be a whole number"),
        ("bptt_steps", None, "corrupt: its bptt_steps is null"),
        ("bptt_steps", -1, "corrupt: bptt_steps must be at least 1"),
        ("bptt_steps", 2**31, "too large for this machine: the model needs .* bytes"),
        ("dtype", "float16", "corrupt: dtype must be one of float32, float64"),
        ("dtype", "float64", "corrupt: the tensor .* needs F64"),
        ("dtype", {}, "corrupt: dtype must be one of"),
        ("threads", 0, "corrupt: threads must be at least 1"),
        ("threads", "2", "corrupt: threads must be a whole number"),
        ("optimizer", None, "corrupt: its optimizer is None"),
        ("optimizer", "adam", "corrupt: its optimizer is 'adam'"),
        ("optimizer.name", "adm", "corrupt: optimizer must be one of adam, adamw, rmsprop, sgd, not 'adm'"),
        ("optimizer.name", "sgd", "corrupt: its optimizer (lacks|has an unknown) 'betas'"),
        ("optimizer.name", "adamw", None),
        ("optimizer.name", DELETED, "corrupt: optimizer must be one of"),
        ("optimizer.eps", 0.0, "corrupt: eps must be at least 1e-30"),
        ("optimizer.betas", [0.9, 1.0], r"corrupt: betas\[1\] must be less than 1"),
        ("optimizer.betas", [0.9], "corrupt: betas must be two numbers"),
        ("optimizer.lr", 1.0, "corrupt: its optimizer has an unknown 'lr'"),
        ("learning_rate", -1.0, "corrupt: learning_rate must be a finite number of at least 0"),
        ("learning_rate", "0.1", "corrupt: learning_rate must be a number"),
        ("learning_rate", 10**400, "corrupt: learning_rate must be a finite number"),
        ("learning_rate", 1e39, r"corrupt: learning_rate must be at most 3.402823e\+38, the largest number of float32"),
        ("clip_norm", 0.0, "corrupt: clip_norm must be greater than 0"),
        ("clip_norm", [], "corrupt: clip_norm must be a number"),
        ("built", 1, "corrupt: its metadata have no text, or do not say whether the model is built"),
        ("built", False, "corrupt: its text has no tensor"),
        ("generator", None, "corrupt: its generator is None"),
        ("generator.inc", "2", "corrupt: its generator is "),
        ("generator.inc", DELETED, "corrupt: its generator lacks 'inc'"),
        ("generator.state", "-1", "corrupt: its generator has the number '-1'"),
        ("generator.state", str(1 << 128), "corrupt: its generator has the number"),
        ("generator.state", "9" * 9999, "corrupt: its generator has the number"),
        ("generator.state", 5, "corrupt: its generator has the number 5"),
        ("generator.uinteger", 1 << 32, "corrupt: its generator is "),
        ("generator.has_uint32", True, "corrupt: its generator is "),
        ("generator.has_uint32", 2, "corrupt: its generator is "),
    ],
)  # fmt: skip
def test_metadata_are_checked(name: str, value: Any, message: str | None, saved: bytes, path: Path) -> None:
    header, record, numbers = taken_apart(saved)
    changed(record, name, value)
    raw = put_together(header, record, numbers)
    if message is None:
        path.write_bytes(raw)
        assert isinstance(nm.load(path).optimizer, nm.AdamW)
    else:
        refused(raw, path, message)


LONG = "x" * 5000


@pytest.mark.parametrize(
    "value", [LONG, [LONG] * 9, {LONG: LONG}, 10**4000, -(10**4000), [[0.5] * 5000, 0.5]], ids=type
)
@pytest.mark.parametrize(
    "name",
    [
        "text", "extra", "batch_size", "bptt_steps", "dtype", "threads", "optimizer", "optimizer.name", "optimizer.eps",
        "optimizer.betas", "optimizer.lr", "learning_rate", "clip_norm", "built", "generator", "generator.inc",
    ],
)  # fmt: skip
def test_no_more_than_a_piece_of_what_is_wrong_is_quoted(name: str, value: Any, saved: bytes, path: Path) -> None:
    header, record, numbers = taken_apart(saved)
    changed(record, name, value)
    path.write_bytes(put_together(header, record, numbers))
    with pytest.raises(nm.StorageError, match="corrupt: ") as caught:
        nm.load(path)
    assert len(str(caught.value)) - len(str(path)) < 300


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("", "corrupt: its metadata is not JSON"), ("[]", "corrupt: its metadata is not a JSON object"),
        ("{}", "corrupt: its metadata lacks 'batch_size'"),
        ('{"a":1,"a":2}', "corrupt: its metadata gives a name twice"),
        ("[" * 100_000, "corrupt: its metadata is not JSON"),
        ('{"a":Infinity}', "corrupt: its metadata has the number"),
    ],
)  # fmt: skip
def test_metadata_that_are_none(record: str, message: str, saved: bytes, path: Path) -> None:
    header, _, numbers = taken_apart(saved)
    refused(put_together(header, record, numbers), path, message)


def test_metadata_that_are_no_text(saved: bytes, path: Path) -> None:
    header, _, numbers = taken_apart(saved)
    header["__metadata__"]["neuromorph"] = {}
    refused(put_together(header, None, numbers), path, "corrupt: its metadata are not texts")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("h.weight.dtype", "F16", "corrupt: the tensor 'h.weight' has the type 'F16'"),
        ("h.weight.dtype", ["F32"], "corrupt: the tensor 'h.weight' has the type"),
        ("h.weight.dtype", "F64", "corrupt: the tensor 'h.weight' of shape .* has 24 bytes"),
        ("h.weight.shape", [3, 3], "corrupt: the tensor 'h.weight' of shape .* has 24 bytes"),
        ("h.weight.shape", [3, 2], r"corrupt: the tensor 'h.weight' is F32 of shape \(3, 2\), and its text needs"),
        ("h.weight.shape", [6], r"corrupt: the tensor 'h.weight' is F32 of shape \(6,\), and its text needs"),
        ("h.weight.shape", [-2, -3], r"corrupt: the tensor 'h.weight' has the shape \[-2, -3\]"),
        ("h.weight.shape", [2.0, 3], "corrupt: the tensor 'h.weight' has the shape"),
        ("h.weight.shape", [1 << 40, 1 << 40], "corrupt: the tensor 'h.weight' of shape"),
        ("h.weight.shape", [1 << 70, 0], "corrupt: the tensor 'h.weight' has the shape"),
        ("h.weight.shape", [1] * 1000, "corrupt: the tensor 'h.weight' has the shape"),
        ("h.weight.shape", "23", "corrupt: the tensor 'h.weight' has the shape '23'"),
        ("h.weight.data_offsets", [0, 24, 48], "corrupt: the tensor 'h.weight' has the shape"),
        ("h.weight.data_offsets", [24, 0], "corrupt: the tensor 'h.weight' of shape .* has -24 bytes"),
        ("h.weight.data_offsets", [0, 24], "corrupt: the tensor .* overlaps another"),
        ("h.weight.data_offsets", [1 << 50, (1 << 50) + 24], "corrupt: the tensor .* has a gap before it"),
        ("h.weight.data_offsets", DELETED, "corrupt: the tensor 'h.weight' is not described as tensors are"),
        ("h.weight.more", 1, "corrupt: the tensor 'h.weight' is not described as tensors are"),
        ("h.weight", 7, "corrupt: the tensor 'h.weight' is not described as tensors are"),
    ],
)
def test_tensors_are_checked(name: str, value: Any, message: str, saved: bytes, path: Path) -> None:
    header, record, numbers = taken_apart(saved)
    tensor, _, part = name.removeprefix("h.").partition(".")
    if part:
        changed(header[f"h.{tensor}"], part, value)
    else:
        header[f"h.{tensor}"] = value
    refused(put_together(header, record, numbers), path, message)


def test_tensors_have_the_names_that_the_text_says(saved: bytes, path: Path) -> None:
    for old, new, message in [
        ("h.weight", "H.weight", "corrupt: its text has no tensor 'H.weight'"),
        ("state/r", "state/s", "corrupt: its text needs tensor 'state/r'"),
        ("optimizer/mean.h.bias", "optimizer/meen.h.bias", "corrupt: its text needs tensor 'optimizer/mean.h.bias'"),
        ("h.bias", "training/losses", "corrupt: its text needs tensor 'h.bias'"),
        ("h.bias", "../../etc/passwd\n\x1b[31m", r"corrupt: its text has no tensor '../../etc/passwd\\n\\x1b\[31m'"),
        ("h.bias", "x" * 10_000, "corrupt: its text needs tensor 'h.bias'"),
    ]:
        header, record, numbers = taken_apart(saved)
        header[new] = header.pop(old)
        refused(put_together(header, record, numbers), path, message)


@pytest.mark.parametrize("version", ["1", "2"])
def test_older_formats_have_losses(version: str, saved: bytes, path: Path) -> None:
    header, record, numbers = taken_apart(saved)
    header["__metadata__"]["neuromorph_version"] = version
    losses = {"dtype": "F64", "shape": [2], "data_offsets": [len(numbers), len(numbers) + 16]}
    numbers += np.array([0.5, np.nan]).tobytes()
    for wrong in (None, losses | {"shape": [1, 1, 2]}):
        refused(
            put_together(
                header | ({"training/losses": wrong} if wrong else {}), record, numbers[: None if wrong else -16]
            ),
            path,
            "corrupt: training/losses is missing, or is no array of losses",
        )
    path.write_bytes(put_together(header | {"training/losses": losses}, record, numbers))
    assert (nm.load(path).state["r"] == 0.25).all()


HISTORY = {
    "loss": [2.0, 1.0], "metrics": {"mae": ["nan", 0.5]}, "ended": "", "initial_epoch": 1, "best_epoch": 2,
    "updates": 7,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (5, "corrupt: its history is 5"),
        ({"more": 1}, "corrupt: its history is {"),
        ({"ended": None}, "corrupt: its history is {"),
        ({"metrics": [1.0]}, "corrupt: its history is {"),
        ({"initial_epoch": -1}, "corrupt: its history is {"),
        ({"updates": 1.5}, "corrupt: its history is {"),
        ({"updates": True}, "corrupt: its history is {"),
        ({"best_epoch": 0}, "corrupt: the best epoch of its history is 0"),
        ({"best_epoch": 3}, "corrupt: the best epoch of its history is 3"),
        ({"loss": "12"}, "corrupt: a list of its history is '12'"),
        ({"loss": [1.0, "much"]}, r"corrupt: a list of its history is \[1.0, 'much'\]"),
        ({"loss": [1.0, None]}, "corrupt: a list of its history is"),
        ({"loss": [True, 1.0]}, "corrupt: a list of its history is"),
        ({"loss": [10**400, 1.0]}, "corrupt: a list of its history is"),
        ({"loss": [1.0]}, "corrupt: the lists of its history have different lengths"),
        ({"seconds": [1.0]}, "corrupt: the lists of its history have different lengths"),
    ],
)
def test_a_history_is_checked(change: Any, message: str, saved: bytes, path: Path) -> None:
    header, record, numbers = taken_apart(saved)
    path.write_bytes(put_together(header, record | {"history": HISTORY}, numbers))
    found = nm.load(path).history
    assert (found.loss, found.best_epoch, found.next_epoch) == ([2.0, 1.0], 2, 3)
    wrong = HISTORY | change if isinstance(change, dict) else change
    refused(put_together(header, record | {"history": wrong}, numbers), path, message)


@pytest.mark.parametrize("change", [{"training": True}, {"training": False}, {"training": False, "history": HISTORY}])
def test_what_a_file_for_use_alone_may_have(change: Any, saved: bytes, path: Path) -> None:
    header, record, numbers = taken_apart(saved)
    refused(put_together(header, record | change, numbers), path, "corrupt: ")


@pytest.mark.parametrize(
    "name", ["h.weight", "output.bias", "state/r", "optimizer/square.h.weight", "optimizer/correction1"]
)
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_numbers_are_finite(name: str, number: float, saved: bytes, path: Path) -> None:
    header, record, numbers = taken_apart(saved)
    begin = header[name]["data_offsets"][0]
    raw = np.array(number, "<f4" if header[name]["dtype"] == "F32" else "<f8").tobytes()
    numbers = numbers[:begin] + raw + numbers[begin + len(raw) :]
    refused(
        put_together(header, record, numbers), path, f"corrupt: '{re.escape(name)}' has numbers that are not finite"
    )


def test_nothing_is_allocated_for_what_a_small_file_claims(saved: bytes, path: Path) -> None:
    claims: list[bytes] = []
    for text in (
        "/xavier,zero/(input,1048576)(h,1048576,<tanh>)(output,1,<tanh>,<mse>)",
        "/xavier,zero/(input,2){a,r,additive}(h,3,<tanh>)[l,[r,]](output,1048576,<sigmoid>,<mse>)",
    ):
        header, record, numbers = taken_apart(saved)
        claims.append(put_together(header, {**record, "text": text}, numbers))
    header, record, numbers = taken_apart(saved)
    header["h.weight"] |= {"shape": [1 << 20, 1 << 20], "data_offsets": [len(numbers), len(numbers) + (1 << 42)]}
    claims.append(put_together(header, record, numbers))
    refused(saved[:-1], path, "truncated")  # imports what there is to import
    for raw in claims:
        tracemalloc.start()
        try:
            refused(raw, path, "(corrupt|truncated): ")
            assert tracemalloc.get_traced_memory()[1] < 4_000_000
        finally:
            tracemalloc.stop()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not say how much memory is used")
@pytest.mark.parametrize("name", ["bptt_steps", "batch_size"])
def test_what_a_file_may_claim_is_not_taken_when_it_is_loaded(name: str, path: Path) -> None:
    model = nm.compile(FORWARD, 1, 0.1)
    model.prepare()
    model.save(path)
    nm.load(path)  # imports what there is to import
    header, record, numbers = taken_apart(path.read_bytes())
    path.write_bytes(put_together(header, {**record, name: 1 << 26}, numbers))
    before = used_memory()
    loaded = nm.load(path)
    assert getattr(loaded, name) == 1 << 26
    assert used_memory() - before < 64 << 20


FORWARD = "/xavier,zero/ (input, 2) (h, 3, <tanh>) (output, 1, <linear>, <mse>)"


def used_memory() -> int:
    """Bytes of this process that are really in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_memory_of_every_row_is_counted(path: Path) -> None:
    """Of a model whose workspace does not grow with a window."""
    needed = [nm.compile(FORWARD, 2, 0.1, bptt_steps=1 << n).kernels.bytes_needed() for n in (20, 21)]
    assert needed[1] - needed[0] >= 2 * 4 * 2 << 20  # a loss and a weight, 4 bytes, 2 lanes


def test_a_container_that_allows_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "allowed_memory", lambda: 5000)
    with pytest.raises(MemoryError, match=r"the model needs [\d,]+ bytes .*, and this process is allowed 5,000 \("):
        nm.compile(FORWARD, 1, 0.1, bptt_steps=1 << 10).prepare()


def test_nothing_is_unpickled(saved: bytes, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise AssertionError("unpickled")

    path.write_bytes(saved)
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, fail)
    assert nm.load(path).built


# Fuzz -----------------------------------------------------------------------------------------------------------------


def test_mutated_files_load_or_say_what_is_wrong(saved: bytes, path: Path) -> None:
    rng, seen = random.Random(1), set()
    for _ in range(4000):
        raw = mutated_file(saved, rng)
        path.write_bytes(raw)
        try:
            model = nm.load(path, restore_random=False)
            assert all(np.isfinite(array).all() for array in model.get_parameters().values())
            seen.add("loaded")
        except nm.StorageError as error:
            message = str(error).removeprefix(f"{path}: ")
            assert message.startswith(FAULTS), message
            seen.add(message.split(":")[0])
    assert seen >= {"loaded", "truncated", "corrupt", "foreign"}


@pytest.mark.parametrize("frozen", ["h", {"h": 1}, ["*"], ["zzz"], [3], ["output", "h"]])
def test_what_is_frozen_is_a_list_of_names(frozen: Any, tmp_path: Path) -> None:
    text = "/xavier,zero/ (input, 2) (h, 3, <tanh>) (output, 1, <linear>, <mse>)"
    model, file = nm.build(nm.compile(text, 2, 0.1, frozen=["h", "output"])), tmp_path / "frozen"
    nm.save(model, file)
    whole = file.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    record = json.loads(header["__metadata__"]["neuromorph"]) | {"frozen": frozen}
    header["__metadata__"]["neuromorph"] = json.dumps(record)
    changed = json.dumps(header).encode()
    file.write_bytes(len(changed).to_bytes(8, "little") + changed + whole[8 + length :])
    with pytest.raises(nm.StorageError, match="corrupt"):
        nm.load(file)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("tier", ["instand", ["instant"], 3, None])
def test_a_tier_that_there_is_not(tier: Any, tmp_path: Path) -> None:
    model, file = made(tier="instant"), tmp_path / "tier"
    nm.save(model, file)
    whole = file.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    header["__metadata__"]["neuromorph"] = json.dumps(json.loads(header["__metadata__"]["neuromorph"]) | {"tier": tier})
    changed = json.dumps(header).encode()
    file.write_bytes(len(changed).to_bytes(8, "little") + changed + whole[8 + length :])
    with pytest.raises(nm.StorageError, match="corrupt: tier must be one of auto, compiled, instant"):
        nm.load(file)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    "change",
    [
        {"reading": "NSW"}, {"reading": {"layout": "NSW"}}, {"reading": {"layout": "NW", "once": True}},
        {"reading": {"layout": "SBW", "once": False}}, {"reading": {"layout": "NSW", "once": 1}},
        {"reading": {"layout": ["NSW"], "once": False}}, {"whole_sequences": 1}, {"whole_sequences": True},
    ],
)  # fmt: skip
def test_a_reading_of_data_that_there_is_not(change: dict[str, Any], tmp_path: Path) -> None:
    model = nm.build(nm.compile("/xavier,zero/ (input, 2) (output, 1, <linear>, <mse>)", 2, 0.1))
    file = tmp_path / "reading"
    model.train([[0, 1]], [[1]], 0, layout="NW")
    nm.save(model, file)
    whole = file.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    header["__metadata__"]["neuromorph"] = json.dumps(json.loads(header["__metadata__"]["neuromorph"]) | change)
    changed = json.dumps(header).encode()
    file.write_bytes(len(changed).to_bytes(8, "little") + changed + whole[8 + length :])
    with pytest.raises(nm.StorageError, match=f"corrupt: its {next(iter(change))} "):
        nm.load(file)
