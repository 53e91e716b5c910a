"""Generated sources as modules."""

import inspect
import sys
import threading
import traceback
from collections.abc import Iterator

import pytest

from helpers.caches import forget
from neuromorph.jit import cache, modules

SOURCE = '''"""A generated module."""

COUNT = []


def half(x):
    return x / 2


def fail():
    raise ArithmeticError("it diverged")  # here
'''


@pytest.fixture
def key(request: pytest.FixtureRequest) -> Iterator[str]:
    """A key of this test's own, whose module is forgotten after it."""
    made = cache.key_of(request.node.nodeid)
    yield made
    forget(made)


def test_a_module_is_made_once(key: str) -> None:
    module = modules.load_module(SOURCE, key)
    assert module.__name__ == f"neuromorph_kernel_{key[:16]}"
    assert module.__file__ == f"<{module.__name__}>"
    assert sys.modules[module.__name__] is module
    assert module.half(3) == 1.5
    assert modules.load_module(SOURCE, key) is module
    assert module.half.__module__ == module.__name__


def test_a_module_shows_its_source(key: str) -> None:
    module = modules.load_module(SOURCE, key)
    assert inspect.getsource(module) == SOURCE
    assert inspect.getsource(module.half) == "def half(x):\n    return x / 2\n"
    with pytest.raises(ArithmeticError) as caught:
        module.fail()
    assert 'raise ArithmeticError("it diverged")  # here' in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("source", "error"),
    [("x = (", SyntaxError), ("1 / 0", ZeroDivisionError), ("raise KeyboardInterrupt", KeyboardInterrupt)],
)
def test_a_failing_source_leaves_no_module(key: str, source: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        modules.load_module(source, key)
    assert f"neuromorph_kernel_{key[:16]}" not in sys.modules
    assert modules.load_module("x = 1", key).x == 1


def test_a_module_is_registered_while_it_is_executed(key: str) -> None:
    module = modules.load_module("import sys\nme = sys.modules[__name__]\nname = __name__", key)
    assert module.me is module


def test_threads_make_one_module(key: str) -> None:
    source = "import time\ntime.sleep(0.05)\nitem = object()"
    barrier, found = threading.Barrier(8), []

    def load() -> None:
        barrier.wait()
        found.append(modules.load_module(source, key).item)

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_two_keys_with_one_name_are_told_apart(key: str) -> None:
    modules.load_module("x = 1", key)
    other = key[:16] + cache.key_of("other")[16:]
    with pytest.raises(ValueError, match=f"the module neuromorph_kernel_{key[:16]} belongs to another key"):
        modules.load_module("x = 2", other)


@pytest.mark.parametrize("key", ["", "a" * 63, "A" * 64, "../" + "a" * 61])
def test_what_cannot_be_a_key(key: str) -> None:
    with pytest.raises(ValueError, match="a key is 64 hexadecimal digits in lower case, not"):
        modules.load_module("", key)
