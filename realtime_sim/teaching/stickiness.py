"""Change up to three fields, so that a new server gets its share though handshakes need one and the same server."""

from __future__ import annotations

from collections.abc import Generator

from realtime_sim.control import Cluster
from realtime_sim.control.environment import Environment
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.simulation import simulate
from realtime_sim.teaching.checking import Verdict, changed, patience, scenario

__all__ = ["exam", "fourth", "judge"]

STICKY = {"clients.users.polling_handshake": True, "balancer.affinity": "cookie"}
FREE = ("servers", "balancer", "faults", "clients.users.polling_handshake", "clients.users.reconnect")
"""What an answer may change, with all that is below it: users that come late or leave early would hide the problem."""

WANTED = 0.9
"""Share of what it would have if all had the same."""


def fourth(env: Environment, cluster: Cluster) -> Generator:
    """A server more, which is ready at 60 s."""
    yield env.timeout("50s")
    yield cluster.add_server()


def exam() -> Scenario:
    """The scenario that is to be changed.

    Examples
    --------
    >>> exam().balancer.affinity
    'cookie'
    """
    return scenario("stickiness").replace(**STICKY)


def judge(answer: object) -> Verdict:
    """Whether the fourth server carries its share in the end, and no handshake has failed on the way."""
    asked = changed("stickiness", answer, fields=3).replace(**{**STICKY, **answer})
    if not all(path.startswith(FREE) for path in answer):
        return Verdict(False, "Who the users are, when they come and go, and what is sent to them is given.")
    if asked.servers.count != exam().servers.count or asked.n_clients != exam().n_clients:
        return Verdict(False, "Servers and users are to be as many as they were; it is the fourth that comes later.")
    with patience(answer) as progress:
        results = simulate(asked, control=[fourth], progress=progress)
    carried, unknown = _share(results), results.connections["session_unknown"]
    if unknown:
        hint = "the handshake takes four requests, and not all of them reached the same server"
        return Verdict(False, f"{unknown:,.0f} requests came to a server where their session is unknown: {hint}.")
    if carried >= WANTED:
        return Verdict(True, f"The new server carries {carried:.0%} of an even share, and every handshake went well.")
    n_back = results.connections["reconnects"]
    hint = f"{n_back:,.0f} connections were made anew, and where do their cookies lead?" if n_back else "nobody moves"
    return Verdict(False, f"The new server carries {carried:.0%} of an even share: {hint}")


def _share(results: Results) -> float:
    """What the fourth server carries at the end, as a share of the mean of all."""
    last = results.server_series().iloc[-1]
    return float(last.iloc[-1] / last.mean()) if last.any() else 0.0
