"""Choose what a server does for a client that is too slow, so that what the client reads is never older than two
seconds and it stays connected."""

from __future__ import annotations

from realtime_sim.simulation import simulate
from realtime_sim.teaching.checking import Verdict, changed, patience

__all__ = ["judge"]

WANTED_S = 2.0
PATH = "clients.train.overflow"


def judge(answer: object) -> Verdict:
    """Whether the slow client reads nothing that is too old, and keeps its connection."""
    asked = changed("fanout", answer, fields=1)
    if not next(iter(answer)).startswith(PATH):
        return Verdict(False, f"Train and traffic are as they are. Change what the server does: {PATH}.")
    with patience(answer) as progress:
        results = simulate(asked, progress=progress)
    read, cut = results.deliveries.loc["train", "delivered"], results.connections["closed_policy"]
    train = next(cohort for cohort in asked.clients if cohort.name == "train")
    limit = getattr(train.overflow, "limit_bytes", None)
    if cut:
        return Verdict(False, f"The phone in the train was cut off {cut:.0f} times. It is to stay connected.")
    if not read:
        return Verdict(False, f"The phone read nothing: no message fits into a buffer of {limit:,} bytes.")
    oldest_s = results.latency_s("train")["max"].value
    found = f"The phone read {read:.0f} messages, the oldest of them {oldest_s:.1f} s old"
    if oldest_s <= WANTED_S:
        return Verdict(
            True, f"{found}: its line carries as much with a long buffer as with a short one, which keeps it fresh."
        )
    if limit is None:
        return Verdict(
            False, f"{found}. Without a limit it falls ever further behind: what becomes of what is too much?"
        )
    full_s = limit / train.network.bandwidth
    hint = f"a buffer of {limit:,} bytes takes {full_s:.1f} s to read at {train.network.bandwidth:,.0f} bytes a second"
    return Verdict(False, f"{found}: {hint}. A larger buffer is no help to who is too slow.")
