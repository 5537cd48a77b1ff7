"""The monitor: it looks at the system at equal steps, and changes nothing."""

from __future__ import annotations

from collections.abc import Generator

from realtime_sim.control.environment import Environment
from realtime_sim.control.machinery import Machinery
from realtime_sim.scenario import Scenario
from realtime_sim.units import to_ns

__all__ = ["monitor"]


def monitor(env: Environment, machinery: Machinery, scenario: Scenario) -> Generator:
    """Sample every `sample_interval`, from time 0 to the end of the run.

    Parameters
    ----------
    env : Environment
        The clock.
    machinery : Machinery
        What it looks at.
    scenario : Scenario
        What is running.
    """
    step_ns, end_ns = max(1, to_ns(scenario.sample_interval)), to_ns(scenario.duration)
    times_ns = range(0, end_ns + 1, step_ns)
    for time_ns in (*times_ns, end_ns) if times_ns[-1] < end_ns else times_ns:
        yield env.sample_at(time_ns)
        machinery.sample()
