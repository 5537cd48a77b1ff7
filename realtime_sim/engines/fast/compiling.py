"""How the functions of this engine are compiled: each once, for whole numbers, when its module is imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable

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
    """Decorator: compile a function for the state `s` and 64-bit whole numbers, but for the parameters named here.

    Left to itself, Numba would compile a function anew for each width of its arguments, and records have several; and
    it would give every caller a copy of the function, and of all that the function calls, for LLVM to work on again.
    A function that is compiled `apart` is called through its address, which the state holds; callers compile in half
    the time.
    """

    def decorate(function: Callable) -> Callable:
        parameters = inspect.signature(function).parameters
        kind = {"s": State.kind, **kinds}
        signature = tuple(kind.get(name, types.int64) for name in parameters)
        dispatcher = njit([signature], cache=True, error_model="numpy")(function)
        return Apart(dispatcher) if apart else dispatcher

    return decorate


class Apart:
    """A function that compiled code calls through an address in the state, its first argument."""

    all: dict[str, Apart] = {}

    def __init__(self, dispatcher: Callable) -> None:
        self.dispatcher, self.__name__, self.__doc__ = dispatcher, dispatcher.__name__, dispatcher.__doc__
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
