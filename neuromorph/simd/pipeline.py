"""Numba's compiler without the passes that a generated kernel does not need.

A kernel has no closures, no ``with``, no exceptions, no array expressions, no function to inline and no branch on a
constant; that an index is one, LLVM sees by itself. The passes that look for these walk over every statement, though,
and take a tenth of the time of compiling.
See "Customizing the Compiler" in Numba's documentation.
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


class KernelCompiler(CompilerBase):  # type: ignore[misc]
    """What a generated function is compiled by: ``njit(pipeline_class=KernelCompiler)``."""

    def define_pipelines(self) -> list[Any]:
        """Numba's passes, in its order, without the needless ones."""
        passes = PassManager("nopython")
        for each, description in DefaultPassBuilder.define_nopython_pipeline(self.state).passes:
            if each.name() not in NEEDLESS:
                passes.add_pass(each, description)
        passes.finalize()
        return [passes]
