"""Change one field, so that messages of clients 40 ms away arrive within 30 ms on average."""

from __future__ import annotations

from realtime_sim.simulation import simulate
from realtime_sim.teaching.checking import Verdict, changed, patience

__all__ = ["judge"]

WANTED_S = 0.030
NETWORK = ["publisher_to_broker", "client_network"]


def judge(answer: object) -> Verdict:
    """Whether the mean latency is low enough, and still that of messages from clients."""
    asked = changed("hops", answer, fields=1)
    if not asked.traffic or asked.traffic[0].source != "clients":
        return Verdict(False, "The messages are to come from clients still; the backend has no way to go.")
    with patience(answer) as progress:
        results = simulate(asked, progress=progress)
    mean_s, network_s = results.hops["mean_s"]["total"], results.hops["mean_s"][NETWORK].sum()
    found = f"The mean latency is {mean_s * 1e3:.1f} ms"
    if mean_s <= WANTED_S:
        return Verdict(True, f"{found}: only who shortens the longest hops shortens the whole.")
    hint = f"{network_s * 1e3:.1f} ms of them are on the network, where no server and no broker changes anything"
    return Verdict(False, f"{found}, and {hint}. Which field says how far away the clients are?")
