"""Redis Pub/Sub and core NATS: one thread, a copy for each subscribed server, at most once.

With shards there are several such threads, and a room belongs to one of them: its messages, its subscriptions.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from realtime_sim.draws import Stream
from realtime_sim.engines.constants import STALLED, UP
from realtime_sim.engines.order import Phase
from realtime_sim.engines.reference.broker_links import LinkedBroker, Way
from realtime_sim.engines.reference.ledger import Message
from realtime_sim.policies.output_buffer import NOT_SOFT, check_kernel
from realtime_sim.units import to_ns

if TYPE_CHECKING:
    from realtime_sim.engines.reference.clients import Client
    from realtime_sim.engines.reference.servers import Server
    from realtime_sim.engines.reference.system import System

__all__ = ["Channels"]


class Channels(LinkedBroker):
    """A broker that forgets a message as soon as it has written the copies; the k-th leaves after the first k.

    `channels` are the subscribers of each room at the broker, `wanted` the rooms that a server knows it hears of.
    A link has a way to each shard, over which copies keep their order.
    """

    def __init__(self, system: System) -> None:
        parameters = system.scenario.broker
        self.n_ways = parameters.n_threads
        self.publish_cost = parameters.publish.sampler()
        self.copy_ns = to_ns(parameters.copy_cost)
        self.subscribe_ns = to_ns(parameters.subscribe)
        self.per_room = parameters.subscription == "per_room"
        limit = parameters.output_buffer
        self.limit = (limit.hard, limit.soft, to_ns(limit.soft_for))
        self.channels: dict[int, set[int]] = {}
        self.wanted: list[set[int]] = []
        super().__init__(system)

    @property
    def n_subscriptions(self) -> int:
        """Subscriptions of servers to channels; with `all_servers`, one pattern of each living server at each shard."""
        if self.per_room:
            return sum(len(servers) for servers in self.channels.values())
        alive = [server for server in self.system.servers if not server.dead]
        return sum(way.joined for server in alive for way in self.links[server.id].ways)

    def way(self, server: Server, room: int) -> Way:
        """How what concerns a room gets to a server."""
        return self.links[server.id].ways[self.share(room)]

    # Messages.

    def take(self, batch: list[Message], publisher: int) -> Generator:
        """A message is at the broker; what has been started when it stops has been taken."""
        give_up = self.refused
        yield self.stations[self.share(batch[0].room)].work(
            lambda: self._copy_out(batch[0]), lambda started: None if started else give_up(batch, publisher)
        )

    def _copy_out(self, message: Message) -> int:
        """Write one copy after the other; what it costs."""
        cost_ns = self.system.draw_ns(self.publish_cost, Stream.BROKER_COST, message.number, 0, message.traffic)
        spent_ns = self.paced(cost_ns)
        subscribers = self._subscribers(message.room)
        for server in subscribers:
            spent_ns += self.paced(self.copy_ns)
            message.copies += 1
            left_ns = self.clock.now + self.system.host.takes_ns(spent_ns)
            if self.links[server.id].state == STALLED:
                self._hold(server, message, left_ns)
            else:
                self._write(server, message, left_ns)
        for server in self.system.servers:
            if not server.dead and server not in subscribers and self.why_away(server) is not None:
                self._misses(server, message)
        self.system.ledger.copy_done(message)
        return spent_ns

    def _subscribers(self, room: int) -> list[Server]:
        if self.per_room:
            return [self.system.servers[i] for i in sorted(self.channels.get(room, ()))]
        return [server for server in self.system.servers if not server.dead and self.way(server, room).joined]

    def _write(self, server: Server, message: Message, left_ns: int) -> None:
        """A copy goes out; it does not overtake the one before."""
        way = self.way(server, message.room)
        link_ns = self.system.draw_ns(self.server_link, Stream.SERVER_LINK, message.number, server.id, message.traffic)
        way.free_ns = max(left_ns + link_ns, way.free_ns)
        moment = self.clock.at(way.free_ns, Phase.AT_SERVER, server.id, -1, message.id)
        self.clock.call_at(moment, self._delivered, server, message, left_ns, self.links[server.id].epoch)

    def _delivered(self, server: Server, message: Message, left_ns: int, epoch: int) -> None:
        if server.dead or self.links[server.id].epoch == epoch:
            server.deliver(message, left_ns)
        else:
            self._lost(server, message)

    def _hold(self, server: Server, message: Message, left_ns: int) -> None:
        """A copy goes into the output buffer of a server that takes nothing."""
        way = self.way(server, message.room)
        self.links[server.id].held.append((message, left_ns))
        way.held_bytes += message.payload_bytes
        way.soft_since_ns, is_cut = check_kernel(*self.limit, way.held_bytes, way.soft_since_ns, self.clock.now)
        if is_cut:
            self.system.recorder.buffer_full(self.clock.now, server.id, way.held_bytes)
            self.cut(server, "server_away")

    def _misses(self, server: Server, message: Message) -> None:
        """Why the members at a server get nothing."""
        for client in server.rooms.get(message.room, ()):
            if message.waits(client):
                message.causes.setdefault(client, self.links[server.id].cause)

    def _lost(self, server: Server, message: Message) -> None:
        """A copy for a server has come to nothing."""
        self._misses(server, message)
        self.system.ledger.copy_done(message)

    def _empty(self, server: Server) -> list[tuple[Message, int]]:
        """What was in a server's output buffers."""
        link = self.links[server.id]
        held, link.held = link.held, []
        for way in link.ways:
            way.held_bytes, way.soft_since_ns = 0, NOT_SOFT
        return held

    # Subscriptions.

    def _commands(self, rooms: list[int]) -> list[tuple[int, list[int]]]:
        """One command for each shard that has some of these rooms."""
        own = [[room for room in rooms if self.share(room) == shard] for shard in range(self.n_ways)]
        return [(shard, rooms) for shard, rooms in enumerate(own) if rooms]

    def subscribe(self, server: Server, client: Client, done: Callable[[], None]) -> None:
        """One SUBSCRIBE for the rooms that are new to the server, at each shard; `done()` when all answers are back.

        A server that cannot reach the broker lets clients in all the same, and subscribes when it can.
        """
        asks = self.per_room and self.links[server.id].state == UP
        commands = self._commands([room for room in client.rooms if room not in self.wanted[server.id]] if asks else [])
        if not commands:
            done()
            return
        last = len(commands)

        def one_done() -> None:
            nonlocal last
            last -= 1
            if not last:
                done()

        for shard, rooms in commands:
            self.clock.process(self._subscribe(server, shard, rooms, one_done))

    def _subscribe(self, server: Server, shard: int, rooms: list[int], done: Callable[[], None]) -> Generator:
        epoch = self.links[server.id].epoch
        yield self.clock.at(self.clock.now + self.control_link_ns, Phase.AT_BROKER, server.id, rooms[0])
        if self._gone(server, epoch):
            done()
            return
        yield self.stations[shard].work(lambda: self.paced(self.subscribe_ns * len(rooms)), lambda started: done())
        if not server.dead and not self._gone(server, epoch):
            self._add(server, rooms)
        yield self.clock.at(self.clock.now + self.control_link_ns, Phase.AT_SERVER, server.id, rooms[0])
        if not server.dead and not self._gone(server, epoch):
            self.wanted[server.id].update(rooms)
        done()

    def _gone(self, server: Server, epoch: int) -> bool:
        """Whether the connection over which a command was sent is gone."""
        return self.down or self.links[server.id].epoch != epoch

    def _add(self, server: Server, rooms: list[int]) -> None:
        for room in rooms:
            self.channels.setdefault(room, set()).add(server.id)

    def unsubscribe(self, server: Server, client: Client) -> None:
        """One UNSUBSCRIBE for the rooms in which the server has nobody; it takes its turn like everything else. As with
        SUBSCRIBE, there is one for each shard."""
        self._give_back(server, [room for room in client.rooms if room in self.wanted[server.id]])

    def _give_back(self, server: Server, rooms: list[int]) -> None:
        rooms = [room for room in rooms if not server.rooms.get(room)]
        if rooms and self.links[server.id].state == UP:
            self.wanted[server.id].difference_update(rooms)
            for shard, share in self._commands(rooms):
                self.clock.process(self._unsubscribe(server, shard, share))

    def _unsubscribe(self, server: Server, shard: int, rooms: list[int]) -> Generator:
        epoch = self.links[server.id].epoch
        yield self.clock.at(self.clock.now + self.control_link_ns, Phase.AT_BROKER, server.id, rooms[0])
        if self._gone(server, epoch):
            return
        yield self.stations[shard].work(lambda: self.paced(self.subscribe_ns * len(rooms)))
        if not self._gone(server, epoch):
            for room in rooms:
                if room not in self.wanted[server.id]:
                    self.channels.get(room, set()).discard(server.id)

    def subscribe_at_start(self, server: Server, client: Client) -> None:
        """Everyone who is connected at the start has been for a while: subscriptions stand."""
        if self.per_room:
            self._add(server, client.rooms)
            self.wanted[server.id].update(client.rooms)

    # Connections.

    def server_started(self, server: Server) -> None:
        """With `all_servers` it is subscribed already."""
        super().server_started(server)
        self.wanted.append(set())

    def server_died(self, server: Server) -> None:
        """Its connection is gone, and its subscriptions with it."""
        super().server_died(server)
        self._forget(server)
        for message, _ in self._empty(server):
            self.system.ledger.copy_done(message, "server_died")

    def _forget(self, server: Server) -> None:
        for servers in self.channels.values():
            servers.discard(server.id)
        self.wanted[server.id].clear()

    def connection_lost(self, server: Server) -> None:
        """The broker forgets what a server has subscribed to, and what it had for it."""
        self._forget(server)
        for message, _ in self._empty(server):
            self._lost(server, message)

    def connection_flows(self, server: Server) -> None:
        """What waited goes out; then the server makes up for what it could not say."""
        now = self.clock.now
        for message, left_ns in self._empty(server):
            self._write(server, message, max(left_ns, now))
        if self.per_room:
            rooms = [room for room in self._needed(server) if room not in self.wanted[server.id]]
            if not self._join_all(server, self._commands(rooms)):
                self._give_back(server, sorted(self.wanted[server.id]))

    def connected(self, server: Server) -> bool:
        """A server subscribes anew: to the one pattern of each shard, or to every room it has a member of."""
        for way in self.links[server.id].ways:
            way.joined = way.answered = True
        if self.per_room:
            return self._join_all(server, self._commands(self._needed(server)))
        return self._join_all(server, [(shard, []) for shard in range(self.n_ways)])

    def _needed(self, server: Server) -> list[int]:
        return sorted(room for room, members in server.rooms.items() if members)

    def _join_all(self, server: Server, commands: list[tuple[int, list[int]]]) -> bool:
        """Send commands to shards, which a server has not joined until they are done; whether there are any."""
        for shard, rooms in commands:
            way = self.links[server.id].ways[shard]
            way.joined = way.answered = False
            self.clock.process(self._join(server, shard, rooms))
        return bool(commands)

    def _join(self, server: Server, shard: int, rooms: list[int]) -> Generator:
        """One command, which costs as much as a SUBSCRIBE of every room."""
        link, first = self.links[server.id], rooms[0] if rooms else shard - 1
        epoch, way = link.epoch, link.ways[shard]
        yield self.clock.at(self.clock.now + self.control_link_ns, Phase.AT_BROKER, server.id, first)
        if self._gone(server, epoch):
            return
        yield self.stations[shard].work(lambda: self.paced(self.subscribe_ns * max(1, len(rooms))))
        if not server.dead and not self._gone(server, epoch):
            self._add(server, rooms)
            way.joined = True
        yield self.clock.at(self.clock.now + self.control_link_ns, Phase.AT_SERVER, server.id, first)
        if not server.dead and not self._gone(server, epoch):
            if rooms:
                self.wanted[server.id].update(rooms)
                self._give_back(server, sorted(self.wanted[server.id]))
            way.answered = True
            if all(way.answered for way in link.ways):
                self._send_waiting(server.id)
