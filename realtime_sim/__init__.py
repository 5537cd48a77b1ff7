"""Simulate real-time push systems: which transport, how many servers, what latency, and what happens when things break.

Every public name is imported on first use, so that `import realtime_sim` itself loads nothing but the standard library.

Examples
--------
>>> import realtime_sim
>>> realtime_sim.units.parse_duration("250ms")
0.25
"""

from importlib import import_module

__version__ = "0.1.0"

# Public name: the module that has it. A name equal to its module is the module itself.
_EXPORTS = {
    "Comparison": "agreement",
    "EngineError": "errors",
    "LiveError": "errors",
    "Plan": "planning",
    "Prices": "prices",
    "Results": "results",
    "Scenario": "scenario",
    "ScenarioError": "errors",
    "Sensitivity": "sweeps",
    "Sizing": "sizing",
    "Sweep": "sweeps",
    "UnsupportedFeature": "errors",
    "choose_transport": "choose",
    "compare": "agreement",
    "compare_backoff": "backoffs",
    "deployment": "deployment",
    "plan": "planning",
    "plots": "plots",
    "policies": "policies",
    "presets": "presets",
    "profiles": "profiles",
    "sensitivity": "sweeps",
    "server_limits": "limits",
    "simulate": "simulation",
    "size": "sizing",
    "sweep": "sweeps",
    "teaching": "teaching",
    "theory": "theory",
    "units": "units",
    "widgets": "widgets",
    "write_report": "report",
}

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> object:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_EXPORTS[name]}")
    value = module if name == _EXPORTS[name] else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
