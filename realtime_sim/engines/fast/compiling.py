"""How the functions of this engine are compiled: each once, for whole numbers, when it is first called or needed.

A function that is called from Python brings the code of all that it calls; loaded from the cache, none of those is even
looked at. Loading every one of them took a second and a half, and 300 MB.
"""

from __future__ import annotations

import inspect
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba import njit, types
from numba.core.compiler_lock import global_compiler_lock
from numba.np.numpy_support import from_dtype

from realtime_sim.engines.fast.apart import Apart
from realtime_sim.engines.fast.memory import array_of
from realtime_sim.engines.fast.state import EVENT, State

__all__ = ["compiled"]

FLAG = types.boolean
FRACTION = types.float64
NUMBERS = array_of("i8")
BITS = array_of("u8", 2)
INDEX = array_of("i4")
EVENTS = array_of(EVENT)
ONE_EVENT = from_dtype(EVENT)


def compiled(*, apart: bool = False, long: bool = False, **kinds: types.Type) -> Callable[[Callable], Callable]:
    """Decorator: a function for the state `s` and 64-bit whole numbers, but for the parameters named here.

    Left to itself, Numba would compile a function anew for each width of its arguments, and records have several; and
    it would give every caller a copy of the function, and of all that the function calls, for LLVM to work on again.
    A function that is compiled `apart` is called through its address, which the state holds: all of them compile in a
    third of the time. One that takes `long` lets other threads of Python go on meanwhile, such as the one that hears
    sliders and the button Cancel.

    Parameters
    ----------
    apart : bool
        Whether it is called through its address.
    long : bool
        Whether other threads go on meanwhile.
    **kinds : Numba type
        Of the parameters named so.
    """

    def decorate(function: Callable) -> Callable:
        parameters = inspect.signature(function).parameters
        kind = {"s": State.kind, **kinds}
        declared = _declared(function, tuple(kind.get(name, types.int64) for name in parameters), long)
        return Apart(declared) if apart else declared

    return decorate


def _declared(function: Callable, signature: tuple[types.Type, ...], long: bool) -> Callable:
    """A function that Numba compiles for one signature, when Python or compiled code first asks for it."""
    dispatcher = njit(cache=True, nogil=long, error_model="numpy")(function)
    by_compiled_code, by_python = dispatcher.get_call_template, dispatcher._compile_for_args

    def prepare() -> None:
        if dispatcher.overloads:
            return
        with global_compiler_lock:  # which Numba takes as well: another thread may be at it
            if not dispatcher.overloads:
                with _ctrl_c_held_back():
                    dispatcher.compile(signature)
                dispatcher.disable_compile()

    def get_call_template(arguments: tuple, names: dict) -> tuple:
        prepare()
        return by_compiled_code(arguments, names)

    def compile_for_args(*arguments: object, **names: object) -> object:
        if dispatcher.overloads:
            return by_python(*arguments, **names)  # no signature fits; Numba says so
        prepare()
        return dispatcher.overloads[signature].entry_point

    dispatcher.prepare = prepare
    dispatcher.get_call_template, dispatcher._compile_for_args = get_call_template, compile_for_args
    return dispatcher


_interrupts: list[tuple] = []
"""Interrupts that came while code was compiled, and were not raised yet."""


def _take_note(*event: object) -> None:
    _interrupts.append(event)


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """A Ctrl-C takes effect at the end: raised inside, in one of the compiler's callbacks, it is lost or garbled.

    What a function calls is compiled inside its own compilation, and the innermost end is early enough.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before not in _UNDERSTOOD:
        yield  # no thread but the main one is ever interrupted, and how others handle it is not ours to change
        return
    signal.signal(signal.SIGINT, _take_note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if _interrupts:
        _interrupts.clear()
        raise KeyboardInterrupt


_UNDERSTOOD = (signal.default_int_handler, _take_note)
