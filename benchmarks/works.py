"""The works that are measured: each is a scenario of ours, and the same rules for every peer.

Sizes are chosen so that a measurement takes seconds: a peer that is slower gets less of the same work, and rates are
compared. Where a mean or a count does not depend on the size, peers must agree with us on it (`agrees`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks import rules as r
from realtime_sim import Results, Scenario, presets, simulate

__all__ = ["BAR_LARGE", "WORKS", "Bar", "Work"]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a figure must reach.

    Parameters
    ----------
    figure : str
        `per_s` (units a second), `ratio` (to plain SimPy), `seconds` or `peak_mb`.
    least, most : float, optional
        Bounds.
    """

    figure: str
    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        words = {"per_s": "{:,.0f}/s", "ratio": "{:,.0f} x SimPy", "seconds": "{:,.3g} s", "peak_mb": "{:,.0f} MB"}
        sign, bound = (">=", self.least) if self.least is not None else ("<=", self.most)
        return f"{sign} {words[self.figure].format(bound)}"

    def met(self, value: float) -> bool:
        """Whether a measured value reaches it."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of work.

    Parameters
    ----------
    unit : str
        What is counted.
    scenario : callable
        From a size to our scenario.
    units : callable
        From a size to the number of units.
    sizes : dict of str to tuple of int
        For each producer, the sizes it is measured at.
    read : callable
        From our results to figures by name, as peers give them.
    bars : dict of (str, int) to tuple of Bar
        By producer and size.
    same : tuple of str
        Figures on which a peer must agree with us at the peer's own size, and how far they may be apart.
    """

    unit: str
    scenario: Callable[[int], Scenario]
    units: Callable[[int], float]
    sizes: dict[str, tuple[int, ...]]
    read: Callable[[Results], dict[str, float]]
    bars: dict[int, tuple[Bar, ...]] = field(default_factory=dict)
    same: dict[str, float] = field(default_factory=dict)

    def run(self, size: int, engine: str, seed: int = 1) -> dict[str, float]:
        """Ours, through the public API; figures are read as a user would."""
        return self.read(simulate(self.scenario(size).replace(seed=seed), engine=engine))


def _queue(cost: object) -> Callable[[int], Scenario]:
    def scenario(n_customers: int) -> Scenario:
        duration = n_customers * r.SERVICE_S / r.UTILIZATION
        return Scenario(
            name="queue",
            duration=duration,
            sample_interval=duration / 20,
            clients=[{"name": "client", "count": 1, "keepalive": None}],
            servers={"profile": "zero", "costs": {"event": cost}},
            broker={"kind": "none", "publisher_link": 0},
            traffic=[{"name": "customers", "rate": r.UTILIZATION / r.SERVICE_S}],
        )

    return scenario


def _broadcast(n_clients: int) -> Scenario:
    return Scenario(
        name="broadcast",
        duration=r.N_PUBLISHES,
        warmup=0,
        clients=[
            {
                "name": "c",
                "count": n_clients,
                "keepalive": None,
                "network": {"rtt": {"median": r.RTT_MEDIAN_S, "p99": r.RTT_P99_S}},
            }
        ],
        servers={"count": r.N_SERVERS, "profile": "zero", "costs": {"send": r.SEND_S}},
        balancer={"policy": "round_robin"},
        broker={
            "kind": "redis_pubsub",
            "publisher_link": r.LINK_S,
            "server_link": r.LINK_S,
            "publish": r.COPY_S,
            "copy": r.COPY_S,
        },
        traffic=[{"name": "news", "rate": 1, "arrivals": "constant"}],
    )


def _storm(n_clients: int) -> Scenario:
    handshakes_per_s = r.N_STORM_SERVERS / r.HANDSHAKE_S
    return Scenario(
        name="storm",
        duration=60 + 1.2 * n_clients / handshakes_per_s,
        warmup=0,
        clients=[
            {
                "name": "c",
                "count": n_clients,
                "keepalive": None,
                "connect_timeout": r.TIMEOUT_S,
                "reconnect": {"policy": "full_jitter", "base": r.BASE_S, "cap": r.CAP_S},
            }
        ],
        servers={
            "count": r.N_STORM_SERVERS, "profile": "zero", "costs": {"handshake": r.HANDSHAKE_S}, "backlog": r.BACKLOG,
        },
        balancer={"policy": "random"},
        faults=[{"at": 0, "kind": "drop_clients", "cohort": "c"}],
    )  # fmt: skip


def _polls(n_clients: int) -> Scenario:
    return Scenario(
        name="polls",
        duration=POLL_S,
        clients=[{"name": "c", "count": n_clients, "transport": "long_polling", "network": {"rtt": "40ms"}}],
        servers={"count": 20, "profile": "zero", "costs": {"event": "5us", "send": "10us", "http_request": "20us"}},
        balancer={"policy": "round_robin", "affinity": "cookie"},
        broker={"kind": "redis_pubsub", "subscription": "per_room", "publish": "2us", "copy": "2us"},
        rooms=[{"name": "own", "per_user": True}],
        traffic=[{"name": "events", "to": "own", "rate": EVENTS_PER_S * n_clients}],
    )


def _million(_: int) -> Scenario:
    return presets.load("million")


def _waits(results: Results) -> dict[str, float]:
    wait = results.latency_s(hop="server_wait")
    mean, p99 = wait["mean"], wait["p99"]
    return {"mean_s": mean.value, "p99_s": p99.value, "mean_half_s": (mean.high - mean.low) / 2}


def _latency(results: Results) -> dict[str, float]:
    latency, total = results.latency_s(), results.deliveries.loc["total"]
    assert total["delivered"] == total["expected"]
    return {"mean_s": latency["mean"].value, "p99_s": latency["p99"].value, "n": float(total["delivered"])}


def _comeback(results: Results) -> dict[str, float]:
    fault = results.recovery.loc[0]
    assert fault["recovered"] == fault["affected"]
    attempts = results.connections["attempts"]
    return {"half_back_s": fault["p50_s"], "attempts_each": attempts / fault["affected"], "all_back_s": fault["p100_s"]}


EVENTS_PER_S, POLL_S = 1.0, 60.0
"""Long polling: one event a second for each client, for a minute."""

BAR_LARGE = 10_000_000
"""Size of the storm that is measured on demand alone."""

_QUEUE_SIZES = {
    "fast": (1_000_000,), "reference": (100_000,), "simpy": (200_000,), "heapq": (1_000_000,), "ciw": (50_000,),
    "cimba": (1_000_000,),
}  # fmt: skip
_QUEUE_BARS = {1_000_000: (Bar("per_s", least=20e6),)}

WORKS = {
    "M/M/1": Work(
        "customers",
        _queue({"mean": r.SERVICE_S}),
        float,
        _QUEUE_SIZES,
        _waits,
        _QUEUE_BARS,
        {"mean_s": 0.2, "p99_s": 0.4},
    ),
    "M/D/1": Work(
        "customers", _queue(r.SERVICE_S), float, _QUEUE_SIZES, _waits, _QUEUE_BARS, {"mean_s": 0.2, "p99_s": 0.4}
    ),
    "broadcast": Work(
        "deliveries",
        _broadcast,
        lambda size: float(size * r.N_PUBLISHES),
        {"fast": (1_000_000,), "reference": (20_000,), "simpy": (20_000,), "heapq": (20_000,)},
        _latency,
        {1_000_000: (Bar("per_s", least=40e6), Bar("ratio", least=500), Bar("peak_mb", most=600))},
        {"mean_s": 0.05, "p99_s": 0.1, "n": 0.0},
    ),
    "reconnect storm": Work(
        "clients",
        _storm,
        float,
        {
            "fast": (10_000, 100_000, 1_000_000, BAR_LARGE),
            "reference": (10_000,),
            "simpy": (10_000, 100_000),
            "heapq": (10_000, 100_000),
        },
        _comeback,
        {
            10_000: (Bar("seconds", most=0.010),),
            100_000: (Bar("ratio", least=200),),
            1_000_000: (Bar("seconds", most=2.0), Bar("peak_mb", most=600)),
            BAR_LARGE: (Bar("seconds", most=40), Bar("peak_mb", most=1_500)),
        },
        {"half_back_s": 0.1, "attempts_each": 0.05},
    ),
    "million preset": Work(
        "simulated s",
        _million,
        lambda _: 60.0,
        {"fast": (1_000_000,)},
        _latency,
        {1_000_000: (Bar("per_s", least=10), Bar("peak_mb", most=600))},
    ),
    "long polling": Work(
        "deliveries",
        _polls,
        lambda size: size * EVENTS_PER_S * POLL_S,
        {"fast": (100_000,), "reference": (1_000,)},
        _latency,
        {100_000: (Bar("per_s", least=5e6),)},
    ),
}
"""By name, in the order of the table."""
