"""Numba's compiler without the passes that a generated kernel does not need.

A kernel has no closures, no ``with``, no exceptions, no array expressions, no function to inline and no branch on a
constant, and LLVM sees by itself that an index is constant. The passes that look for these still visit every statement,
which takes a tenth of the time of compiling.

Numba has LLVM optimise each function, then the module quickly, to join reference counts, then the module in full. A
kernel has reference counts only around its calls, and its loops are vectorised and unrolled already. So it is optimised
once, without LLVM's own vectorisers, which saves half of LLVM's time. See "Customizing the Compiler" in Numba's
documentation.
"""

from __future__ import annotations

from typing import Any

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


class KernelCompiler(CompilerBase):  # type: ignore[misc]
    """What a generated function is compiled by: ``njit(pipeline_class=KernelCompiler)``."""

    def define_pipelines(self) -> list[Any]:
        """Numba's passes, in its order, without the needless ones."""
        state = self.state
        if state.library is None and state.func_id is not None:
            state.library = _library(state.targetctx.codegen(), state.func_id.func_qualname)
        passes = PassManager("nopython")
        for each, description in DefaultPassBuilder.define_nopython_pipeline(state).passes:
            if each.name() not in NEEDLESS:
                passes.add_pass(each, description)
        passes.finalize()
        return [passes]


def _library(codegen: Any, name: str) -> Any:
    """What Numba would make for a function's code by itself, but for how LLVM optimises it.

    That is not part of Numba's interface: where a version of Numba has other ways, they stay as they are.
    """
    library = codegen.create_library(name)
    library.enable_object_caching()
    try:
        passes, builder = codegen._module_pass_manager(opt=LEVEL, loop_vectorize=False, slp_vectorize=False)
        passes.add_global_dead_code_eliminate_pass()  # functions that pruned counts of references would have called
    except (AttributeError, TypeError, ValueError):
        return library

    def lay_out(module: Any) -> None:
        module.data_layout = codegen._data_layout

    def optimise() -> None:
        passes.run(library._final_module, builder)

    library._optimize_functions, library._optimize_final_module = lay_out, optimise
    return library
