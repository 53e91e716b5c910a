"""Machine code of whole kernels: their loops call nothing but one another, and compute with whole vectors.

The assembly is that which the cache keeps beside every compiled function. A loop is a set of blocks from which control
comes back, wherever the compiler has put them; what a loop calls, is inside it as a whole.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache as cached
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest
from llvmlite import binding as llvm
from llvmlite import ir
from numba import types

from helpers import witnesses
from helpers.compiled_models import COMPILED
from helpers.function_forms import LOSS_FORMS
from helpers.texts import HEADER
from helpers.vector_loops import loop_module
from neuromorph.functions import ACTIVATIONS, LOSSES
from neuromorph.host.cpu import simd_bits
from neuromorph.jit import bundles, cache
from neuromorph.optimizers import UPDATES

# Assembly as text ----------------------------------------------------------------------------------------------------

LABEL = re.compile(r'^("[^"]*"|[^\s":#]+):')
LOCAL = re.compile(r"\.?L|ltmp")
OPERANDS = re.compile(r",\s*(?![^()\[\]{}]*[)\]}])")
UNKNOWN = "an address that is computed"


@dataclass(frozen=True)
class Instruction:
    """A machine instruction as the assembler writes it."""

    name: str
    operands: tuple[str, ...]


class X86:
    """x86-64 in AT&T's notation: what is written stands last."""

    COMMENT = re.compile(r"\s+#.*")
    CALL = re.compile(r"callq?$")
    JUMP = re.compile(r"j\w+$")
    FINAL = re.compile(r"jmpq?$|retq?$|ud2$")
    LOAD, COPY = re.compile(r"(movabs|mov|lea)q$"), re.compile(r"movq$")
    READS = re.compile(r"(cmp|test|push|bt|v?u?comis)\w*$")
    INDIRECT = re.compile(r"\*%(\w+)$")
    IMPLICIT = re.compile(r"(mul|i?div|cqto|cltq|cpuid|rdtsc|lock)\w*$")  # rax and rdx, or one of them
    CLOBBERED = frozenset({"ax", "cx", "dx", "si", "di", "r8", "r9", "r10", "r11"})
    ARITHMETIC = re.compile(r"v?(add|sub|mul|div|min|max|sqrt|fn?m(add|sub)\d*)[sp][sd]$")
    FUSED = re.compile(r"vfn?m(add|sub)\d*[sp][sd]$")

    @staticmethod
    def family(register: str) -> str:
        """A register's name without the size of the part that is meant."""
        name = register.lstrip("%")
        if re.match(r"r\d", name):
            return name.rstrip("dwb")
        name = re.sub(r"^[re](?=..$)", "", name)
        return name[0] + "x" if name[1:] in ("l", "h") else name[:2]

    @classmethod
    def written(cls, given: Instruction) -> set[str]:
        """The families of the registers that an instruction changes."""
        if cls.CALL.match(given.name):
            return set(cls.CLOBBERED)
        single = given.name.startswith("imul") and len(given.operands) == 1
        found = {"ax", "dx"} if single or cls.IMPLICIT.match(given.name) else set()
        if given.operands and given.operands[-1].startswith("%") and not cls.READS.match(given.name):
            found.add(cls.family(given.operands[-1]))
        return found

    @staticmethod
    def symbol(given: Instruction) -> str | None:
        """The address that an instruction loads, by its name."""
        found = re.match(r"\$?([A-Za-z_.\"][^()]*)(\(%rip\))?$", given.operands[0])
        return found and found[1].partition("@")[0].strip('"') if X86.LOAD.match(given.name) else None

    @classmethod
    def source(cls, given: Instruction) -> str | None:
        """The register that an instruction copies."""
        first = given.operands[0]
        return cls.family(first) if cls.COPY.match(given.name) and first.startswith("%") else None

    @staticmethod
    def lanes_bits(given: Instruction) -> int:
        """Bits of the vector that an arithmetic instruction works on, 0 for a single number."""
        packed = given.name[-2] == "p"
        return {"x": 128, "y": 256, "z": 512}[given.operands[-1].lstrip("%")[0]] if packed else 0


class Arm:
    """AArch64: what is written stands first."""

    COMMENT = re.compile(r"\s+(//|;).*")
    CALL = re.compile(r"blr?$")
    JUMP = re.compile(r"(b(\.\w+|r)?|cbn?z|tbn?z)$")
    FINAL = re.compile(r"(br?|ret|brk|udf)$")
    READS = re.compile(r"(st[rpu]\w*|f?cmp\w*|tst|ccmp|prfm)$")
    INDIRECT = re.compile(r"(x\d+)$")
    CLOBBERED = frozenset(f"x{number}" for number in range(19))
    ARITHMETIC = re.compile(r"f(add|sub|mul|div|sqrt|max(nm)?|min(nm)?|ml[as]|n?m(add|sub))(\.\d[sd])?$")
    FUSED = re.compile(r"f(ml[as]|n?m(add|sub))(\.\d[sd])?$")

    @staticmethod
    def family(register: str) -> str:
        """A register's name without the size of the part that is meant."""
        return re.sub(r"^w(?=\d)", "x", register)

    @classmethod
    def written(cls, given: Instruction) -> set[str]:
        """The families of the registers that an instruction changes."""
        if cls.CALL.match(given.name):
            return set(cls.CLOBBERED)
        return set() if cls.READS.match(given.name) or not given.operands else {cls.family(given.operands[0])}

    @staticmethod
    def symbol(given: Instruction) -> str | None:
        """The address that an instruction loads, by its name, in one piece or as the last of several."""
        found = re.search(r'(?:^#?:\w+:|\[x\d+, (?::\w+:)?|^)"?([A-Za-z_.][^\]"]*)', given.operands[-1])
        named = found and not re.fullmatch(r"[wxsp]\w{1,2}|[a-z]{3} #?\d+", found[1])
        return found[1].partition("@")[0] if found and named else None

    @classmethod
    def source(cls, given: Instruction) -> str | None:
        """The register that an instruction copies."""
        return given.operands[1] if given.name == "mov" and given.operands[1].startswith("x") else None

    @staticmethod
    def lanes_bits(given: Instruction) -> int:
        """Bits of the vector that an arithmetic instruction works on, 0 for a single number."""
        return 128 if re.search(r"\.(4s|2d)", given.name + given.operands[0]) else 0  # Apple's fmla.4s v0, v1, v2


Machine = type[X86] | type[Arm]


def machine_of(triple: str) -> Machine | None:
    """How to read the assembly of a target."""
    name = triple.partition("-")[0]
    return X86 if name in ("x86_64", "amd64") else Arm if name in ("aarch64", "arm64") else None


# Functions and their loops -------------------------------------------------------------------------------------------


@dataclass
class Function:
    """Blocks of instructions by label, in the order of the text; the first is the entry."""

    name: str
    machine: Machine
    labels: list[str] = field(default_factory=list)
    blocks: list[list[Instruction]] = field(default_factory=list)

    def open(self, label: str) -> None:
        """What follows is a new block."""
        if self.labels and not (self.labels[-1] or self.blocks[-1]):
            del self.labels[-1], self.blocks[-1]  # nothing stands between a jump and this label
        self.labels.append(label)
        self.blocks.append([])

    def add(self, instruction: Instruction) -> None:
        """Behind a jump, a block ends."""
        self.blocks[-1].append(instruction)
        if self.machine.JUMP.match(instruction.name) or self.machine.FINAL.match(instruction.name):
            self.open("")

    @cached_property
    def plain_successors(self) -> list[list[int]]:
        """Where control goes from each block, but for jumps to addresses in registers and tables."""
        number = {label: place for place, label in enumerate(self.labels) if label}
        found = []
        for place, block in enumerate(self.blocks):
            last = block[-1] if block else Instruction("", ())
            falls = place + 1 < len(self.blocks) and not self.machine.FINAL.match(last.name)
            target = last.operands[-1] if self.machine.JUMP.match(last.name) else ""
            found.append([place + 1] * falls + ([number[target]] if target in number else []))
        return found

    @cached_property
    def successors(self) -> list[list[int]]:
        """Where control goes from each block. A jump through a table may go anywhere; one to the address of another
        function, as the last thing that a function does, leaves it."""
        found, before = [], inverted(self.plain_successors)
        for place, after in enumerate(self.plain_successors):
            last = self.blocks[place][-1] if self.blocks[place] else Instruction("", ())
            indirect = self.machine.JUMP.match(last.name) and (last.operands[-1].startswith("*") or last.name == "br")
            register = self.machine.INDIRECT.match(last.operands[-1]) if indirect else None
            at = len(self.blocks[place]) - 1
            leaves = register and UNKNOWN not in self.values(place, at, self.machine.family(register[1]), before)
            found.append([*after, *range(len(self.blocks))] if indirect and not leaves else after)
        return found

    @cached_property
    def predecessors(self) -> list[list[int]]:
        """Where control may have come from."""
        return inverted(self.successors)

    @cached_property
    def in_loops(self) -> frozenset[int]:
        """The blocks from which control can come back to them. Sets of blocks are the bits of numbers."""
        reached, changed = [0] * len(self.blocks), True
        while changed:
            changed = False
            for place in reversed(range(len(self.blocks))):
                union = 0
                for other in self.successors[place]:
                    union |= reached[other] | 1 << other
                changed |= union != reached[place]
                reached[place] = union
        return frozenset(place for place, blocks in enumerate(reached) if blocks >> place & 1)

    def calls(self, places: Iterable[int]) -> Iterator[str]:
        """The names of what some blocks call, and of what they jump to outside of the function."""
        for place in places:
            for at, given in enumerate(self.blocks[place]):
                is_jump = self.machine.JUMP.match(given.name) and given.operands[-1] not in self.labels
                if self.machine.CALL.match(given.name) or is_jump:
                    yield from self.callees(place, at)

    def callees(self, place: int, at: int) -> set[str]:
        """The names of what one instruction may call."""
        operand = self.blocks[place][at].operands[-1]
        register = self.machine.INDIRECT.match(operand)
        if register:
            return self.values(place, at, self.machine.family(register[1]), self.predecessors)
        return {
            UNKNOWN if "(" in operand and "rip" not in operand else operand.lstrip("*").partition("@")[0].strip('"')
        }

    def values(self, place: int, at: int, register: str, predecessors: list[list[int]]) -> set[str]:
        """The addresses that a register may hold before an instruction, found by going back on all paths."""
        found: set[str] = set()
        seen, open_ends = set(), [(place, at, register)]
        while open_ends:
            place, at, register = open_ends.pop()
            known = self.value_within(self.blocks[place][:at], register)
            if not isinstance(known, tuple):
                found.add(known)
                continue
            before = (
                [(place, *known)] if known[0] else [(p, len(self.blocks[p]), known[1]) for p in predecessors[place]]
            )
            found |= set() if before else {UNKNOWN}
            open_ends += [end for end in before if end not in seen]
            seen |= set(before)
        return found

    def value_within(self, block: list[Instruction], register: str) -> str | tuple[int, str]:
        """What the instructions of a block leave in a register: an address, or a place in it and the register to look
        for before that place."""
        for at in reversed(range(len(block))):
            given = block[at]
            if register in self.machine.written(given):
                symbol, source = self.machine.symbol(given), self.machine.source(given)
                return symbol or ((at, source) if source else UNKNOWN)
        return 0, register


def inverted(successors: list[list[int]]) -> list[list[int]]:
    """The blocks from which control goes to each block."""
    found: list[list[int]] = [[] for _ in successors]
    for place, after in enumerate(successors):
        for other in after:
            found[other].append(place)
    return found


def functions_of(text: str, machine: Machine) -> dict[str, Function]:
    """The functions of an assembly text."""
    found: dict[str, Function] = {}
    current = Function("", machine)
    for line in text.splitlines():
        label = LABEL.match(line)
        if label and LOCAL.match(label[1]):
            current.open(label[1])
        elif label:
            name = label[1].strip('"')
            current = found[name] = Function(name, machine)
            current.open(name)
        elif re.match(r"\t[a-z]", line) and current.blocks:
            name, _, rest = machine.COMMENT.sub("", line).strip().partition("\t")
            current.add(Instruction(name, tuple(OPERANDS.split(rest)) if rest else ()))
    return {name: function for name, function in found.items() if any(function.blocks)}


def loops_of(functions: Mapping[str, Function]) -> dict[str, frozenset[int]]:
    """The blocks of each function that run in a loop, of its own or of a caller's."""
    hot = {name: function.in_loops for name, function in functions.items()}
    waiting = list(functions)
    while waiting:
        function = functions[waiting.pop()]
        for callee in set(function.calls(hot[function.name])) & functions.keys():
            whole = frozenset(range(len(functions[callee].blocks)))
            if hot[callee] != whole:
                hot[callee] = whole
                waiting.append(callee)
    return hot


# What loops may call -------------------------------------------------------------------------------------------------

FREE = re.compile(r"_?(sched_yield|SwitchToThread|mem(set|cpy|move)|bzero|memset_pattern16)$")
COUNTING = re.compile(r"_?NRT_(in|de)cref$")  # of references to the arrays that are arguments


def forbidden(functions: Mapping[str, Function], entry: str) -> list[str]:
    """What loops call that is neither one of these functions nor free: the caller and the name.

    The loop over windows, in ``entry``, may call functions that count references once a window; inside of them, and in
    the loop itself, nothing may.
    """
    own = {name: function for name, function in functions.items() if not re.match("_?NRT_", name)}
    windows, inner = loops_of(own), loops_of({name: own[name] for name in own if name != entry})
    found = set()
    for name, function in own.items():
        close = inner.get(name, function.in_loops)
        called = {(name, callee) for callee in function.calls(close)}
        called |= {(name, callee) for callee in function.calls(windows[name]) if not COUNTING.match(callee)}
        found |= {pair for pair in called if pair[1] not in own and not FREE.match(pair[1])}
    return sorted(f"{name}: {callee}" for name, callee in found)


def arithmetic(functions: Mapping[str, Function], fused: bool = False) -> Counter[int]:
    """How many arithmetic instructions (or those that multiply and add) in loops have vectors of so many bits."""
    counts: Counter[int] = Counter()
    for name, places in loops_of(functions).items():
        machine = functions[name].machine
        pattern = machine.FUSED if fused else machine.ARITHMETIC
        for place in places:
            given = (one for one in functions[name].blocks[place] if pattern.match(one.name))
            counts.update(machine.lanes_bits(one) for one in given)
    return counts


# Kernels -------------------------------------------------------------------------------------------------------------

HOST = machine_of(llvm.get_process_triple())
on_known_machines = pytest.mark.skipif(HOST is None, reason=f"assembly of {llvm.get_process_triple()} is not read here")
PRODUCTS = re.compile(r"_?nm\.(native\.(forward|backward|weight_gradients)|product)")


def compiled(kernel: Any, names: Iterable[str]) -> tuple[dict[str, Function], str]:
    """Some functions of a kernel and what they call, compiled or found in the cache; the symbol of the last."""
    assert HOST is not None
    functions: dict[str, Function] = {}
    texts, symbol = compiled_texts(kernel, names)
    for _, assembly in texts.values():
        functions |= functions_of(assembly, HOST)
    return functions, symbol


def compiled_texts(kernel: Any, names: Iterable[str]) -> tuple[bundles.Texts, str]:
    """LLVM IR and assembly of some functions of a kernel; the symbol of the last."""
    key = cache.key_of(kernel.source, *cache.environment())
    wanted = {name: kernel.functions[name] for name in names}
    bundles.ready(kernel.source, key, wanted, kernel.options.dtype)
    bundle = bundles.bundle_key(key, wanted, kernel.options.dtype)
    described = json.loads(cache.read(bundle, "functions.json") or b"")["functions"]
    texts = bundles.stored_texts(key, wanted, kernel.options.dtype)
    assert texts is not None
    return texts, described[-1]["symbol"]


def kernel_of(name: str) -> Any:
    """One of the kernels that are compiled by other tests too."""
    text, dtype, lanes, registers, batch = COMPILED[name]
    return witnesses.kernel_of(text, batch=batch, dtype=dtype, lanes=lanes, registers=registers)


def widest_vector() -> int:
    """Bits of this machine's vectors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("NEUROMORPH_SIMD_BITS", raising=False)
        return simd_bits()


@on_known_machines
@pytest.mark.parametrize("entry", ["train", "predict"])
@pytest.mark.parametrize("name", list(COMPILED))
def test_loops_of_whole_kernels_call_no_library(name: str, entry: str) -> None:
    kernel = kernel_of(name)
    functions, symbol = compiled(kernel, kernel.bundles[entry])
    assert any(functions[symbol].in_loops)
    assert forbidden(functions, symbol) == []


@on_known_machines
@pytest.mark.parametrize("name", list(COMPILED))
def test_products_and_activations_of_whole_kernels_work_on_whole_vectors(name: str) -> None:
    """Of arithmetic in loops at least 95 % have whole vectors, of multiplying and adding all, of the chosen width."""
    kernel = kernel_of(name)
    whole, _ = compiled(kernel, kernel.bundles["train"])
    functions = {symbol: function for symbol, function in whole.items() if PRODUCTS.search(symbol)}
    every, fused = arithmetic(functions), arithmetic(functions, fused=True)
    assert sum(every.values()) > 100
    assert every[0] / sum(every.values()) < 0.05
    assert fused[0] == 0
    chosen = min(kernel.options.lanes * kernel.options.size * 8, widest_vector())
    assert every[chosen] / sum(every.values()) > 0.9


LAST = [f"(output, 21, <linear>, {loss})" for loss in LOSS_FORMS]
LAST += ["(output, 21, <softmax>, <cross_entropy>)", "(output, 21, <sigmoid>, <binary_cross_entropy>)"]
VECTORS = [("float32", 4), ("float64", 4), ("float32", 8), ("float64", 2), ("float32", 16), ("float64", 8)]
PAIRS = list(itertools.zip_longest(LAST, UPDATES, fillvalue="sgd"))


@on_known_machines
@pytest.mark.parametrize(("last", "optimizer"), PAIRS)
def test_loops_of_losses_and_updates_call_no_library(last: str, optimizer: str) -> None:
    dtype, lanes = VECTORS[LAST.index(last) % len(VECTORS)]
    text = f"{HEADER} (input, 40) {last}"
    kernel = witnesses.kernel_of(text, batch=3, dtype=dtype, lanes=lanes, optimizer=optimizer)
    functions, _ = compiled(kernel, ["measure", "update"])
    assert len(functions) == 2
    assert all(function.in_loops for function in functions.values())
    assert forbidden(functions, "") == []


def test_every_function_of_the_language_is_in_these_kernels() -> None:
    texts = "".join(text for text, *_ in COMPILED.values())
    assert all(f"<{name}" in texts for name in ACTIVATIONS)
    assert all(any(f"<{name}" in last for last in LAST) for name in LOSSES)
    assert {optimizer for _, optimizer in PAIRS} == UPDATES.keys()


# What has to be caught -----------------------------------------------------------------------------------------------


def exponential(x: Any) -> None:
    for i in range(x.size):
        x[i] = math.exp(x[i])


def power(x: Any) -> None:
    for i in range(x.size):
        x[i] = x[i] ** 1.7


def error_function(x: Any) -> None:
    for i in range(x.size):
        x[i] = math.erf(x[i])


def allocation(x: Any) -> None:
    for i in range(x.size):
        x[i] = np.cumsum(x[: i + 1])[-1]


def before_the_loop(x: Any) -> None:
    y = math.exp(x[0])
    for i in range(x.size):
        x[i] *= y


CAUGHT = {exponential: "expf?", power: "powf?", error_function: "erff?", allocation: "NRT_\\w+"}


def numba_result(function: Callable[..., None], dtype: str) -> Any:
    """A function that Numba has compiled for an array."""
    dispatcher = numba.njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    dispatcher.compile((types.Array(getattr(types, dtype), 1, "C"),))
    return dispatcher.overloads[dispatcher.signatures[0]]


@on_known_machines
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", CAUGHT)
def test_a_library_call_in_a_loop_is_caught(function: Callable[..., None], dtype: str) -> None:
    assert HOST is not None
    functions = functions_of(numba_result(function, dtype).library.get_asm_str(), HOST)
    found = forbidden(functions, "")
    assert any(re.search(f": _?{CAUGHT[function]}$", line) for line in found), found
    assert not any(UNKNOWN in line for line in found)


@on_known_machines
def test_a_library_call_before_a_loop_is_none_of_it() -> None:
    assert HOST is not None
    text = numba_result(before_the_loop, "float64").library.get_asm_str()
    assert re.search(r"\bexp\b", text)
    assert forbidden(functions_of(text, HOST), "") == []


CALLED = """
from neuromorph import simd
from neuromorph.simd import span

native = simd.native("float64", 2)


@native("array count -> number")
def part(x, i):
    return x[i]**0.3


@native("array count -> number")
def whole(x, count):
    total = 0.0
    for i in span(0, count):
        total += part(x, i)
    return total
"""


@on_known_machines
def test_what_a_loop_calls_is_inside_it() -> None:
    kernel = SimpleNamespace(
        source=CALLED, options=SimpleNamespace(dtype="float64"),
        functions={"part": ("array", "count"), "whole": ("array", "count")},
    )  # fmt: skip
    functions, symbol = compiled(kernel, ["part", "whole"])
    assert not any(functions[name].in_loops for name in functions if name.endswith("part"))
    for entry in ("", symbol):
        (line,) = forbidden(functions, entry)
        assert re.search(r"part.*: _?pow$", line)


# Other machines ------------------------------------------------------------------------------------------------------

TARGETS = ["x86_64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-unknown-linux-gnu", "arm64-apple-darwin"]


def assembly_for(code: str, triple: str, model: str, cpu: str = "") -> str:
    """LLVM's IR as the assembly of another machine. cpu: its processor, for LLVM."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        target = llvm.Target.from_triple(triple)
    except RuntimeError:
        pytest.skip(f"this LLVM makes no code for {triple}")
    machine = target.create_target_machine(cpu=cpu, opt=3, codemodel=model, jit=model == "jitdefault")
    code = re.sub(r"^target .*$", "", code, flags=re.MULTILINE)
    module = llvm.parse_assembly(re.sub(r'"(target-cpu|target-features|tune-cpu)"="[^"]*"', "", code))
    module.triple, module.data_layout = triple, str(machine.target_data)
    return str(machine.emit_assembly(module))


@pytest.mark.parametrize("model", ["jitdefault", "default", "large"])
@pytest.mark.parametrize("triple", TARGETS)
def test_library_calls_are_caught_on_other_machines(triple: str, model: str) -> None:
    """Called by name, through a table of addresses, or through a register that was loaded before the loop."""
    machine = machine_of(triple)
    assert machine is not None
    for function, caught in ((exponential, "exp"), (before_the_loop, "")):
        text = assembly_for(exponential_ir(function), triple, model)
        functions = functions_of(text, machine)
        (name,) = functions
        assert functions[name].in_loops
        found = forbidden(functions, "")
        assert [line.rpartition(": ")[2].lstrip("_") for line in found] == ([caught] if caught else [])
        called = [name.lstrip("_") for name in functions[name].calls(range(len(functions[name].blocks)))]
        assert set(called) == {"exp"}


@cached
def exponential_ir(function: Callable[..., None]) -> str:
    """A compiled function's IR."""
    return str(numba_result(function, "float64").library.get_llvm_str())


@pytest.mark.parametrize("triple", TARGETS)
def test_whole_vectors_and_single_numbers_are_told_apart_on_other_machines(triple: str) -> None:
    machine = machine_of(triple)
    assert machine is not None
    for lanes, bits in ((4, 128), (0, 0)):
        kind = ir.VectorType(ir.FloatType(), lanes) if lanes else ir.FloatType()
        text = assembly_for(str(loop_module("exp", kind)), triple, "jitdefault")
        counts = arithmetic(functions_of(text, machine))
        assert counts.keys() == {bits}
        assert counts[bits] >= 5


PROCESSORS = {"aarch64-unknown-linux-gnu": "", "arm64-apple-darwin": "apple-m1", "x86_64-pc-windows-msvc": "x86-64-v3"}


@pytest.mark.parametrize("name", ["lstm of float64 in 128 bits", "loops of float32 in 128 bits"])
@pytest.mark.parametrize("triple", PROCESSORS)
def test_whole_kernels_are_vector_code_on_other_machines(triple: str, name: str) -> None:
    """The IR of this machine's kernels, compiled for other ones: for NEON, and for the calls of Windows."""
    machine = machine_of(triple)
    assert machine is not None
    kernel = kernel_of(name)
    functions: dict[str, Function] = {}
    texts, symbol = compiled_texts(kernel, kernel.bundles["train"])
    for code, _ in texts.values():
        functions |= functions_of(assembly_for(code, triple, "jitdefault", PROCESSORS[triple]), machine)
    mangled = f"_{symbol}" if triple == "arm64-apple-darwin" else symbol
    assert any(functions[mangled].in_loops)
    assert forbidden(functions, mangled) == []
    within = {name: function for name, function in functions.items() if PRODUCTS.search(name)}
    every, fused = arithmetic(within), arithmetic(within, fused=True)
    assert sum(every.values()) > 100
    assert every[128] / sum(every.values()) > 0.9
    assert fused[0] == 0
