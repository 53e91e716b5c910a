"""Compiles native functions with LLVM. Each becomes a module of its own, which is optimised once, and an object file.

The functions of a bundle call one another by their symbols. So no function is optimised again in its callers. What
does not depend on the model is no function of the bundle: such routines are emitted into the modules that call them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from llvmlite import binding, ir

from ..simd.native import MARK, Native
from ..simd.native_emitter import exported
from .environment import processor

LEVEL = 2  # of LLVM's optimisation; 3 takes longer and gives no faster kernels
# Code that is written as it should run needs few passes: a tenth of the time.
FEW = (
    "global_dead_code_eliminate", "always_inliner", "sroa", "simplify_cfg", "new_gvn", "instruction_combine",
    "simplify_cfg",
)  # fmt: skip
_DWARF = (("Dwarf Version", 4), ("Debug Info Version", 3))


class Compiled(NamedTuple):
    """A compiled function: the text of its LLVM module, which is optimised, and its object file.

    symbols: the names in the module that other modules can see, and whether it defines them.
    """

    native: Native
    ir: str
    symbols: dict[str, bool]
    data: bytes


@cache
def target() -> Any:
    """LLVM's machine for code of this process. Numba's settings of the processor hold for it."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    own = binding.Target.from_triple(binding.get_process_triple())
    cpu, features = processor()
    # Without static relocation, code for x86 would find constants by way of a table.
    relocation = "static" if own.name.startswith("x86") else "default"
    return own.create_target_machine(
        opt=3, cpu=cpu, features=features, reloc=relocation, codemodel="jitdefault", jit=True
    )


def compiled(function: Callable[..., Any], bundle: Sequence[Callable[..., Any]], *, lines: bool = False) -> Compiled:
    """A native function, compiled. bundle: the functions that it calls by their symbols.

    lines: whether the assembly names the source line of each instruction.
    """
    own: Native = getattr(function, MARK)
    module = ir.Module(own.symbol)
    exported(module, own, bundle, _debug_scope(module, own) if lines else None)
    with parsed(module) as made:
        _optimise(made, few_passes=own.few_passes)
        return Compiled(own, str(made), symbols_of(made), object_of(made))


@contextmanager
def parsed(module: ir.Module) -> Iterator[Any]:
    """A block with LLVM's form of a module, which is freed at its end. RuntimeError if the module is not sound.

    It has an LLVM context of its own, so its constants are freed too. Python must not choose when to free the two: an
    exception may hold both in a circle, from which the collector may take the context first, and then LLVM crashes.
    """
    machine = target()
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    with binding.create_context() as context, binding.parse_assembly(str(module), context) as made:
        made.verify()
        yield made


def object_of(module: Any) -> bytes:
    """The object file of a module in LLVM's form."""
    return bytes(target().emit_object(module))


def assembly_of(text: str) -> str:
    """Assembly that LLVM makes of optimised IR."""
    return str(target().emit_assembly(binding.parse_assembly(text)))


def _optimise(module: Any, *, few_passes: bool) -> None:
    """Run LLVM's passes once, without its own vectorisers: kernels are vectorised already."""
    options = binding.create_pipeline_tuning_options(speed_level=LEVEL)
    options.loop_vectorization = options.slp_vectorization = False
    builder = binding.create_pass_builder(target(), options)
    if few_passes:
        passes = binding.create_new_module_pass_manager()
        for name in FEW:
            getattr(passes, f"add_{name}_pass")()
    else:
        passes = builder.getModulePassManager()
    passes.run(module, builder)


def symbols_of(module: Any) -> dict[str, bool]:
    """The names of an optimised module that other modules can see, and whether it defines them."""
    hidden = (binding.Linkage.internal, binding.Linkage.private)
    values = (value for listed in (module.functions, module.global_variables) for value in listed)
    return {value.name: not value.is_declaration for value in values if value.linkage not in hidden}


def _debug_scope(module: ir.Module, own: Native) -> Any:
    """The function in the module's debug information, from which come the lines of instructions and nothing else."""
    code, i32 = own.function.__code__, ir.IntType(32)
    file = module.add_debug_info("DIFile", {"filename": code.co_filename, "directory": ""})
    unit = {
        "language": ir.DIToken("DW_LANG_C_plus_plus"), "file": file, "producer": "neuromorph", "runtimeVersion": 0,
        "isOptimized": True, "emissionKind": ir.DIToken("DebugDirectivesOnly"),
    }  # fmt: skip
    unit_of_file = module.add_debug_info("DICompileUnit", unit, is_distinct=True)
    module.add_named_metadata("llvm.dbg.cu").add(unit_of_file)
    for name, version in _DWARF:
        module.add_named_metadata("llvm.module.flags", [i32(2), name, i32(version)])  # 2: a warning where others differ
    kind = module.add_debug_info("DISubroutineType", {"types": module.add_metadata([])})
    function = {
        "name": own.symbol, "linkageName": own.symbol, "scope": file, "file": file, "line": code.co_firstlineno,
        "scopeLine": code.co_firstlineno, "type": kind, "isLocal": False, "isDefinition": True, "isOptimized": True,
        "unit": unit_of_file,
    }  # fmt: skip
    return module.add_debug_info("DISubprogram", function, is_distinct=True)
