"""The compiled engine: the same rules as `engines.reference`, on arrays, for a million connections and more.

Read in this order: `state` (what there is), `agenda` (future events), `ledger`, `links`, `servers`, `brokers`,
`clients` (the rules, module by module as in the reference engine), `kernel` (the loop), `cluster` (faults and samples).
Every run gives the trace that the reference engine gives, to the nanosecond.
"""

from __future__ import annotations

from collections.abc import Callable

from realtime_sim.recorder import Recorder
from realtime_sim.trace import Trace
from realtime_sim.workload import Workload

__all__ = ["run"]


def run(workload: Workload, record: str = "summary", progress: Callable[[float], None] | None = None) -> Trace:
    """Run a workload to its end.

    Parameters
    ----------
    workload : Workload
        What to run.
    record : str
        `"summary"` or `"full"`.
    progress : callable, optional
        Called now and then with the simulated time, seconds.

    Returns
    -------
    Trace
        What happened.
    """
    from realtime_sim.engines.fast.cluster import CompiledCluster

    return CompiledCluster(workload, Recorder(workload, record)).run(progress or (lambda _: None))
