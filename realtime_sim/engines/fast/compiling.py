"""How the functions of this engine are compiled: each once, for whole numbers, when its module is imported."""

from __future__ import annotations

import inspect
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba import njit, types
from numba.np.numpy_support import from_dtype

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


def compiled(**kinds: types.Type) -> Callable[[Callable], Callable]:
    """Decorator: compile a function for the state `s` and 64-bit whole numbers, but for the parameters named here.

    Left to itself, Numba would compile a function anew for each width of its arguments, and records have several.
    """

    def decorate(function: Callable) -> Callable:
        parameters = inspect.signature(function).parameters
        kind = {"s": State.kind, **kinds}
        signature = tuple(kind.get(name, types.int64) for name in parameters)
        with _ctrl_c_held_back():
            return njit([signature], cache=True, error_model="numpy")(function)

    return decorate


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """A Ctrl-C takes effect at the end: raised inside, in one of the compiler's callbacks, it is lost or garbled."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield  # no thread but the main one is ever interrupted
        return
    came: list[tuple] = []
    signal.signal(signal.SIGINT, lambda *event: came.append(event))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        before(*came[0])
