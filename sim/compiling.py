"""How kernels are compiled, and how they see a server.

To a kernel a `Server` is one pointer: to a table of where its arrays are and how long they are. As
a tuple of thirty arrays it would be two hundred values that every call hands on and every function
unpacks, in time and in code; with a pointer a rare path costs a plain call.

Without reference counting: a kernel neither makes nor frees arrays, and counting references to
those of a server at every access costs twenty times the work itself.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core.typing import signature
from numba.core.typing.templates import AttributeTemplate, ConcreteTemplate, builtin_registry
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_builtin,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np.arrayobj import make_array, populate_array

from results import histogram
from sim.state import FIELDS, Server

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

BLAS = "scipy.linalg.cython_blas"  # numba looks for it as its `arraymath` loads


def _load_alone() -> None:
    """Let numba load without scipy's BLAS: kernels here call it for nothing.

    Loading it takes about as long as loading numba. Products of matrices look for it anew;
    `np.correlate` in kernels of others is a plain loop in this process.
    """
    if BLAS in sys.modules:
        return
    sys.modules[BLAS] = None  # type: ignore[assignment]  # "there is none" to `import`
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        del sys.modules[BLAS]


_load_alone()

compiled = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)
inlined = numba.njit(
    cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True,
    no_cpython_wrapper=True, no_cfunc_wrapper=True,
)  # fmt: skip

ARRAYS = {
    name: types.Array(numba.from_dtype(dtype), dimensions, "C")
    for name, (dtype, dimensions) in FIELDS.items()
}
COMPILED = (  # modules whose code goes into kernels
    "backlogs", "compiling", "completions", "delivery", "draws", "fanout_process", "fifo",
    "flushes", "journeys", "loop_turns", "memory", "outflow", "progressions", "ranks", "pauses",
    "ready_list", "rests", "spans", "state",
)  # fmt: skip
PLACE = {name: 3 * number for number, name in enumerate(FIELDS)}  # address and two lengths of each


def _fingerprint() -> str:
    """Hash of all code that is compiled into a kernel.

    Compiled kernels are cached on disk by their own file's date and their arguments' types; code of
    other files that went into them is not looked at. As part of a type's name the hash makes a
    kernel of other code another kernel.
    """
    here = Path(__file__).parent
    files = [*(here / f"{name}.py" for name in COMPILED), Path(histogram.__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


class ServerType(types.Type):
    """Kernels' type of `Server`."""

    def __init__(self) -> None:
        super().__init__(f"Server({_fingerprint()})")


SERVER = ServerType()


@typeof_impl.register(Server)
def _typeof_server(server: Server, context: Any) -> ServerType:
    return SERVER


@register_model(ServerType)
class _ServerModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: ServerType) -> None:
        super().__init__(manager, kind, ir.IntType(64).as_pointer())


@unbox(ServerType)
def _unbox_server(kind: ServerType, server: Any, c: Any) -> NativeValue:
    """The table's address."""
    number = c.pyapi.object_getattr_string(server, "address")
    address = c.pyapi.long_as_ulonglong(number)
    c.pyapi.decref(number)
    pointer = c.builder.inttoptr(address, c.context.get_value_type(kind))
    return NativeValue(pointer, is_error=c.pyapi.c_api_error())


@infer_getattr
class _ServerArrays(AttributeTemplate):
    key = ServerType

    def generic_resolve(self, kind: ServerType, name: str) -> types.Type | None:
        return ARRAYS.get(name)


@lower_getattr_generic(ServerType)
def _array_of(context: Any, builder: Any, kind: ServerType, table: Any, name: str) -> Any:
    """An array of a server. The table does not change while kernels run, which LLVM is told."""
    array = ARRAYS[name]
    unchanging = builder.module.add_metadata([])

    def entry(place: int) -> Any:
        where = builder.gep(table, [ir.IntType(64)(PLACE[name] + place)], inbounds=True)
        load = builder.load(where)
        load.set_metadata("invariant.load", unchanging)
        return load

    made = make_array(array)(context, builder)
    data = builder.inttoptr(entry(0), context.get_data_type(array.dtype).as_pointer())
    itemsize = context.get_abi_sizeof(context.get_data_type(array.dtype))
    shape = [entry(1 + axis) for axis in range(array.ndim)]
    strides = [context.get_constant(types.intp, itemsize)]
    if array.ndim == 2:
        strides = [builder.mul(shape[1], strides[0]), *strides]
    populate_array(made, data=data, shape=shape, strides=strides, itemsize=itemsize, meminfo=None)
    return made._getvalue()


# Rare paths are compiled apart: callers have their address from `Server.calls`, so that their code
# is in no caller's, and is not made at all where a grid does not need it.
_APART: list[Callable[..., Any]] = []
_SIGNATURES: dict[Callable[..., Any], Any] = {}


def apart(returned: types.Type, *arguments: types.Type) -> Callable[[Kernel], Kernel]:
    """Let kernels call a function of a server and of these further arguments by address."""

    def registered(function: Kernel) -> Kernel:
        place, own = len(_APART), signature(returned, SERVER, *arguments)
        _APART.append(function)
        _SIGNATURES[function] = own

        class Call(ConcreteTemplate):
            key = function
            cases = (own,)

        builtin_registry.register_global(function, types.Function(Call))

        @lower_builtin(function, SERVER, *arguments)
        def _call(context: Any, builder: Any, kind: Any, values: Any) -> Any:
            calls = make_array(ARRAYS["calls"])(
                context, builder, _array_of(context, builder, SERVER, values[0], "calls")
            )
            address = builder.load(builder.gep(calls.data, [ir.IntType(64)(place)]))
            passed = [context.get_value_type(each) for each in own.args]
            kernel = ir.FunctionType(context.get_value_type(own.return_type), passed)
            return builder.call(builder.inttoptr(address, kernel.as_pointer()), values)

        return function

    return registered


@cache
def _address(function: Callable[..., Any]) -> int:
    options = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
    return int(numba.cfunc(_SIGNATURES[function], **options)(function).address)


def calls(*modules: str) -> npt.NDArray[np.uint64]:
    """Addresses of the functions that were compiled apart; 0 but for those of these modules."""
    chosen = [_address(each) if each.__module__ in modules else 0 for each in _APART]
    return np.array(chosen, np.uint64)
