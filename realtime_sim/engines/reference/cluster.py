"""The system in the hands of the control plane: the `Machinery` of `realtime_sim.control` on simulated time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import simpy

from realtime_sim.control import Instance, Observation
from realtime_sim.draws import Stream, uniform
from realtime_sim.engines.order import Phase
from realtime_sim.engines.reference.connections import Connection
from realtime_sim.engines.reference.jobs import Pause
from realtime_sim.engines.reference.servers import Server
from realtime_sim.policies.lifecycle import Event
from realtime_sim.units import from_ns, to_ns

if TYPE_CHECKING:
    from realtime_sim.engines.reference.system import System

__all__ = ["ReferenceCluster"]


class ReferenceCluster:
    """Everything that is done to a running system from outside."""

    def __init__(self, system: System) -> None:
        self.system, self.clock = system, system.clock

    def wait_until(self, time_ns: int, phase: str) -> simpy.Event:
        """The moment `time_ns`, for a control process."""
        return self.clock.at(time_ns, Phase[phase.upper()])

    # Servers.

    def start_server(self) -> int:
        """One more server process runs, and is ready at once."""
        system = self.system
        server = Server(system, len(system.servers))
        system.servers.append(server)
        system.recorder.add_server(self.clock.now)
        system.balancer.add_server()
        system.broker.server_started(server)
        return server.id

    def set_ready(self, server: int, ready: bool) -> None:
        """The balancer sends new connections to a server, or no more."""
        if not self.system.servers[server].dead:
            self.system.balancer.healthy[server] = ready

    def kill(self, server: int, silent: bool, disturbance: int) -> None:
        """A server dies; its clients notice by a reset, or by a ping that is not answered."""
        system, victim = self.system, self.system.servers[server]
        if victim.dead:
            return
        connections = victim.die(silent)
        system.broker.server_died(victim)
        noticed_ns = self.clock.now + to_ns(system.scenario.balancer.detection)
        teardown_ns = 0 if silent or system.scenario.host is None else to_ns(system.scenario.host.teardown)
        self.clock.call_at(self.clock.at(noticed_ns, Phase.HEALTH, server), self._mark_down, server)
        for connection in connections:
            system.balancer.release(server)
            if connection.alive:
                self._cut_off(connection, Event.SERVER_DIED, disturbance, teardown_ns)
                delay_ns = system.detection_ns(connection, 0) if silent else teardown_ns + connection.client.half_rtt_ns
                system.client_notices_at(self.clock.now + delay_ns, connection)

    def _mark_down(self, server: int) -> None:
        self.system.balancer.healthy[server] = False

    def stop(self, server: int, disturbance: int) -> None:
        """A server ends in order: no request finds it, and whoever is left is cut off by a reset."""
        self.set_ready(server, False)
        self.kill(server, False, disturbance)

    def close_connections(self, server: int, n: int, disturbance: int) -> int:
        """A server sends clients away: it sends nothing any more, and they hear of it behind what was sent before."""
        instance = self.system.servers[server]
        connections = [connection for _, connection in sorted(instance.connections.items())]
        for connection in connections[:n]:
            if connection.alive:
                self._cut_off(connection, Event.DRAINED, disturbance)
            instance.send_away(connection)
        return len(connections)

    def pause(self, server: int, pause_ns: int) -> None:
        """Every loop of a server does nothing for so long, as soon as it is done with its job."""
        instance = self.system.servers[server]
        if not instance.dead:
            for _ in range(self.system.scenario.servers.workers):
                instance.submit_first(Pause(pause_ns))

    def set_pace(self, server: int, permille: int) -> None:
        """From the next job on, work takes a server so many thousandths of its cost."""
        self.system.servers[server].pace = permille

    # Clients.

    def drop_clients(self, cohort: str, share: float, silent: bool, disturbance: int) -> None:
        """Connections break on the clients' side; servers learn of it half a round trip later, or by their pings."""
        system, now = self.system, self.clock.now
        for id in system.workload.clients_of(cohort):
            connection = system.clients[id].connection
            chosen = uniform(system.scenario.seed, Stream.FAULT, disturbance, int(id), 0) < share
            if not chosen or connection is None or not connection.alive:
                continue
            connection.alive = False
            self._cut_off(connection, Event.DROPPED, disturbance)
            half_ns = connection.client.half_rtt_ns
            system.client_notices_at(now + (system.detection_ns(connection, 0) if silent else 0), connection)
            system.server_notices_at(now + (system.detection_ns(connection, 1) if silent else half_ns), connection)

    def _cut_off(self, connection: Connection, event: Event, disturbance: int, after_ns: int = 0) -> None:
        client = connection.client
        client.broke(connection, event)
        if client.fault is None:
            client.fault, client.cut_ns = disturbance, self.clock.now + after_ns
            self.system.recorder.affected[disturbance] += 1

    # The broker.

    def partition(self, server: int, silent: bool) -> bool:
        """A server and the broker cannot reach each other."""
        broker, instance = self.system.broker, self.system.servers[server]
        if instance.dead or broker.links[server].partitioned:
            return False
        broker.partition(instance, silent)
        return True

    def heal(self, server: int) -> bool:
        """A server and the broker can reach each other again."""
        broker, instance = self.system.broker, self.system.servers[server]
        if instance.dead or not broker.links[server].partitioned:
            return False
        broker.heal(instance)
        return True

    def stop_broker(self) -> bool:
        """The broker stops."""
        if self.system.broker.down:
            return False
        self.system.broker.stop()
        return True

    def start_broker(self) -> bool:
        """The broker runs again."""
        if not self.system.broker.down:
            return False
        self.system.broker.start()
        return True

    def set_broker_pace(self, permille: int) -> None:
        """From the next request on, work takes the broker so many thousandths of its cost."""
        self.system.broker.pace = permille

    # What there is to see.

    def observe(self) -> Observation:
        """What there is to see now."""
        system, totals = self.system, self.system.recorder.servers
        return Observation(
            time_s=float(from_ns(self.clock.now)),
            instances=tuple(
                Instance(
                    number=server.id,
                    alive=not server.dead,
                    ready=bool(system.balancer.healthy[server.id]),
                    started_s=float(from_ns(int(totals["started_ns"][server.id]))),
                    connections=len(server.connections),
                    queue_length=len(server.jobs.items),
                    busy_s=float(from_ns(server.busy_ns)),
                    sends=int(totals["sends"][server.id]),
                )
                for server in system.servers
            ),
        )

    def sample(self) -> None:
        """Record one sample."""
        system = self.system
        system.recorder.sample(
            time_ns=self.clock.now,
            connections=[len(server.connections) for server in system.servers],
            queue_length=[len(server.jobs.items) for server in system.servers],
            busy_ns=[server.busy_ns for server in system.servers],
            link_busy_ns=[server.link_busy_ns for server in system.servers],
            ready=[int(not server.dead and system.balancer.healthy[server.id]) for server in system.servers],
            under_way=system.ledger.n_open,
            under_way_area_ns=system.ledger.area_ns,
            broker_busy_ns=[station.busy_ns for station in system.broker.stations],
            broker_queue=system.broker.queue_length,
            subscriptions=system.broker.n_subscriptions,
            client_busy_ns=[process.busy_ns for process in system.client_processes],
            publisher_busy_ns=0 if system.publisher is None else system.publisher.busy_ns,
        )
