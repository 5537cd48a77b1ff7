"""The same scenario on real sockets: servers, a broker, a balancer and clients as processes on this machine.

`run` answers with `realtime_sim.Results`, as a simulation does; nothing is imported before it is used.
"""

from importlib import import_module

_EXPORTS = {
    "calibrate": "calibration",
    "run": "running",
    "validate": "validation",
}

__all__ = [*_EXPORTS]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
