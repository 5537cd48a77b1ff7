"""Ten thousand connections, and one of four servers killed: `make crowd`, or `python -m benchmarks.crowd`.

With Redis Streams nothing may be lost. With Redis Pub/Sub exactly that is lost which was published while a client was
away: of what each client should have got, one stretch from the kill on until it is back, and nothing before, after or
in between. Whoever is not back in time, or a loss that is none of these, is exit code 1.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

import live
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.trace import CAUSES, OUTCOMES
from realtime_sim.units import NS_PER_S

KILL_S = 5.0

DELIVERED, LOST = (OUTCOMES.index(name) for name in ("delivered", "lost"))


def crowd(kind: str, count: int) -> Scenario:
    """So many clients in rooms of ten on four servers, the first of which is killed."""
    clients = {"name": "clients", "count": count, "resume": True,
               "reconnect": {"policy": "full_jitter", "base": "1s", "cap": "10s"}}  # fmt: skip
    return Scenario(
        name=f"{count:,} connections on {kind}", seed=1, duration=20, warmup=1, drain=10, clients=[clients],
        servers={"count": 4}, broker={"kind": kind}, rooms=[{"name": "group", "count": count // 10, "members": 10}],
        traffic=[{"name": "messages", "to": "group", "rate": 100}],
        faults=[{"at": KILL_S, "kind": "kill_server", "server": 0}],
    )  # fmt: skip


def strays(results: Results) -> int:
    """Losses that are not of the one stretch that a client was away."""
    rows = results.trace.rows
    order = np.lexsort((rows["published_ns"], rows["client"]))
    client, outcome, published = (rows[name][order] for name in ("client", "outcome", "published_ns"))
    kept = np.isin(outcome, (DELIVERED, LOST))
    client, lost, published = client[kept], outcome[kept] == LOST, published[kept]
    begins = lost & ~np.concatenate([[False], lost[:-1] & (client[1:] == client[:-1])])
    stretches = np.bincount(client[begins], minlength=results.scenario.n_clients)
    # Under way when the server died: what was published a moment before it.
    early = lost & (published < (KILL_S - 0.5) * NS_PER_S)
    return int((stretches[stretches > 1] - 1).sum() + early.sum())


def main() -> int:
    """Run both brokers, print a line for each, and say by the exit code whether they are as they should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crowd", description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=2, help="that play the clients")
    asked = parser.parse_args()
    is_good = True
    for kind in ("redis_streams", "redis_pubsub"):
        scenario = crowd(kind, asked.clients)
        results = live.run(scenario, client_processes=asked.processes, record="full")
        total, storm = results.deliveries.loc["total"], results.recovery.iloc[0]
        causes = ", ".join(f"{cause} {total[f'lost_{cause}']:,}" for cause in CAUSES if total[f"lost_{cause}"])
        print(f"{scenario.name}: peak {results.connections['peak']:,.0f}, {storm['affected']:,.0f} cut off")
        print(f"  half of them back after {storm['p50_s']:.2f} s, all after {storm['p100_s']:.2f} s")
        print(
            f"  {total['delivered']:,} of {total['expected']:,} delivered, {total['lost']:,} lost ({causes or 'none'}),"
        )
        print(f"  {strays(results):,} of them not while their client was away; {total['duplicate']:,} duplicates")
        print("  " + ("valid" if results.conditions["valid"] else f"not valid: {results.conditions['reasons']}"))
        is_good &= bool(np.isfinite(storm["p100_s"])) and strays(results) == 0
        is_good &= kind == "redis_pubsub" or total["lost"] == 0
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
