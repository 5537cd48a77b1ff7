"""Functions that compiled code calls through an address, so that callers hold no copy of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from numba import types
from numba.core import cgutils
from numba.core.typing.typeof import typeof_impl
from numba.extending import lower_builtin, models, register_model

from realtime_sim.engines.fast.memory import word
from realtime_sim.engines.fast.state import State

__all__ = ["Apart"]


class Apart:
    """A compiled function whose first argument is the state, where its address is kept under the function's name."""

    all: dict[str, Apart] = {}

    def __init__(self, declared: Callable) -> None:
        self.declared = declared
        self.__name__, self.__doc__ = declared.__name__, declared.__doc__
        if self.__name__ in self.all:
            raise ValueError(f"two functions compiled apart are called {self.__name__}")
        self.all[self.__name__] = self
        self.kind = ApartType(self)

    def __call__(self, *arguments: object) -> object:
        return self.declared(*arguments)

    def prepare(self) -> None:
        """Compile it, or load what was compiled before."""
        self.declared.prepare()

    @property
    def overload(self) -> object:
        """What Numba knows of it, its signature and its code."""
        self.prepare()
        (overload,) = self.declared.overloads.values()
        return overload

    @cached_property
    def address(self) -> int:
        """Where the machine code begins."""
        return self.overload.library.get_pointer_to_function(self.overload.fndesc.llvm_func_name)


class ApartType(types.Callable, types.Dummy):
    """Numba's type of one such function."""

    def __init__(self, function: Apart) -> None:
        super().__init__(f"Apart({function.__name__}, {State.kind.name})")
        self.function = function
        lower_builtin(self.name, types.VarArg(types.Any))(_call_by_address(f"{function.__name__}_at"))

    def get_call_type(self, context: object, args: tuple, kws: dict) -> object:
        """The signature, whatever whole numbers are handed over."""
        return self.function.overload.signature

    def get_call_signatures(self) -> tuple[list, bool]:
        """The one signature, and that it has no parameters of its own."""
        return [self.function.overload.signature], False

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
