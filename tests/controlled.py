"""The least machinery that control processes can act on, and what they do to it."""

from __future__ import annotations

from realtime_sim.control import Instance, Observation, start_control
from realtime_sim.engines.clock import Clock
from realtime_sim.engines.order import Phase
from realtime_sim.recorder import Recorder
from realtime_sim.scenario import Scenario
from realtime_sim.units import to_ns
from realtime_sim.workload import draw_workload
from tests.conftest import small


class Bench:
    """The least a machinery must be: servers with a number of connections, and a log of what it is told, and when."""

    def __init__(self, clock: Clock, connections: list[int]) -> None:
        self.clock, self.connections = clock, list(connections)
        self.alive, self.ready = [True] * len(connections), [True] * len(connections)
        self.is_broker_up, self.cut_off = True, set()
        self.log: list[tuple] = []

    def wait_until(self, time_ns: int, phase: str):
        return self.clock.at(time_ns, Phase[phase.upper()])

    def sample(self) -> None:
        self._did("sample")

    def observe(self) -> Observation:
        columns = zip(self.alive, self.ready, self.connections, strict=True)
        return Observation(
            self.clock.now / 1e9, tuple(Instance(i, a, r, 0.0, c, 0, 0.0, 0) for i, (a, r, c) in enumerate(columns))
        )

    def start_server(self) -> int:
        self.connections.append(0)
        self.alive.append(True)
        self.ready.append(True)
        self._did("start", len(self.alive) - 1)
        return len(self.alive) - 1

    def set_ready(self, server: int, ready: bool) -> None:
        self.ready[server] = ready
        self._did("ready" if ready else "unready", server)

    def kill(self, server: int, silent: bool, disturbance: int) -> None:
        self.alive[server], self.connections[server] = False, 0
        self._did("kill", server, silent, disturbance)

    def stop(self, server: int, disturbance: int) -> None:
        self.alive[server], self.connections[server] = False, 0
        self._did("stop", server, disturbance)

    def close_connections(self, server: int, n: int, disturbance: int) -> int:
        before = self.connections[server]
        if n:
            self.connections[server] = max(0, before - n)
            self._did("close", server, n, disturbance)
        return before

    def pause(self, server: int, pause_ns: int) -> None:
        self._did("pause", server, pause_ns)

    def set_pace(self, server: int, permille: int) -> None:
        self._did("pace", server, permille)

    def drop_clients(self, cohort: str, share: float, silent: bool, disturbance: int) -> None:
        self._did("drop", cohort, share, silent, disturbance)

    def partition(self, server: int, silent: bool) -> bool:
        return self._changes(server not in self.cut_off, self.cut_off.add, server, "partition", server, silent)

    def heal(self, server: int) -> bool:
        return self._changes(server in self.cut_off, self.cut_off.discard, server, "heal", server)

    def stop_broker(self) -> bool:
        return self._changes(self.is_broker_up, self._set_broker, False, "stop broker")

    def start_broker(self) -> bool:
        return self._changes(not self.is_broker_up, self._set_broker, True, "start broker")

    def _set_broker(self, is_up: bool) -> None:
        self.is_broker_up = is_up

    def _changes(self, can: bool, change, to: object, *what: object) -> bool:
        """Do it if it is not so already."""
        if can:
            change(to)
            self._did(*what)
        return can

    def set_broker_pace(self, permille: int) -> None:
        self._did("broker pace", permille)

    def _did(self, *what: object) -> None:
        self.log.append((self.clock.now, *what))

    def acts(self, *names: str) -> list[tuple]:
        """What was done, samples left out; with names only these, times in seconds."""
        return [
            (now / 1e9, *what) for now, *what in self.log if what[0] != "sample" and (not names or what[0] in names)
        ]


def controlled(scenario: Scenario, connections: tuple[int, ...] = (10, 10, 10), control: tuple = ()) -> Bench:
    """Everything the control processes of a scenario do until the end of the run."""
    clock = Clock()
    bench = Bench(clock, list(connections))
    bench.recorder = Recorder(draw_workload(scenario), "summary")
    start_control(clock, bench, scenario, bench.recorder, control)
    while clock.peek() <= to_ns(scenario.duration):
        clock.step()
    return bench


def faulty(*faults: dict, n_servers: int = 3, **servers: object) -> Scenario:
    """A minute with faults, and samples far apart."""
    return small(
        duration=60, sample_interval=30, faults=faults, servers={"profile": "zero", "count": n_servers} | servers
    )


def with_broker(*faults: dict) -> Scenario:
    """The same with a broker."""
    return faulty().replace(broker={"kind": "redis_pubsub"}, faults=faults)
