"""What is sure, or likely, before anything is simulated: numbers that arithmetic rules out, and where to begin.

Ruled out is a number with which not everybody has room, or a loop, a link or the broker has more to do than it can, or
than is promised. Connections are counted, so that is exact; mean work is known to within 3 points, so a number is ruled
out from 3 points above what is allowed on, and in between the simulation has the word. It has it too where streams
start or stop, or clients are absent: arithmetic takes all of them for always there.

The guess where to begin takes each loop for an M/G/1 queue: what the network takes, and a wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np

from realtime_sim.draws import samples_ns
from realtime_sim.latency import QUANTILES
from realtime_sim.limits import Load, used_by
from realtime_sim.planning.judging import Check
from realtime_sim.scenario import Scenario
from realtime_sim.theory import md1_wait_quantile_s, mg1, mg1_wait_quantile_s
from realtime_sim.units import NS_PER_S

__all__ = ["Arithmetic", "first_fit", "least"]

NEAR = 0.03
"""Busy shares of `limits` are within so much of the simulated ones: `tests/test_limits.py` holds them to it."""

FOUR = 4
"""Standard errors by which drawn clients are from all that might be drawn, at the most: a chance of 3 * 10**-5."""

COUNTED = ("connections", "memory")

_DRAWS = (np.arange(2_000) + 0.5) / 2_000
"""Draws on (0, 1) by which the network's quantiles are read."""


def least(low: int, high: int, fits: Callable[[int], bool]) -> int | None:
    """The least number from `low` to `high` that fits, where more always fit too; None if `high` does not.

    Parameters
    ----------
    low, high : int
        Where to look.
    fits : callable
        Whether a number fits.

    Examples
    --------
    >>> least(1, 100, lambda n: n >= 13), least(1, 100, lambda n: False), least(5, 5, lambda n: True)
    (13, None, 5)
    """
    if not fits(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle + 1, high)
    return high


def first_fit(low: int, high: int, fits: Callable[[int], bool]) -> int | None:
    """The least number from `low` to `high` that fits, where still more may fit no longer; None if none was found.

    More servers give each less to do, and a broker that copies to all of them more: what fits lies between. It is
    looked for upwards, an eighth more each time, so that a range narrower than that may be missed.

    Parameters
    ----------
    low, high : int
        Where to look.
    fits : callable
        Whether a number fits.

    Examples
    --------
    >>> first_fit(2, 1_000, lambda n: 21 <= n <= 30), first_fit(2, 1_000, lambda n: False)
    (21, None)
    """
    if low > high:
        return None
    before, n = low - 1, low
    while not fits(n):
        if n == high:
            return None
        before, n = n, min(n + max(1, n // 8), high)
    return least(before + 1, n, fits)


class Arithmetic:
    """The arithmetic of a scenario, for any number of servers.

    Parameters
    ----------
    scenario : Scenario
        With the promises.
    target : float, optional
        Share of time that loops, links and the broker may be busy, exactly: the static calculator's. Left out, loops
        and the broker may be as busy as `slo.max_utilization` says, links all the time, and what is near is left open.
    """

    def __init__(self, scenario: Scenario, target: float | None = None) -> None:
        self.scenario, self.load, self.target = scenario, Load(scenario), target
        self.lost = scenario.slo.survive_servers or 0
        self.near = NEAR if target is None else 0.0
        busy = scenario.slo.max_utilization or 1.0 if target is None else target
        self.allowed = {"cpu": busy, "broker": busy, "egress": 1.0 if target is None else target}
        self.decides = target is not None or _is_all_there(scenario)
        promised = target is None and scenario.slo.max_utilization is not None
        self._names = {"cpu": "utilization"} if promised else {}

    def checks(self, n: int) -> tuple[Check, ...]:
        """Every limit at `n` servers, with those lost that may be; the broker serves all of them."""
        if n <= self.lost:
            text = f"{self.lost:,} may be lost, and none would be left"
            return (Check("survivors", "loss", 1.0, 0.0, 0.0, 0.0, "servers", False, True, BY, text),)
        drill, left = ("loss", used_by(self.load, n - self.lost)) if self.lost else ("normal", used_by(self.load, n))
        found = [self._check(name, drill, share, n - self.lost) for name, share in left.items() if name != "broker"]
        found.append(self._check("broker", "normal", used_by(self.load, n)["broker"], n))
        return (*(check for check in found if check is not None), *self._beyond_the_network)

    def _check(self, name: str, drill: str, share: float | None, n: int) -> Check | None:
        if share is None:
            return None
        if name in COUNTED:
            each = self.scenario.n_clients / n
            kept = share <= 1 + 1e-9
            return Check(name, drill, each / share, each, each, each, "connections each", kept, True, BY)
        allowed = self.allowed[name]
        within = share <= allowed * (1 + 1e-9)
        kept = within or (False if self.decides and share > allowed + self.near else None)
        name = self._names.get(name, name)  # what loops may be at most is then a promise, which drills judge too
        return Check(name, drill, allowed, share, share, share, "busy", kept, kept is not None, BY)

    def own(self, at_most: int) -> dict[str, int | None]:
        """Servers that each limit, and by theory each promised latency, asks for on its own; None: no number does."""
        needed: dict[str, int | None] = {}
        for name in sorted(
            {check.constraint for check in self.checks(at_most)} - {"broker"}
        ):  # more servers do not help it
            needed[name] = least(self.lost + 1, at_most, lambda n, name=name: self._within(n, name))
        for name, promised in self._promised():
            needed[name] = first_fit(self.lost + 1, at_most, lambda n, at=(name, promised): self._theory_keeps(n, *at))
        return needed

    def _within(self, n: int, name: str) -> bool:
        return all(check.found <= check.promised * (1 + 1e-9) for check in self.checks(n) if check.constraint == name)

    def lowest(self, at_most: int) -> int | None:
        """The least number that is not ruled out, the broker left out: it gets no less to do with more servers."""

        def fits(n: int) -> bool:
            return all(check.kept is not False or check.constraint == "broker" for check in self.checks(n))

        return least(self.lost + 1, at_most, fits)

    @cached_property
    def _beyond_the_network(self) -> tuple[Check, ...]:
        """Promised latencies that half a round trip alone breaks, with any number of servers.

        Each client has one round trip, so that few clients have no tail: theirs is at least that of `FOUR` standard
        errors of the rank below.
        """
        checks = []
        for name, promised in self._promised() if self.decides else ():
            p = QUANTILES[name]
            takes_s = self._network_s(p - FOUR * math.sqrt(p * (1 - p) / self.scenario.n_clients))
            if takes_s > promised * (1 + NEAR):
                note = "half a round trip alone"
                figures = (promised * 1e3, *[takes_s * 1e3] * 3)
                checks.append(Check(name, "normal", *figures, "ms", False, True, BY, note))
        return tuple(checks)

    def guess(self, lowest: int, at_most: int) -> int | None:
        """The least number from `lowest` on with which theory sees every promise kept that it knows; None if none."""
        return first_fit(lowest, at_most, lambda n: self._within(n, self._names.get("cpu", "cpu")) and self._likes(n))

    def _likes(self, n: int) -> bool:
        return all(self._theory_keeps(n, name, promised) for name, promised in self._promised())

    def _theory_keeps(self, n: int, name: str, promised: float) -> bool:
        return self.latency_s(n - self.lost, QUANTILES[name]) <= promised

    def promising(self, at_most: int) -> int | None:
        """The least number within every limit that theory likes; None if there is none.

        The static calculator, which has a `target`, knows no waits and takes the least that is not ruled out.
        """
        lowest = self.lowest(at_most)
        if lowest is None:
            return None
        if self.target is not None:
            return lowest if self._allows(lowest) else None
        return first_fit(lowest, at_most, lambda n: self._allows(n) and self._likes(n))

    def _allows(self, n: int) -> bool:
        return all(check.kept for check in self.checks(n))

    def _promised(self) -> list[tuple[str, float]]:
        given = [(name, getattr(self.scenario.slo, name)) for name in QUANTILES]
        return [(name, promised) for name, promised in given if promised is not None]

    def latency_s(self, n: int, p: float) -> float:
        """A quantile of the latency as theory sees it, seconds: network, broker, one job, and the wait for others."""
        rate, service_s, cv = self.loop(n)
        fixed_s = self._network_s(p) + self._broker_s(n)
        if not rate or not service_s:
            return fixed_s
        wait_s = md1_wait_quantile_s(rate, service_s, p) if cv < 0.1 else mg1_wait_quantile_s(rate, service_s, cv, p)
        return fixed_s + service_s + wait_s

    def _broker_s(self, n: int) -> float:
        """Mean time from the publisher to a server."""
        broker, rate = self.load.broker, self.load.publish_rate
        way_s = broker.publisher_link.mean_s
        if broker.kind == "none" or not rate:
            return way_s
        busy = used_by(self.load, n)["broker"] or 0.0
        waits_s = mg1(rate, busy / rate, cv=1.0).mean_sojourn_s if busy else 0.0
        return way_s + broker.server_link.mean_s + waits_s

    def loop(self, n: int) -> tuple[float, float, float]:
        """One loop of `n` servers as an M/G/1 queue: jobs a second, mean work of one in seconds, and its cv."""
        load, servers = self.load, self.scenario.servers
        jobs = [(load.ingests, load.costs.ingest_s, 0.0), (load.requests, load.costs.http_request_s, 0.0)]
        jobs.append((sum(load.churn), load.costs.handshake_s, servers.handshake_cost.cv2))
        for stream in load.streams:
            copies = load.copies(n, stream)
            each_s = load.costs.send_to_one_s(stream.payload_bytes, servers.fanout == "task_per_client")
            sends_s = float(stream.recipients.sum()) / copies * each_s
            spread = servers.event_cost.cv2 * (load.costs.event_s / ((load.costs.event_s + sends_s) or 1.0)) ** 2
            jobs.append((stream.rate * copies, load.costs.event_s + sends_s, spread))
        rate, busy, squares = (float(sum(terms)) for terms in zip(
            *((per_s, per_s * s, per_s * s * s * (1 + cv2)) for per_s, s, cv2 in jobs), strict=True
        ))  # fmt: skip
        loops = n * servers.workers
        if not busy:
            return rate / loops, 0.0, 0.0
        cv = math.sqrt(max(0.0, squares * rate / busy**2 - 1))
        return rate / loops, load.utilization(n) * loops / rate, cv

    def _network_s(self, p: float) -> float:
        """What half a round trip takes at a quantile over all deliveries, seconds."""
        ways_ns, shares = self._ways
        return float(ways_ns[min(np.searchsorted(shares, p), len(ways_ns) - 1)]) / NS_PER_S

    @cached_property
    def _ways(self) -> tuple[np.ndarray, np.ndarray]:
        """Halves of round trips in ascending order, nanoseconds, and which share of the deliveries takes no longer."""
        ways = np.concatenate([samples_ns(part.network.rtt.sampler(), _DRAWS) / 2 for part in self.scenario.clients])
        weights, order = np.repeat(self._shares(), len(_DRAWS)), np.argsort(ways, kind="stable")
        return ways[order], np.cumsum(weights[order]) / weights.sum()

    def _shares(self) -> np.ndarray:
        """How many of the deliveries go to each cohort."""
        sent = sum((stream.rate * stream.recipients for stream in self.load.streams), np.zeros(1))
        counts = np.array([cohort.count for cohort in self.scenario.clients], float)
        return sent if np.sum(sent) else counts


def _is_all_there(scenario: Scenario) -> bool:
    """Whether everything that loads servers is there all the time."""
    traffic = [*scenario.traffic, *scenario.events]
    absent = any(cohort.session is not None and cohort.session.absence.mean_s for cohort in scenario.clients)
    return not absent and not any(stream.start or stream.stop is not None for stream in traffic)


BY = "arithmetic"
