"""A Numba type for many arrays and numbers that compiled functions hand on together, by one pointer.

An object is a block of 64-bit words: a number takes one; an array takes the address of its data, the address of its
owner, and the length of each axis. Compiled code reads and writes fields as attributes. Numba's own `StructRef` does
the same with one LLVM structure of all fields; with two hundred of them, the text of that structure in every access
makes compiling take minutes.

An array that compiled code puts in the place of another belongs to the block from then on, until `release`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    intrinsic,
    lower_getattr_generic,
    lower_setattr_generic,
    models,
    register_model,
    unbox,
)
from numba.np.arrayobj import make_array, populate_array
from numba.np.numpy_support import as_dtype, from_dtype

__all__ = ["Block", "BlockType", "array_of", "release"]

WORD = 8
_WORD = ir.IntType(64)


class BlockType(types.Type):
    """Numba's type of a kind of block: its name, and the place and type of each field."""

    def __init__(self, name: str, fields: Mapping[str, types.Type]) -> None:
        super().__init__(name)
        self.fields = dict(fields)
        self.dtypes = {field: as_dtype(kind.dtype) for field, kind in fields.items() if isinstance(kind, types.Array)}
        self.places = {}
        self.n_words = 0
        for field, kind in self.fields.items():
            self.places[field] = self.n_words
            self.n_words += 2 + kind.ndim if isinstance(kind, types.Array) else 1


@register_model(BlockType)
class BlockModel(models.OpaqueModel):
    """A pointer to the words."""


class Block:
    """Python's side of a block: its words, and the arrays that they point to."""

    kind: BlockType

    def __init__(self, **values: object) -> None:
        if values.keys() != self.kind.fields.keys():
            raise TypeError(f"fields differ from those declared: {sorted(values.keys() ^ self.kind.fields.keys())}")
        self.words = np.zeros(self.kind.n_words, dtype=np.int64)
        self.address = self.words.ctypes.data
        self.arrays: list[np.ndarray] = []
        for name, value in values.items():
            self._set(name, value)

    @property
    def _numba_type_(self) -> BlockType:
        """Where Numba looks first: asked for in another way, it takes longer than most calls."""
        return self.kind

    def _set(self, name: str, value: object) -> None:
        kind, place = self.kind.fields[name], self.kind.places[name]
        if not isinstance(kind, types.Array):
            self.words[place : place + 1].view(np.float64 if kind is types.float64 else np.int64)[0] = value
            return
        if not isinstance(value, np.ndarray) or value.dtype != self.kind.dtypes[name] or value.ndim != kind.ndim:
            raise TypeError(f"{name} must be an array of {kind}, got {value!r}")
        array = np.ascontiguousarray(value)
        self.arrays.append(array)
        self.words[place] = array.ctypes.data
        self.words[place + 2 : place + 2 + array.ndim] = array.shape


def array_of(dtype: object, ndim: int = 1) -> types.Array:
    """Numba's type of a contiguous array."""
    return types.Array(from_dtype(np.dtype(dtype)), ndim, "C")


@unbox(BlockType)
def _unbox(kind, obj, c):
    address = c.pyapi.object_getattr_string(obj, "address")
    number = c.pyapi.number_as_ssize_t(address)
    c.pyapi.decref(address)
    pointer = c.builder.inttoptr(number, cgutils.voidptr_t)
    return NativeValue(pointer, is_error=cgutils.is_not_null(c.builder, c.pyapi.err_occurred()))


@infer_getattr
class _Attributes(AttributeTemplate):
    key = BlockType

    def generic_resolve(self, kind, attribute):
        return kind.fields.get(attribute)


def word(builder, block, place, to=_WORD):
    """Pointer to a word of the block, as one to a value of LLVM type `to`."""
    words = builder.bitcast(block, _WORD.as_pointer())
    word = builder.gep(words, [ir.Constant(ir.IntType(32), place)])
    return builder.bitcast(word, to.as_pointer())


@lower_getattr_generic(BlockType)
def _read(context, builder, kind, block, attribute):
    field, place = kind.fields[attribute], kind.places[attribute]
    if isinstance(field, types.Array):
        return _array(context, builder, field, block, place)._getvalue()
    if field is types.boolean:
        return builder.icmp_signed("!=", builder.load(word(builder, block, place)), _WORD(0))
    return builder.load(word(builder, block, place, context.get_value_type(field)))


def _array(context, builder, field, block, place):
    array = make_array(field)(context, builder)
    itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(field.dtype)))
    shape = [builder.load(word(builder, block, place + 2 + axis)) for axis in range(field.ndim)]
    strides = [itemsize]
    for length in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], length))
    populate_array(
        array,
        data=builder.load(word(builder, block, place, array.data.type)),
        shape=shape,
        strides=strides,
        itemsize=itemsize,
        meminfo=None,  # the block owns it, for as long as compiled code runs
    )
    return array


@lower_setattr_generic(BlockType)
def _write(context, builder, signature, arguments, attribute):
    kind, given = signature.args
    block, value = arguments
    field, place = kind.fields[attribute], kind.places[attribute]
    value = context.cast(builder, value, given, field)
    if isinstance(field, types.Array):
        array = make_array(field)(context, builder, value)
        context.nrt.incref(builder, field, value)
        _free(context, builder, field, block, place)
        builder.store(array.data, word(builder, block, place, array.data.type))
        builder.store(array.meminfo, word(builder, block, place + 1, array.meminfo.type))
        for axis, length in enumerate(cgutils.unpack_tuple(builder, array.shape, field.ndim)):
            builder.store(length, word(builder, block, place + 2 + axis))
    elif field is types.boolean:
        builder.store(builder.zext(value, _WORD), word(builder, block, place))
    else:
        builder.store(value, word(builder, block, place, value.type))


def _free(context, builder, field, block, place):
    """Give up the owner of a field's array."""
    old = _array(context, builder, field, block, place)
    old.meminfo = builder.load(word(builder, block, place + 1, old.meminfo.type))
    context.nrt.decref(builder, field, old._getvalue())


@intrinsic
def release(typing_context, kind):
    """Free the arrays that compiled code has put into a block; it must not be used any more."""

    def generate(context, builder, signature, arguments):
        for name, field in kind.fields.items():
            if isinstance(field, types.Array):
                place = kind.places[name]
                _free(context, builder, field, arguments[0], place)
                builder.store(_WORD(0), word(builder, arguments[0], place + 1))
        return context.get_dummy_value()

    return types.void(kind), generate


@intrinsic
def prefetch(typing_context, array, index):
    """Start to bring an element of an array near, or the first of a row; it will be read soon."""

    def generate(context, builder, signature, arguments):
        kind = signature.args[0]
        held = make_array(kind)(context, builder, arguments[0])
        first = [context.get_constant(types.intp, 0)] * (kind.ndim - 1)
        address = cgutils.get_item_pointer(context, builder, kind, held, [arguments[1], *first])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, number, number, number]), "llvm.prefetch.p0i8"
        )
        flags = [ir.Constant(number, value) for value in (1, 3, 1)]  # to be written, kept near, data
        builder.call(function, [builder.bitcast(address, byte), *flags])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate
