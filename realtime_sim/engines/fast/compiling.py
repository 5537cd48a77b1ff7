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
from numba.core import cgutils
from numba.core.typing.typeof import typeof_impl
from numba.extending import lower_builtin, models, register_model
from numba.np.numpy_support import from_dtype

from realtime_sim.engines.fast.memory import array_of, word
from realtime_sim.engines.fast.state import EVENT, State

__all__ = ["compiled", "entries"]

FLAG = types.boolean
FRACTION = types.float64
NUMBERS = array_of("i8")
BITS = array_of("u8", 2)
INDEX = array_of("i4")
EVENTS = array_of(EVENT)
ONE_EVENT = from_dtype(EVENT)


def compiled(*, apart: bool = False, **kinds: types.Type) -> Callable[[Callable], Callable]:
    """Decorator: a function for the state `s` and 64-bit whole numbers, but for the parameters named here.

    Left to itself, Numba would compile a function anew for each width of its arguments, and records have several; and
    it would give every caller a copy of the function, and of all that the function calls, for LLVM to work on again.
    A function that is compiled `apart` is called through its address, which the state holds; callers compile in half
    the time.
    """

    def decorate(function: Callable) -> Callable:
        parameters = inspect.signature(function).parameters
        kind = {"s": State.kind, **kinds}
        dispatcher = _declared(function, tuple(kind.get(name, types.int64) for name in parameters))
        return Apart(dispatcher) if apart else dispatcher

    return decorate


def _declared(function: Callable, signature: tuple[types.Type, ...]) -> Callable:
    """A function that Numba compiles for one signature, when Python or compiled code first asks for it."""
    dispatcher = njit(cache=True, error_model="numpy")(function)
    by_compiled_code, by_python = dispatcher.get_call_template, dispatcher._compile_for_args

    def prepare() -> None:
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


class Apart:
    """A function that compiled code calls through an address in the state, its first argument."""

    all: dict[str, Apart] = {}

    def __init__(self, dispatcher: Callable) -> None:
        self.dispatcher, self.__name__, self.__doc__ = dispatcher, dispatcher.__name__, dispatcher.__doc__
        self.prepare = dispatcher.prepare
        self.prepare()  # callers must know what it returns, and the state where it is
        (self.overload,) = dispatcher.overloads.values()
        self.kind = ApartType(self.__name__, self.overload.signature)
        if self.__name__ in self.all:
            raise ValueError(f"two functions compiled apart are called {self.__name__}")
        self.all[self.__name__] = self

    def __call__(self, *arguments: object) -> object:
        return self.dispatcher(*arguments)

    @property
    def address(self) -> int:
        """Where the machine code begins."""
        return self.overload.library.get_pointer_to_function(self.overload.fndesc.llvm_func_name)


class ApartType(types.Callable, types.Dummy):
    """Numba's type of one such function."""

    def __init__(self, name: str, signature: object) -> None:
        super().__init__(f"Apart({name}, {State.kind.name})")
        self.signature = signature
        lower_builtin(self.name, *signature.args)(_call_by_address(f"{name}_at"))

    def get_call_type(self, context: object, args: tuple, kws: dict) -> object:
        """The signature, whatever whole numbers are handed over."""
        return self.signature

    def get_call_signatures(self) -> tuple[list, bool]:
        """The one signature, and that it has no parameters of its own."""
        return [self.signature], False

    def get_impl_key(self, signature: object) -> str:
        """Under which the lowering is registered."""
        return self.name


@register_model(ApartType)
class _ApartModel(models.OpaqueModel):
    """The function itself is no value; its address is in the state."""


@typeof_impl.register(Apart)
def _typeof(value: Apart, _context: object) -> ApartType:
    return value.kind


def _call_by_address(field: str) -> Callable:
    def call(context, builder, signature, arguments):
        kind = context.call_conv.get_function_type(signature.return_type, signature.args).as_pointer()
        function = builder.load(word(builder, arguments[0], State.kind.places[field], kind))
        status, result = context.call_conv.call_function(
            builder, function, signature.return_type, signature.args, arguments
        )
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return result

    return call


def entries() -> dict[str, int]:
    """Addresses of the functions that are compiled apart, by their fields in the state."""
    return {f"{name}_at": function.address for name, function in Apart.all.items()}
