"""A client process: `python -m live.clients CHANNEL_FD RECEIVED_FD HAPPENED_FD`, started by a run."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import sys
import traceback

from live.channel import Channel, ChannelClosed
from live.clients.population import Population
from live.clients.settings import HAPPENED, RECEIVED, ClientSettings, Place
from live.logbook import Logbook
from realtime_sim.errors import LiveError
from realtime_sim.scenario import Scenario

LOOK_EVERY_S = 0.5


async def main() -> None:
    """Set up, say so, and do what the run asks until it hangs up."""
    channel = await Channel.open(socket.socket(fileno=int(sys.argv[1])))
    told = await channel.receive()
    settings = ClientSettings(**told["settings"])
    population = Population(
        settings,
        Scenario(**settings.scenario),
        {int(client): token for client, token in told["tokens"].items()},
        told["arrays"],
        Logbook(RECEIVED, settings.n_received, int(sys.argv[2])),
        Logbook(HAPPENED, settings.n_happened, int(sys.argv[3])),
    )
    channel.send({"is": "ready"})
    reports = asyncio.create_task(_report(channel, population))
    try:
        while await _obey(channel, population):
            pass
    except ChannelClosed:
        pass  # the run is over, in order or not
    except Exception as error:
        traceback.print_exc()
        channel.send({"is": "failed", "why": _said(error)})
        with contextlib.suppress(ChannelClosed):
            await channel.drain()
    reports.cancel()
    await population.end()
    await channel.close()


async def _obey(channel: Channel, population: Population) -> bool:
    """Do one thing that the run asks; False at the end."""
    order = await channel.receive()
    match order["do"]:
        case "servers":
            population.choice.update([Place(**place) for place in order["places"]])
        case "connect":
            await population.connect_at_start()
            gc.freeze()
            channel.send({"is": "connected"})
        case "begin":
            population.begin(order["begun_ns"])
        case "drop":
            population.drop(order["cohort"], order["share"], order["silent"], order["disturbance"])
        case "end":
            await population.end()
            channel.send({"is": "over"})
            await channel.drain()
            return False
    return True


async def _report(channel: Channel, population: Population) -> None:
    """Say it when something has gone wrong."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        failure = population.failure()
        if failure is not None:
            traceback.print_exception(failure)
            channel.send({"is": "failed", "why": _said(failure)})
            return


def _said(error: BaseException) -> str:
    """What went wrong, in a line; of several things that went wrong at the same time the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, LiveError) else f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    asyncio.run(main())
