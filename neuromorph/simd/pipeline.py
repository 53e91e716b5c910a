"""Numba's compiler without the passes that a generated kernel does not need.

A kernel has no closures, no ``with``, no exceptions, no array expressions, no function to inline and no branch on a
constant, and LLVM finds constant indices by itself. The passes that look for these would visit every statement, which
takes a tenth of the time of compiling.

By default, Numba runs LLVM three times: over each function, then a short time over the module, to remove reference
counts, then in full over the module. A kernel has reference counts only around its calls, and its loops are vectorised
and unrolled already. So it is optimised once, without LLVM's own vectorisers, which saves half of LLVM's time. See
"Customizing the Compiler" in Numba's documentation.
"""

from __future__ import annotations

from typing import Any, ClassVar

from llvmlite import binding
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager

NEEDLESS = frozenset(
    {
        "with_lifting",
        "inline_closure_likes",
        "rewrite_semantic_constants",
        "dead_branch_prune",
        "generic_rewrites",
        "Rewrite dynamic raises",
        "make_function_op_code_to_jit_function",
        "inline_inlinables",
        "find_literally",
        "literal_unroll",
        "LiteralPropagation",
        "nopython_rewrites",
    }
)
LEVEL = 2  # of LLVM's optimisation; 3 takes longer and gives no faster kernels
# Code that is written as it should run, such as that of native functions, needs few passes: a tenth of the time.
FEW = (
    "global_dead_code_eliminate", "always_inliner", "sroa", "simplify_cfg", "new_gvn", "instruction_combine",
    "simplify_cfg",
)  # fmt: skip


class KernelCompiler(CompilerBase):  # type: ignore[misc]
    """The compiler of generated functions: ``njit(pipeline_class=KernelCompiler)``."""

    few_passes: ClassVar[bool] = False

    def define_pipelines(self) -> list[Any]:
        """Numba's passes in its order, without those that a kernel does not need."""
        state = self.state
        if state.library is None and state.func_id is not None:
            state.library = _library(state.targetctx.codegen(), state.func_id.func_qualname, self.few_passes)
        passes = PassManager("nopython")
        for each, description in DefaultPassBuilder.define_nopython_pipeline(state).passes:
            if each.name() not in NEEDLESS:
                passes.add_pass(each, description)
        passes.finalize()
        return [passes]


class NativeCompiler(KernelCompiler):
    """The compiler of functions that only call native ones."""

    few_passes: ClassVar[bool] = True


def _library(codegen: Any, name: str, few_passes: bool = False) -> Any:
    """Numba's library for a function's code, with another sequence of LLVM's passes.

    This is not part of Numba's public interface. For a version of Numba that works differently, nothing is changed.
    """
    library = codegen.create_library(name)
    library.enable_object_caching()
    try:
        passes, builder = codegen._module_pass_manager(opt=LEVEL, loop_vectorize=False, slp_vectorize=False)
        if few_passes:
            passes = _few_passes()
        passes.add_global_dead_code_eliminate_pass()  # functions that were called only by removed reference counts
    except (AttributeError, TypeError, ValueError):
        return library

    def lay_out(module: Any) -> None:
        module.data_layout = codegen._data_layout

    def optimise() -> None:
        passes.run(library._final_module, builder)

    library._optimize_functions, library._optimize_final_module = lay_out, optimise
    return library


def _few_passes() -> Any:
    passes = binding.newpassmanagers.create_new_module_pass_manager()
    for name in FEW:
        getattr(passes, f"add_{name}_pass")()
    return passes
