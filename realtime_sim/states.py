"""States: how many clients are connected, cut off, waiting, connecting or away over time, exactly.

Nobody counts clients by their state while a run goes on. What happens to them is counted, and a state holds whoever
came into it and has not left it: connected are those who were accepted, less the connections that were closed.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pandas as pd

from realtime_sim.trace import CLOSE_CODES, FAILURES, Trace
from realtime_sim.units import from_ns

__all__ = ["STATES", "client_states"]

STATES = MappingProxyType(
    {
        "connected": "connected",
        "cut_off": "cut off, not noticed yet",
        "waiting": "waiting for the next attempt",
        "connecting": "connecting",
        "gave_up": "given up",
        "away": "away: the user has not come, or left",
        "not_connected": "not connected",
    }
)
"""States of a client in words, from the best on. Who has given up waits in vain where users leave: as long as the user
stays, and is counted with who waits. A live run knows connected and not connected."""


def client_states(trace: Trace) -> pd.DataFrame:
    """How many clients are in each state at each sample; every row adds up to all clients.

    A client whose connection breaks while the answer that it is accepted is on its way counts as cut off until it could
    have had that answer.

    Parameters
    ----------
    trace : Trace
        Of any run. Of a live run, in which nobody knows what a client has not noticed, two states are told apart.

    Returns
    -------
    DataFrame of int, shape (samples, states)
        Indexed by time, seconds; columns are keys of `STATES`.

    Examples
    --------
    >>> from realtime_sim import Scenario, simulate
    >>> drop = {"at": 2, "kind": "drop_clients", "cohort": "c"}
    >>> clients = {"name": "c", "count": 9, "reconnect": {"policy": "fixed", "delay": "1s"}}
    >>> run = simulate(Scenario(name="x", duration=5, clients=[clients], faults=[drop]))
    >>> client_states(run.trace)[["connected", "waiting"]].T.to_numpy().tolist()
    [[9, 9, 9, 0, 9, 9], [0, 0, 0, 9, 0, 0]]
    """
    series, n_clients = trace.series, trace.scenario.n_clients
    broken = sum(series[name] for name in CLOSE_CODES if name != "closed_normal")
    connected = series["accepted"] - series["closed_normal"] - broken
    if trace.engine == "live":
        states = {"connected": connected, "not_connected": n_clients - connected}
    else:
        states = {"connected": connected, **_others(trace, broken)}
        states["away"] = n_clients - sum(states.values())
    time_s = from_ns(series["time_ns"].astype(float))
    return pd.DataFrame(states, index=pd.Index(time_s, name="time_s"), dtype=np.int64)


def _others(trace: Trace, broken: np.ndarray) -> dict[str, np.ndarray]:
    """Clients whose user is there, and who have no connection."""
    series = trace.series
    turned_away = sum(series[name] for name in FAILURES)
    at_start = turned_away[0]  # no server had room for them, and they are no attempts
    failed = turned_away - at_start - series["failed_polls"]
    accepted = series["accepted"] - series["connected_at_start"]
    cut_off = broken - series["lost_connections"] - series["left_cut_off"]
    connecting = series["attempts"] - accepted - failed - series["left_connecting"]
    retries = series["attempts"] - series["first_attempts"]
    waiting = at_start + failed + series["lost_connections"] - retries - series["left_waiting"]
    gave_up = np.zeros_like(waiting)
    if all(cohort.session is None for cohort in trace.scenario.clients):
        gave_up = series["gave_up"]
    return {"cut_off": cut_off, "waiting": waiting - gave_up, "connecting": connecting, "gave_up": gave_up}
