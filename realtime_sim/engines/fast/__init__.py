"""The compiled engine: the same rules as `engines.reference`, on arrays, for a million connections and more.

Read in this order: `state` (what there is), `agenda` (future events), `ledger`, `links`, `polling`, `clients`,
`handshakes`, `broker_links`, `stations`, `logs`, `brokers`, `work`, `servers` (the rules, as in the reference engine),
`kernel` (the loop), `actions` and `broker_faults` (what the control plane does) and `cluster` (when it does it). What
is sure is settled ahead, without an event of its own: copies that nothing can stop (`links`), attempts of clients that
are turned away (`clients`), jobs whose recipients cannot change before they start, and ends of jobs that only free a
loop (`servers`). What will be read soon is asked for in time, for a million clients are in no cache
(`memory.prefetch`).
Runs in which nobody comes or goes take another way, without an agenda: `steady` (the run), `steady_state`,
`steady_places` (who is where), `steady_broker`, `steady_queues` and `steady_copies` (the stages), `steady_draws` and
`steady_filing` (what the stages share).
Every run gives the trace that the reference engine gives, to the nanosecond.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from realtime_sim.control import Control
from realtime_sim.errors import UnsupportedFeature
from realtime_sim.recorder import Recorder
from realtime_sim.scenario import Scenario
from realtime_sim.scenario.faults import OF_THE_BROKER
from realtime_sim.trace import Trace
from realtime_sim.transports import TRANSPORTS
from realtime_sim.workload import Workload

__all__ = ["is_steady", "prepare", "run"]


def run(
    workload: Workload,
    record: str = "summary",
    progress: Callable[[float], None] | None = None,
    control: Sequence[Control] = (),
) -> Trace:
    """Run a workload to its end.

    Parameters
    ----------
    workload : Workload
        What to run.
    record : str
        `"summary"` or `"full"`.
    progress : callable, optional
        Called now and then with the simulated time, seconds.
    control : sequence of callable
        Control processes ``(env, cluster)`` beside those of the scenario.

    Returns
    -------
    Trace
        What happened.

    Raises
    ------
    UnsupportedFeature
        If the processes share a host, or the run would need a table of gigabytes.
    """
    _check(workload.scenario)
    progress = progress or (lambda _: None)
    if not control and is_steady(workload.scenario, record):
        _prepare("steady", progress)
        from realtime_sim.engines.fast.steady import SteadyCluster

        trace = SteadyCluster(workload, Recorder(workload, record)).run(progress)
        if trace is not None:
            return trace
    _prepare("cluster", progress)
    if _is_controlled(workload.scenario) or control:
        _prepare("actions", progress)
    if _breaks_the_broker(workload.scenario):
        _prepare("broker_faults", progress)
    from realtime_sim.engines.fast.cluster import CompiledCluster

    return CompiledCluster(workload, Recorder(workload, record), control).run(progress)


def prepare(scenario: Scenario, record: str) -> None:
    """Compile what a run will need, or load what was compiled before.

    Parameters
    ----------
    scenario : Scenario
        What is to be run.
    record : str
        `"summary"` or `"full"`.

    Raises
    ------
    UnsupportedFeature
        If the processes share a host.
    """
    _check(scenario)
    _prepare("steady" if is_steady(scenario, record) else "cluster", lambda _: None)
    if _is_controlled(scenario):
        _prepare("actions", lambda _: None)
    if _breaks_the_broker(scenario):
        _prepare("broker_faults", lambda _: None)


def _check(scenario: Scenario) -> None:
    if scenario.host is not None:
        raise UnsupportedFeature("host", "fast", "use engine 'reference', or leave host out")


def _breaks_the_broker(scenario: Scenario) -> bool:
    return any(fault.kind in OF_THE_BROKER for fault in scenario.faults)


def _is_controlled(scenario: Scenario) -> bool:
    """Whether the control plane does more than look."""
    return bool(scenario.faults) or scenario.autoscaling is not None


def _prepare(kernel: str, progress: Callable[[float], None]) -> None:
    """Function by function, so that a bar shows while all of them are compiled, and Ctrl-C takes effect."""
    for function in import_module(f"{__name__}.{kernel}").CALLED:
        function.prepare()
        progress(0.0)


def is_steady(scenario: Scenario, record: str) -> bool:
    """Whether a run may be steady. Whether servers have room for all, and are done in time, shows in the run.

    Parameters
    ----------
    scenario : Scenario
        What is asked.
    record : str
        `"summary"` or `"full"`; steady runs know nothing of single deliveries.

    Examples
    --------
    >>> chat = Scenario(name="x", duration=1, clients=[{"name": "c", "count": 4}],
    ...                 traffic=[{"name": "t", "rate": 1}])
    >>> is_steady(chat, "summary"), is_steady(chat.replace(**{"clients.c.ramp_up": 1}), "summary")
    (True, False)
    """
    stays = all(
        cohort.ramp_up is None
        and cohort.session is None
        and cohort.network.bandwidth is None
        and not cohort.idles_out
        and not TRANSPORTS[cohort.transport].request_per_message
        for cohort in scenario.clients
    )
    kind, servers = scenario.broker.kind, scenario.servers
    return (
        record == "summary"
        and stays
        and not scenario.faults
        and scenario.autoscaling is None
        and scenario.host is None
        and all(stream.source == "backend" for stream in scenario.traffic)
        and (
            (scenario.broker.has_channels and scenario.broker.n_threads == 1) or (kind == "none" and servers.count == 1)
        )
        and servers.fanout == "broadcast"
        and servers.connection_age is None
    )
