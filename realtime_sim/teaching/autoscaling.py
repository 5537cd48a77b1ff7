"""Change one field, so that servers which come late get their share of those who are connected already."""

from __future__ import annotations

from realtime_sim.results import Results
from realtime_sim.simulation import simulate
from realtime_sim.teaching.checking import Verdict, changed, patience

__all__ = ["judge"]

FROM_S, WANTED_S = 150.0, 0.250
"""From when on latencies count, and the most that p99 may be then."""

MOST_SERVERS, MOST_LOST = 5.0, 0.02
"""Servers on average, and share of the deliveries, that it may cost."""

LEVEL = 1.25
"""The fullest server over the mean up to which connections are spread evenly, more or less."""

FREE = ("autoscaling", "balancer", "faults", "servers.connection_age", "servers.grace", "servers.admission")
"""What an answer may change, with all that is below it: neither the crowd nor what a server can do."""


def judge(answer: object) -> Verdict:
    """Whether p99 is low soon after the crowd has come, at a price that is not too high."""
    asked = changed("autoscaling", answer, fields=1)
    (path,) = answer
    if not path.startswith(FREE) or asked.autoscaling is None:
        return Verdict(False, "The crowd, what is sent to it, and what a server can do and how it starts are given.")
    with patience(answer) as progress:
        results = simulate(asked, progress=progress)
    slices, total = results.latency_over_time, results.deliveries.loc["total"]
    p99_s = slices["p99_s"][slices["time_s"] >= FROM_S].max()
    n_servers, lost = results.timeseries["servers_ready"].mean(), total["lost"] / total["expected"]
    found = f"From {FROM_S:.0f} s on p99 is {p99_s:.2f} s, {n_servers:.1f} servers are ready on average, "
    found += f"and {lost:.1%} of the deliveries are lost"
    if not p99_s <= WANTED_S:  # which is so too where nothing arrives
        return Verdict(False, f"{found}. {_why_slow(results)}")
    if n_servers > MOST_SERVERS:
        return Verdict(False, f"{found}. It is in time because so much stands idle: {MOST_SERVERS:.0f} must do.")
    if lost > MOST_LOST:
        why = "whoever is sent away misses what is sent until he is back, so it must not happen so often"
        return Verdict(False, f"{found}: {why}.")
    return Verdict(True, f"{found}: clients that connect anew find the servers that were cold.")


def _why_slow(results: Results) -> str:
    last = results.timeseries.iloc[-1]
    ready, imbalance = int(last["servers_ready"]), last["imbalance"]
    if imbalance <= LEVEL:
        return f"At the end {ready} servers share the connections, which is too few, or was too late."
    return (
        f"At the end {ready} servers are ready, and the fullest has {imbalance:.1f} times the mean of connections: "
        "whoever is connected stays there, however many servers come. Which field of `servers` ends connections, and "
        "how soon?"
    )
