"""Packed memory for compiled kernels: numbers of any width at byte offsets, and questions to many at once.

numba's arrays check each index for being negative, and have one width; the packet engine keeps records of
mixed widths and asks its questions of a whole cache line ("which of these 32 times have passed?"). LLVM makes
one or a few vector instructions of these, on whatever processor it runs.

An array is given by its address, which is the caller's to keep alive. Offsets are in bytes, and nobody checks
them. Numbers are unsigned; they are 64 bits wide once loaded.
"""

# llvmlite's and numba's inner functions have no types.
# mypy: disable-error-code="no-untyped-call, import-untyped, no-untyped-def"

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb
from llvmlite import ir
from numba import extending
from numba.core import cgutils, types

intrinsic: Any = extending.intrinsic

WORD = ir.IntType(64)
HALF = ir.IntType(16)
BYTE = ir.IntType(8)


def _place(builder: Any, arguments: Any, kind: Any) -> Any:
    """Pointer of a kind to an address (first argument) and an offset (second argument)."""
    return builder.inttoptr(builder.add(arguments[0], arguments[1]), kind.as_pointer())


def _vector(builder: Any, arguments: Any, kind: Any) -> Any:
    vector = builder.load(_place(builder, arguments, kind))
    vector.align = 1
    return vector


def _splat(builder: Any, value: Any, lanes: int) -> Any:
    """Vector of equal lanes."""
    kind = ir.VectorType(value.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    same = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), same)


def _lanes_of(builder: Any, mask: Any, lanes: int) -> Any:
    """Vector of truth values from the bits of a word."""
    return builder.bitcast(builder.trunc(mask, ir.IntType(lanes)), ir.VectorType(ir.IntType(1), lanes))


def _bits_of(builder: Any, truths: Any, lanes: int) -> Any:
    """Word whose bits are a vector's truth values."""
    return builder.zext(builder.bitcast(truths, ir.IntType(lanes)), WORD)


def _reduce(builder: Any, name: str, vector: Any) -> Any:
    kind = ir.FunctionType(vector.type.element, [vector.type])
    width = f"v{vector.type.count}i{vector.type.element.width}"
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.{name}.{width}")
    return builder.call(function, [vector])


def _loader(bits: int) -> Any:
    @intrinsic
    def load(context: Any, address: Any, offset: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = builder.load(_place(builder, arguments, ir.IntType(bits)))
            return value if bits == 64 else builder.zext(value, WORD)

        return types.int64(types.int64, types.int64), generate

    return load


def _storer(bits: int) -> Any:
    @intrinsic
    def store(context: Any, address: Any, offset: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            value = arguments[2] if bits == 64 else builder.trunc(arguments[2], ir.IntType(bits))
            builder.store(value, _place(builder, arguments, ir.IntType(bits)))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64), generate

    return store


load8, load16, load32, load64 = (_loader(bits) for bits in (8, 16, 32, 64))
store8, store16, store32, store64 = (_storer(bits) for bits in (8, 16, 32, 64))


def _asker(lanes: int) -> tuple[Any, Any]:
    """Questions to a row of 16-bit times."""
    row = ir.VectorType(HALF, lanes)

    @intrinsic
    def passed(context: Any, address: Any, offset: Any, now: Any) -> Any:
        """Bits of the times that are not later than now."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            times = _vector(builder, arguments, row)
            now = _splat(builder, builder.trunc(arguments[2], HALF), lanes)
            return _bits_of(builder, builder.icmp_unsigned("<=", times, now), lanes)

        return types.int64(types.int64, types.int64, types.int64), generate

    @intrinsic
    def earliest(context: Any, address: Any, offset: Any, now: Any, asked: Any) -> Any:
        """First of the times that are asked for by their bits and later than now; 65,535 if there is none."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            times = _vector(builder, arguments, row)
            now = _splat(builder, builder.trunc(arguments[2], HALF), lanes)
            wanted = builder.and_(
                builder.icmp_unsigned(">", times, now), _lanes_of(builder, arguments[3], lanes)
            )
            never = ir.Constant(row, [0xFFFF] * lanes)
            least = _reduce(builder, "umin", builder.select(wanted, times, never))
            return builder.zext(least, WORD)

        return types.int64(types.int64, types.int64, types.int64, types.int64), generate

    return passed, earliest


passed8, _ = _asker(8)
passed16, earliest16 = _asker(16)
passed32, earliest32 = _asker(32)


@intrinsic
def least8(context: Any, address: Any, offset: Any) -> Any:
    """Find the earliest of 8 times."""
    row = ir.VectorType(HALF, 8)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.zext(_reduce(builder, "umin", _vector(builder, arguments, row)), WORD)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def summon(context: Any, address: Any, wake: Any, free: Any, lanes: Any, time: Any) -> Any:
    """Lower those of 8 times at an offset whose bits are given, to a time or to when they are free, if later.

    When each is free, 8 times at another offset tell. Returns the earliest of all, and the earliest that the
    given ones were lowered to.
    """
    row = ir.VectorType(HALF, 8)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, wake, free, lanes, time = arguments
        place = _place(builder, (base, wake), row)
        before = builder.load(place)
        before.align = 2
        busy = _vector(builder, (base, free), row)
        time = _splat(builder, builder.trunc(time, HALF), 8)
        time = builder.select(builder.icmp_unsigned(">", busy, time), busy, time)
        time = builder.select(_lanes_of(builder, lanes, 8), time, ir.Constant(row, [0xFFFF] * 8))
        after = builder.select(builder.icmp_unsigned("<", time, before), time, before)
        builder.store(after, place).align = 2
        every, called = (_reduce(builder, "umin", times) for times in (after, time))
        return context.make_tuple(
            builder, signature.return_type, (builder.zext(every, WORD), builder.zext(called, WORD))
        )

    kind = types.UniTuple(types.int64, 2)
    return kind(types.int64, types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def settle(context: Any, address: Any, offset: Any, lane: Any, time: Any) -> Any:
    """Set one of 8 times, and find the earliest of them.

    All are written, for a row that was written in pieces is slow to read.
    """
    row = ir.VectorType(HALF, 8)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(builder, arguments, row)
        before = builder.load(place)
        before.align = 2
        lane = _splat(builder, builder.trunc(arguments[2], HALF), 8)
        time = _splat(builder, builder.trunc(arguments[3], HALF), 8)
        found = builder.icmp_unsigned("==", lane, ir.Constant(row, list(range(8))))
        after = builder.select(found, time, before)
        builder.store(after, place).align = 2
        return builder.zext(_reduce(builder, "umin", after), WORD)

    return types.int64(types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def less(context: Any, to: Any, address: Any, asked: Any) -> Any:
    """Write the 32 bytes at an address to another one, those asked for by their bits diminished by one."""
    row = ir.VectorType(BYTE, 32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, address, asked = arguments
        ones = builder.zext(_lanes_of(builder, asked, 32), row)
        value = builder.sub(_vector(builder, (address, WORD(0)), row), ones)
        builder.store(value, _place(builder, (to, WORD(0)), row)).align = 1
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def asking(context: Any, address: Any, offset: Any, bits: Any) -> Any:
    """Of 32 bytes those in which one of some bits is set, as bits."""
    row = ir.VectorType(BYTE, 32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = _vector(builder, arguments, row)
        common = builder.and_(values, _splat(builder, builder.trunc(arguments[2], BYTE), 32))
        return _bits_of(builder, builder.icmp_unsigned("!=", common, ir.Constant(row, [0] * 32)), 32)

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def reached(context: Any, address: Any, offset: Any, number: Any) -> Any:
    """Bits of those of 32 bytes that are not less than a number."""
    row = ir.VectorType(BYTE, 32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = _vector(builder, arguments, row)
        number = _splat(builder, builder.trunc(arguments[2], BYTE), 32)
        return _bits_of(builder, builder.icmp_unsigned(">=", values, number), 32)

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def largest(context: Any, address: Any, offset: Any, asked: Any) -> Any:
    """Of 32 bytes those asked for by their bits that are the largest, as bits."""
    row = ir.VectorType(BYTE, 32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = _vector(builder, arguments, row)
        lanes = _lanes_of(builder, arguments[2], 32)
        lacking = builder.not_(values)  # for there is an instruction that finds the least of many
        least = _reduce(builder, "umin", builder.select(lanes, lacking, ir.Constant(row, [0xFF] * 32)))
        found = builder.icmp_unsigned("==", lacking, _splat(builder, least, 32))
        return _bits_of(builder, builder.and_(found, lanes), 32)

    return types.int64(types.int64, types.int64, types.int64), generate


@intrinsic
def united(context: Any, address: Any, offset: Any, asked: Any) -> Any:
    """Of 32 bytes those asked for by their bits, all bits that are set in any."""
    row = ir.VectorType(BYTE, 32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = _lanes_of(builder, arguments[2], 32)
        values = builder.select(lanes, _vector(builder, arguments, row), ir.Constant(row, [0] * 32))
        return builder.zext(_reduce(builder, "or", values), WORD)

    return types.int64(types.int64, types.int64, types.int64), generate


def _counter(generate_count: Callable[[Any, Any, Any], Any]) -> Any:
    @intrinsic
    def count(context: Any, word: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return generate_count(context, builder, arguments[0])

        return nb.int64(nb.int64), generate

    return count


lowest_bit = _counter(
    lambda context, builder, word: builder.cttz(word, context.get_constant(types.boolean, True))
)
"""Index of the lowest set bit of a word that is not zero."""

bit_count = _counter(lambda context, builder, word: builder.ctpop(word))
"""Number of bits that are set."""


@intrinsic
def rotated32(context: Any, word: Any, places: Any) -> Any:
    """Word of 32 bits rotated right."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        half = ir.IntType(32)
        word, places = (builder.trunc(argument, half) for argument in arguments)
        kind = ir.FunctionType(half, [half, half, half])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.fshr.i32")
        return builder.zext(builder.call(function, [word, word, places]), WORD)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def prefetch(context: Any, address: Any, offset: Any) -> Any:
    """Ask for the cache line at a byte offset, without waiting for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _place(builder, arguments, BYTE)
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [place, word(1), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate
