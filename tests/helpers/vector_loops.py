"""Makes LLVM loops that apply a function of vector mathematics to an array."""

from llvmlite import binding as llvm
from llvmlite import ir

from neuromorph.simd import math as vector_math


def loop_module(name, kind):
    """A module with `void run(in, out, count)`, which applies the function. count: a multiple of the vector's
    elements."""
    module = ir.Module()
    module.triple = llvm.get_default_triple()
    lanes, element = (kind.count, kind.element) if isinstance(kind, ir.VectorType) else (1, kind)
    index, pointer = ir.IntType(64), element.as_pointer()
    run = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer, pointer, index]), "run")
    source, target, count = run.args
    entry, body, done = (run.append_basic_block(label) for label in ("entry", "body", "done"))
    ir.IRBuilder(entry).branch(body)
    builder = ir.IRBuilder(body)
    i = builder.phi(index)
    i.add_incoming(ir.Constant(index, 0), entry)
    place = builder.bitcast(builder.gep(source, [i]), kind.as_pointer())
    result = vector_math.emit(name, builder, builder.load(place, align=4))
    builder.store(result, builder.bitcast(builder.gep(target, [i]), kind.as_pointer()), align=4)
    following = builder.add(i, ir.Constant(index, lanes))
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), body, done)
    ir.IRBuilder(done).ret_void()
    return module
