"""Calibration: what servers, broker and clients cost on this machine, measured by short live runs, with intervals.

What is measured, and how:

- A send, and what a message costs before its first: from the stamps of fan-outs to many, `started + event + k * send`.
- A wake-up: a message that finds its server asleep costs more CPU than one that finds it busy, by what the scheduler,
  cold caches and small reads take (exceptional first service, Welch 1964). CPU of a message to one, less the above.
- The way: how late the publisher is, and the time from there to the first send at an idle server, less what the server
  itself costs, as quantiles.
- Handshakes, requests, pings and memory: CPU and resident memory of the server over many of them.

CPU is that of `/proc/PID/task/*/schedstat`: time on a core, without waiting for one.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from live.running import run
from realtime_sim.errors import Problem, ScenarioError
from realtime_sim.files import write_whole
from realtime_sim.limits.table import plural
from realtime_sim.progress import progress_bar
from realtime_sim.results import Results
from realtime_sim.scenario import Scenario
from realtime_sim.stats import Estimate, over_replications
from realtime_sim.units import NS_PER_S, format_duration

__all__ = ["Calibration", "calibrate", "measure", "read_calibration"]

PROBABILITIES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
"""Quantiles that ways are kept as."""

LARGER_BYTES = 4_096
"""By how much the messages are larger that tell what a byte costs."""

FEW, MANY = 1, 200
"""Recipients of a message in the two fan-outs that tell the cost of a send from that of a message."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was measured.

    Parameters
    ----------
    figures : mapping of str to Estimate
        Costs of a server by their names in `CostProfile`, and `receive_s`, `receive_wakeup_s`, `connect_s` of a client
        process; with 95 % intervals over repeats.
    lateness_s, way_s : tuple of float
        Quantiles at `PROBABILITIES` of how late the publisher was, and of the way from there to a server.
    about : mapping of str to object
        Broker, machine and when.
    """

    figures: Mapping[str, Estimate]
    lateness_s: tuple[float, ...]
    way_s: tuple[float, ...]
    about: Mapping[str, Any]

    def profile(self) -> dict[str, Any]:
        """The file that a scenario names as the profile of its servers: every figure with interval and source."""
        source = f"measured {self.about['when']}: {self.about['how']}"
        figures = {
            name: {"value": figure.value, "low": figure.low, "high": figure.high, "source": source}
            for name, figure in self.figures.items()
            if name not in OF_CLIENTS
        }
        return {
            "name": "calibrated",
            "about": f"websockets and aiohttp, as measured with {self.about['broker']}",
            "base": "websockets-asyncio",
            "figures": figures,
            "clients": {name: self.figures[name].value for name in OF_CLIENTS},
            "lateness_s": list(self.lateness_s),
            "way_s": list(self.way_s),
            "measured": dict(self.about),
        }

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all. Raises `ScenarioError` if it cannot be written."""
        write_whole(path, yaml.safe_dump(self.profile(), sort_keys=False, allow_unicode=True))

    def apply(self, scenario: Scenario, client_processes: int = 1) -> Scenario:
        """The scenario with what was measured in the place of defaults: what a simulation of this machine is.

        Parameters
        ----------
        scenario : Scenario
            What was, or will be, run for real.
        client_processes : int
            Processes that play its clients.
        """
        costs = {
            name.removesuffix("_s").removesuffix("_bytes"): figure.value
            for name, figure in self.figures.items()
            if name not in OF_CLIENTS
        }
        changes: dict[str, Any] = {f"servers.costs.{name}": value for name, value in costs.items()}
        changes["host"] = {
            "cores": os.cpu_count() or 1,
            "client_processes": client_processes,
            **{name.removesuffix("_s"): self.figures[name].value for name in OF_CLIENTS},
        }
        if scenario.broker.kind != "none":
            changes["broker.publisher_link"] = _as_distribution(self.lateness_s)
            changes["broker.server_link"] = _as_distribution(self.way_s)
        return scenario.replace(**changes)

    def __str__(self) -> str:
        rows = [("figure", "value", "95 % interval")]
        for name, figure in self.figures.items():
            rows.append((name, _text(name, figure.value), _interval(name, figure)))
        for name, values in (("lateness", self.lateness_s), ("way to a server", self.way_s)):
            quantile = dict(zip(PROBABILITIES, values, strict=True))
            text = ", ".join(f"p{p * 100:.0f} {format_duration(quantile[p])}" for p in (0.5, 0.95, 0.99))
            rows.append((name, text, ""))
        widths = [max(len(row[i]) for row in rows) for i in range(2)]
        lines = [f"{a:{widths[0]}}  {b:>{widths[1]}}  {c}".rstrip() for a, b, c in rows]
        n, n_valid = self.about["runs"], self.about["valid"]
        if n_valid < n:
            lines += [
                "",
                f"{n - n_valid} of {plural(n, 'run')} were disturbed: calibrate again when nothing else runs here.",
            ]
        return "\n".join([f"Measured {self.about['how']}", "", *lines])


OF_CLIENTS = ("receive_s", "receive_wakeup_s", "connect_s")
"""Figures of a client process, which a scenario keeps in `host`."""


def _text(name: str, value: float) -> str:
    return f"{value:,.0f} B" if name.endswith("_bytes") else f"{value * 1e6:,.1f} us"


def _interval(name: str, figure: Estimate) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"{_text(name, max(figure.low, 0.0))} to {_text(name, figure.high)}"


def _as_distribution(values_s: Sequence[float]) -> dict[str, Any]:
    """Quantiles as a scenario writes them; equal neighbours are no step."""
    return {"quantiles": {str(p): value for p, value in zip(PROBABILITIES, values_s, strict=True)}}


MANY_PER_S = 100
"""Messages to many, a second: processes are busy for a third of the time, and do not fall asleep in between."""

# What is run.


def _case(name: str, **changes: Any) -> Scenario:
    plain = {
        "name": f"calibration: {name}", "duration": 4, "warmup": 0.5, "drain": 3, "sample_interval": 0.5,
        "clients": [{"name": "c", "count": 200}], "servers": {"count": 1}, "broker": {"kind": "redis_pubsub"},
    }  # fmt: skip
    return Scenario(**plain | changes)


def _cases(broker: Mapping[str, Any], transport: str, payload_bytes: int) -> dict[str, Scenario]:
    """The short runs, by what they tell."""
    clients = [{"name": "c", "count": MANY, "transport": transport}]
    one = {"rooms": [{"name": "g", "per_user": True}]}
    common = {"broker": dict(broker)}
    stream = {"name": "t", "payload": payload_bytes, "arrivals": "constant"}
    large_bytes = payload_bytes + LARGER_BYTES
    return {
        "one": _case("one recipient", **common, clients=clients, **one, traffic=[stream | {"to": "g", "rate": 40}]),
        "many": _case("many recipients", **common, clients=clients, traffic=[stream | {"rate": MANY_PER_S}]),
        "large": _case(
            "large messages", **common, clients=clients, traffic=[stream | {"rate": 15, "payload": large_bytes}]
        ),
        "arrivals": _case(
            "connections", **common, clients=[{"name": "c", "count": 800, "transport": transport, "ramp_up": 3}]
        ),
        "idle": _case(
            "pings", **common,
            clients=[{"name": "c", "count": 800, "keepalive": {"interval": 1, "timeout": 20}}],
        ),
        "polls": _case(
            "polls", **common, clients=[{"name": "c", "count": 200, "transport": "long_polling"}], **one,
            traffic=[stream | {"to": "g", "rate": 300}],
        ),
    }  # fmt: skip


# What is read from them.


def _rows(results: Results) -> dict[str, np.ndarray]:
    """Deliveries of one run with known stamps, one column each; of the warm-up too, whose CPU is counted as well."""
    rows = results.trace.rows
    good = (rows["outcome"] == 0) & (rows["server"] >= 0)
    return {name: column[good] for name, column in rows.items()}


def _fanouts(rows: dict[str, np.ndarray]) -> np.ndarray:
    """For each message: recipients, nanoseconds from its start to the first send, and from the first to the last."""
    order = np.lexsort((rows["sent_ns"], rows["message"]))
    message, sent, started = (rows[name][order] for name in ("message", "sent_ns", "started_ns"))
    first = np.flatnonzero(np.diff(message, prepend=-1))
    last = np.append(first[1:], len(message)) - 1
    return np.column_stack([last - first + 1, sent[first] - started[first], sent[last] - sent[first]])


def send_cost_s(results: Results) -> float:
    """Seconds of the loop for one send: the median over fan-outs, so that one that was interrupted counts once."""
    found = _fanouts(_rows(results))
    found = found[found[:, 0] > 1]
    return float(np.median(found[:, 2] / (found[:, 0] - 1))) / NS_PER_S


def cpu_s(results: Results, name: str) -> float:
    """CPU that a process of a live run used, seconds."""
    (process,) = [one for one in results.conditions["processes"] if one["name"] == name]
    return process["cpu_ratio"] * results.scenario.duration


def calibrate(one: Results, many: Results) -> dict[str, float]:
    """Costs of servers and clients from two live runs with `record="full"`: messages to one, and to many.

    Parameters
    ----------
    one, many : Results
        The runs; in the first every message finds its server asleep.

    Returns
    -------
    dict of str to float
        `send_s`, `event_s`, `wakeup_s`, `receive_s` and `receive_wakeup_s`, seconds.
    """
    for side in (one, many):
        if side.engine != "live" or not side.trace.rows:
            rule = "must be a live run that kept every delivery"
            raise ScenarioError(Problem("results", rule, side.engine, "use live.run(..., record='full')"))
    n_one, n_many = (len(np.unique(_rows(side)["message"])) for side in (one, many))
    copies = len(_rows(many)["message"])
    send_s = send_cost_s(many)
    first_s = float(np.median(_fanouts(_rows(many))[:, 1])) / NS_PER_S
    event_s = max(first_s - send_s, 0.0)
    idle_s = cpu_s(one, "server 0") / n_one
    receive_s = cpu_s(many, "clients 0") / copies
    receive_idle_s = cpu_s(one, "clients 0") / n_one
    return {
        "send_s": send_s,
        "event_s": event_s,
        "wakeup_s": max(idle_s - event_s - send_s, 0.0),
        "receive_s": receive_s,
        "receive_wakeup_s": max(receive_idle_s - receive_s, 0.0),
    }


def measure(
    scenario: Scenario | None = None,
    *,
    repeats: int = 3,
    broker: str = "auto",
    client_library: str = "picows",
    progress: Callable[[float], None] | None = None,
) -> Calibration:
    """Measure what this machine costs, in some two minutes.

    Parameters
    ----------
    scenario : Scenario, optional
        Whose broker, first transport and first payload are taken; Redis Pub/Sub, WebSocket and 200 B without one.
    repeats : int
        Repeats of every run; intervals are over them.
    broker : str
        As for `live.run`.
    client_library : str
        As for `live.run`.
    progress : callable, optional
        Called now and then with the share that is done; left out, a bar shows on a terminal or in a notebook.

    Raises
    ------
    ScenarioError
        If an argument is wrong.
    LiveError
        If a run fails.
    """
    if isinstance(repeats, bool) or not isinstance(repeats, int) or not 1 <= repeats <= 100:
        step = "use 3, or more for narrower intervals"
        raise ScenarioError(Problem("repeats", "must be a whole number from 1 to 100", repeats, step))
    cases = _cases_for(scenario)
    runs: dict[str, list[Results]] = {name: [] for name in cases}
    n_runs, about = repeats * len(cases), ""
    whole_s = sum(case.duration for case in cases.values()) * repeats
    with progress_bar("Calibrating", whole_s, silent=True, wall_clock=True) as bar:
        report = progress or bar
        for repeat in range(repeats):
            for number, (name, case) in enumerate(cases.items()):
                report((repeat * len(cases) + number) / n_runs)
                found = run(
                    case.replace(seed=repeat), broker, client_library=client_library, record="full",
                    progress=lambda _: None,
                )  # fmt: skip
                runs[name].append(found)
                about = found.conditions["broker"]
    return _calibration(runs, about)


def _cases_for(scenario: Scenario | None) -> dict[str, Scenario]:
    if scenario is None:
        return _cases({"kind": "redis_pubsub"}, "websocket", 200)
    payload = scenario.traffic[0].payload if scenario.traffic else 200
    return _cases(scenario.broker.model_dump(by_alias=True), scenario.clients[0].transport, payload)


def _calibration(runs: Mapping[str, Sequence[Results]], broker: str) -> Calibration:
    each: dict[str, list[float]] = {}
    for repeat in range(len(runs["one"])):
        for name, value in _figures_of({name: results[repeat] for name, results in runs.items()}).items():
            each.setdefault(name, []).append(value)
    figures = {name: over_replications(np.array(values)) for name, values in each.items()}
    whole = {
        name: Estimate(round(f.value), f.low, f.high) if name.endswith("_bytes") else f for name, f in figures.items()
    }
    server_s = figures["wakeup_s"].value + figures["event_s"].value + figures["send_s"].value
    lateness, way = _ways(runs["one"], server_s)
    about = {
        "when": _today(),
        "how": f"{plural(len(runs['one']), 'repeat')} with {broker}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores",
        "broker": broker,
        "valid": [not run.conditions["reasons"] for results in runs.values() for run in results].count(True),
        "runs": sum(map(len, runs.values())),
    }
    return Calibration(whole, lateness, way, about)


def _figures_of(runs: Mapping[str, Results]) -> dict[str, float]:
    """Every figure of one repeat."""
    found = calibrate(runs["one"], runs["many"])
    large = (send_cost_s(runs["large"]) - found["send_s"]) / LARGER_BYTES
    n_accepted = runs["arrivals"].connections["accepted"]
    n_pings = runs["idle"].scenario.n_clients * runs["idle"].scenario.duration
    n_polls = runs["polls"].connections["polls"]
    per_poll_s = cpu_s(runs["polls"], "server 0") / n_polls - found["event_s"] - found["send_s"]
    return found | {
        "send_per_byte_s": max(large, 0.0),
        "handshake_s": cpu_s(runs["arrivals"], "server 0") / n_accepted,
        "connect_s": cpu_s(runs["arrivals"], "clients 0") / n_accepted,
        "ping_s": cpu_s(runs["idle"], "server 0") / n_pings,
        "http_request_s": max(per_poll_s, 0.0),
        "connection_memory_bytes": _memory_of_a_connection(runs["one"], runs["idle"]),
    }


def _memory_of_a_connection(few: Results, many: Results) -> float:
    memory = [_server(side)["memory_bytes"] for side in (few, many)]
    return max(0.0, (memory[1] - memory[0]) / (many.scenario.n_clients - few.scenario.n_clients))


def _server(results: Results) -> Mapping[str, Any]:
    (found,) = [one for one in results.conditions["processes"] if one["name"] == "server 0"]
    return found


def _ways(runs: Sequence[Results], server_s: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Quantiles of the publisher's lateness, and of the way from there to an idle server less what that costs."""
    lateness, way = [], []
    for results in runs:
        rows = _rows(results)
        lateness.append(rows["at_broker_ns"] - rows["published_ns"])
        way.append(rows["sent_ns"] - rows["at_broker_ns"])
    late_s = np.quantile(np.concatenate(lateness), PROBABILITIES) / NS_PER_S
    way_s = np.maximum(np.quantile(np.concatenate(way), PROBABILITIES) / NS_PER_S - server_s, 0.0)
    return tuple(_rising(late_s)), tuple(_rising(way_s))


def _rising(values: np.ndarray) -> list[float]:
    """Quantiles as a scenario takes them: in whole microseconds, never falling."""
    return np.maximum.accumulate(np.round(values, 6)).tolist()


def _today() -> str:
    import datetime

    return datetime.date.today().isoformat()


def read_calibration(path: Path) -> Calibration:
    """What `Calibration.write` has written.

    Raises
    ------
    ScenarioError
        If the file is none.
    """
    step = "write one with `realtime-sim calibrate --out`"
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
        figures = {n: Estimate(f["value"], f["low"], f["high"]) for n, f in plain["figures"].items()}
        figures |= {name: Estimate(plain["clients"][name]) for name in OF_CLIENTS}
        return Calibration(figures, tuple(plain["lateness_s"]), tuple(plain["way_s"]), plain["measured"])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        rule = f"must be a file that calibrate has written ({why})"
        raise ScenarioError(Problem("profile", rule, str(path), step)) from None
