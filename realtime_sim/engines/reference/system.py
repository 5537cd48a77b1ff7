"""The whole system: it wires the actors together, and runs them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np

from realtime_sim.control import Control, start_control
from realtime_sim.draws import Sampler, Stream, sample_ns, uniform
from realtime_sim.engines.clock import Clock
from realtime_sim.engines.order import Phase
from realtime_sim.engines.reference.balancer import Balancer
from realtime_sim.engines.reference.brokers import NoBroker
from realtime_sim.engines.reference.channels import Channels
from realtime_sim.engines.reference.clients import Client
from realtime_sim.engines.reference.cluster import ReferenceCluster
from realtime_sim.engines.reference.connections import Connection
from realtime_sim.engines.reference.host import ClientProcess, Host, Publisher
from realtime_sim.engines.reference.jobs import Ingest
from realtime_sim.engines.reference.ledger import Ledger, Message
from realtime_sim.engines.reference.logs import AcknowledgedLog, Log, PartitionedLog
from realtime_sim.engines.reference.servers import Server
from realtime_sim.policies.keepalive import detection_delay_kernel
from realtime_sim.policies.lifecycle import Event
from realtime_sim.recorder import Recorder
from realtime_sim.trace import Trace
from realtime_sim.units import from_ns, to_ns
from realtime_sim.workload import BACKEND, Workload

__all__ = ["System", "run"]

BROKERS = {
    "none": NoBroker, "redis_pubsub": Channels, "redis_streams": Log, "kafka": PartitionedLog, "nats": Channels,
    "nats_jetstream": AcknowledgedLog,
}  # fmt: skip

N_PROGRESS = 200
"""Reports of progress in one run."""


def run(
    workload: Workload,
    record: str = "summary",
    progress: Callable[[float], None] | None = None,
    control: Sequence[Control] = (),
) -> Trace:
    """Run a workload to its end.

    Parameters
    ----------
    workload : Workload
        What to run.
    record : str
        `"summary"` or `"full"`.
    progress : callable, optional
        Called now and then with the simulated time, seconds.
    control : sequence of callable
        Control processes ``(env, cluster)`` beside those of the scenario.

    Returns
    -------
    Trace
        What happened.
    """
    system = System(workload, Recorder(workload, record), control)
    system.run(progress or (lambda _: None))
    return system.recorder.trace("reference")


class System:
    """One run: actors, and the state they share."""

    def __init__(self, workload: Workload, recorder: Recorder, control: Sequence[Control] = ()) -> None:
        scenario = workload.scenario
        self.workload, self.scenario, self.recorder = workload, scenario, recorder
        self.clock = Clock()
        shared = scenario.host
        self.host = Host(None if shared is None else shared.cores)
        self.host_wakeup = _NOTHING if shared is None else shared.wakeup.sampler()
        self.fanout_wait = _NOTHING if shared is None else shared.fanout_wait.sampler()
        self.client_processes = [ClientProcess(self, i) for i in range(shared.client_processes if shared else 0)]
        self.publisher = Publisher(self) if shared else None
        self.jitter = [cohort.network.jitter.sampler() for cohort in scenario.clients]
        self.sessions = [c.session.length.sampler() if c.session else None for c in scenario.clients]
        self.absences = [c.session.absence.sampler() if c.session else _NOTHING for c in scenario.clients]
        self.ages = scenario.servers.connection_age.sampler() if scenario.servers.connection_age else None
        self.backoffs = [cohort.backoff for cohort in scenario.clients]
        self.event_cost = scenario.servers.event_cost.sampler()
        self.handshake_cost = scenario.servers.handshake_cost.sampler()
        reads_again = scenario.broker.kind in ("kafka", "nats_jetstream")
        self.ledger = Ledger(self.clock, recorder, workload.n_clients, self.can_replay, reads_again)
        self.n_connections = 0
        self.n_to_publish = len(workload.publishes)
        self.servers: list[Server] = []
        self.balancer = Balancer(self)
        for number in range(scenario.servers.count):
            self.servers.append(Server(self, number))
            self.balancer.add_server()
        self.broker = BROKERS[scenario.broker.kind](self)
        self.clients = [Client(self, client) for client in range(workload.n_clients)]
        self.clock.process(self.publish_all())
        self.cluster = ReferenceCluster(self)
        start_control(self.clock, self.cluster, scenario, recorder, control)

    def run(self, progress: Callable[[float], None]) -> None:
        """To the end of the run, and on while deliveries are under way or to be published and the drain lasts."""
        end_ns = to_ns(self.scenario.duration)
        block_ns = max(end_ns // N_PROGRESS, 1)
        for time_ns in [*range(block_ns, end_ns, block_ns), end_ns]:
            # Up to and including time_ns, as far as the written order goes.
            self.clock.run(until=self.clock.at(time_ns, Phase.RETRY, 2**62))
            progress(from_ns(time_ns))
        limit_ns = end_ns + to_ns(self.scenario.drain)
        while (self.ledger.n_open or self.n_to_publish) and self.clock.peek() <= limit_ns:
            moment_ns = self.clock.peek()
            while self.clock.peek() == moment_ns:  # what happens at one time belongs together
                self.clock.step()
        self.broker.run_over()
        self.ledger.close_books()
        for server in self.servers:
            self.recorder.servers["busy_ns"][server.id] = server.busy_ns
            self.recorder.servers["link_busy_ns"][server.id] = server.link_busy_ns
            self.recorder.servers["died_ns"][server.id] = server.died_ns
        self.recorder.count(
            "never_connected", sum(client.tried and not client.n_connections for client in self.clients)
        )

    def publish_all(self) -> Generator:
        """Publish every message at its time; what services pushed late counts from the time it was intended for."""
        publishes = self.workload.publishes
        rows = zip(
            publishes.time_ns, publishes.traffic, publishes.number, publishes.room, publishes.sender,
            publishes.intended_ns, strict=True,
        )  # fmt: skip
        for id, row in enumerate(rows):
            time_ns, traffic, number, room, sender, intended_ns = map(int, row)
            yield self.clock.at(time_ns, Phase.PUBLISH, -1, -1, id)
            self.n_to_publish -= 1
            payload_bytes = self.scenario.traffic[traffic].payload
            self.publish(Message(id, traffic, number, room, sender, payload_bytes, intended_ns))

    def publish(self, message: Message) -> None:
        """A message sets out from the backend, or from a client through its server."""
        sender = None if message.sender == BACKEND else self.clients[message.sender]
        if sender is not None and sender.connection is None:
            self.count("unsent")
            return
        echo = self.scenario.traffic[message.traffic].echo
        for client in self.workload.rooms.members_of(message.room):
            if self.clients[client].online and (echo or client != message.sender):
                self.ledger.expect(message, int(client))
        if sender is None and self.publisher is None:
            self.broker.publish(message, None)
            return
        if sender is None:
            self.clock.call_at(self.publisher.publish(), self.broker.publish, message, None)
            return
        server = sender.connection.server
        if not sender.connection.alive:
            self.ledger.copy_done(message, "connection_lost")
            return
        moment = self.clock.at(self.clock.now + sender.half_rtt_ns, Phase.REQUEST, server.id, sender.id, message.id)
        self.clock.call_at(moment, server.submit, Ingest(message, lambda: self.broker.publish(message, server)))

    def connect_at_start(self, client: Client) -> Connection | None:
        """A client that has been connected for a while when the run starts; None if no server has room."""
        client.tried = True
        chosen = self.balancer.pick(client)
        server = self.servers[chosen]
        if server.full:
            client.turn(Event.REFUSED)
            self.count("refused")
            return None
        self.count("connected_at_start")
        self.balancer.hold(chosen)
        self.broker.subscribe_at_start(server, client)
        return server.register(client, self._open_since(client), at_start=True)

    def _open_since(self, client: Client) -> int:
        """When something last came over a connection that is open at the start: any time within its idle timeout."""
        if not client.cohort.idles_out:
            return 0
        u = uniform(self.scenario.seed, Stream.IDLE, client.id)
        return -int(u * to_ns(client.cohort.network.idle_timeout))

    def draw_ns(self, sampler: Sampler, stream: int, i: int, j: int = 0, k: int = 0) -> int:
        """A time drawn for an address; a constant needs no draw."""
        if sampler.kind == 0:
            return to_ns(sampler.a)
        return int(sample_ns(sampler, uniform(self.scenario.seed, stream, i, j, k)))

    def age_ns(self, connection: Connection, at_start: bool) -> int:
        """How long a connection lives until its server closes it; of one that is open at the start a part is over."""
        client, number = connection.client.id, connection.number
        age_ns = self.draw_ns(self.ages, Stream.AGE, client, number)
        return int(age_ns * uniform(self.scenario.seed, Stream.AGE, client, number, 1)) if at_start else age_ns

    def can_replay(self, client: int) -> bool:
        """Whether what a client misses can be sent to it later: its transport resumes, and the broker has a log."""
        return self.broker.keeps_history and self.scenario.clients[self.workload.cohort[client]].resumes

    def connections_changed(self, by: int) -> None:
        """`by` more connections are open at all servers together."""
        self.n_connections += by
        more = self.n_connections - self.recorder.counted("peak_connections")
        if more > 0:
            self.recorder.count("peak_connections", more)

    def count(self, what: str) -> None:
        """Add one to a counter of the run."""
        self.recorder.count(what)

    def poll_unanswered(self, connection: Connection) -> None:
        """A poll went to a server that died silently: the keepalive tells the client, and its own server as well."""
        if connection.server.dead:
            return  # they have been told when it died
        connection.client.broke(connection, Event.SERVER_DIED)
        self.client_notices_at(self.clock.now + self.detection_ns(connection, 0), connection)
        self.server_notices_at(self.clock.now + self.detection_ns(connection, 1), connection)

    def client_notices_at(self, time_ns: int, connection: Connection) -> None:
        """The client learns at `time_ns` that its connection is gone."""
        moment = self.clock.at(time_ns, Phase.CONNECTION_LOST, connection.server.id, connection.client.id)
        self.clock.call_at(moment, connection.noticed)

    def server_notices_at(self, time_ns: int, connection: Connection) -> None:
        """The server takes the connection off its list at `time_ns`."""
        moment = self.clock.at(time_ns, Phase.SERVER_NOTICES, connection.server.id, connection.client.id)
        self.clock.call_at(moment, connection.server.unregister, connection)

    def detection_ns(self, connection: Connection, side: int) -> int:
        """How long a dead peer goes unnoticed on one side (0 client, 1 server)."""
        client, keepalive = connection.client, connection.client.cohort.keepalive
        u = uniform(self.scenario.seed, Stream.DETECTION, client.id, connection.number, side)
        return to_ns(detection_delay_kernel(keepalive.interval, keepalive.timeout, u))


_NOTHING = Sampler(0, 0.0, 0.0, np.zeros(1), np.zeros(1))
