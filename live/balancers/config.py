"""Configuration of nginx and HAProxy as text, written from plain data. Nothing is started here.

What is known to go wrong otherwise stands in the text itself, with the reason, for whoever reads it in a run's folder.
Both get two groups of servers, `/ws` by WebSocket ports and everything else by HTTP ports, Socket.IO included, with the
same names in both, so that one cookie value means one slot.

Words, timeouts and what both kinds of configuration have in common are those of `realtime_sim.proxies`.

Connections are counted for each group apart, and so is the turn of round robin. A hash of nginx counts empty and dead
slots too and takes another turn when it meets one: only the clients of a lost server move, with either of its hashes.
HAProxy's map holds live servers alone, as in the model, and most clients move; but until a check finds a server dead
the map names it, and who is sent there is answered 503. With the other policies HAProxy goes on to another server.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from live.balancers.settings import Settings
from realtime_sim.proxies import (
    COOKIE,
    HAPROXY_POLICIES,
    NGINX_POLICIES,
    Timeouts,
    haproxy_defaults,
    milliseconds,
    nginx_block,
    nginx_idle,
    nginx_proxying,
    nginx_upgrade,
)

__all__ = ["haproxy", "nginx", "socket_path"]


def socket_path(folder: Path, name: str) -> Path:
    """Where a balancer answers those who started it."""
    return folder / f"{name}.sock"


def nginx(settings: Settings, port: int, folder: Path) -> str:
    """Configuration of nginx for one process in the foreground (`nginx -p FOLDER -c FILE`).

    Parameters
    ----------
    settings : Settings
        What to do.
    port : int
        Of loopback, for clients.
    folder : Path
        Where its files go.
    """
    times = settings.timeouts
    return f"""\
# One process that stays in the foreground and dies with the run: no master, no workers.
master_process off;
daemon off;
pid nginx.pid;
error_log stderr warn;

events {{
    # Two for each client: its own and the server's.
    worker_connections {2 * settings.connections + 100};
}}

http {{
    access_log off;
    default_type text/plain;

    # Servers have limits of their own; what they refuse is theirs to count.
    client_max_body_size 0;
    {_indented(nginx_proxying(times.requests_s), 4)}

    {_nginx_upstream("websocket", settings)}

    {_nginx_upstream("http", settings)}

    {_indented(_nginx_clients(times, port), 4)}

    {_indented(_nginx_starter(folder), 4)}
}}
"""


def _nginx_clients(times: Timeouts, port: int) -> list[str]:
    """Where clients come: each way to connect goes to its group, and may be silent for a time of its own."""
    upgrade, polls = nginx_upgrade('"upgrade"'), nginx_upgrade()
    silence = "# Silence on a WebSocket, in both directions together."
    one_path = "# Polls and WebSockets have one path and one group, or the upgrade would miss the server of the polls."
    idle, events = nginx_idle(times.websocket_s), nginx_idle(times.events_s)
    return nginx_block(
        "server",
        [
            f"listen 127.0.0.1:{port} backlog=4096;",
            *nginx_block("location = /ws", ["proxy_pass http://websocket;", *upgrade, silence, idle]),
            *nginx_block("location /socket.io/", [one_path, "proxy_pass http://http;", *polls, idle]),
            *nginx_block("location = /events", ["proxy_pass http://http;", events]),
            *nginx_block("location /", ["proxy_pass http://http;"]),
        ],
    )


def _nginx_starter(folder: Path) -> list[str]:
    """A server of its own for those who started it."""
    about = "# For those who started it: whether it is ready, and its version in the header Server."
    return [about, *nginx_block("server", [f"listen unix:{socket_path(folder, 'nginx')};", "return 204;"])]


def _nginx_upstream(group: str, settings: Settings) -> str:
    """A group of servers; policy, cookie and reuse of connections must come in this order."""
    # It has no checks. One refused connection marks a slot as down for a second, the least it can count; then one
    # request tries again, and goes on to the next slot if there is still nobody.
    lines = [
        f"server 127.0.0.1:{slot.websocket_port if group == 'websocket' else slot.http_port} "
        f"max_fails=1 fail_timeout=1s{f' route=s{i}' if settings.sticky else ''};"
        for i, slot in enumerate(settings.slots)
    ]
    lines.append(NGINX_POLICIES[settings.policy])
    if settings.sticky:
        lines.append(f"sticky cookie {COOKIE} path=/ httponly;")
    # Enough for all polls to end at once and their connections to be used again; a broadcast does that. Servers must
    # keep idle ones for longer, or a request meets one that is just being closed.
    lines.append(f"keepalive {settings.connections}; keepalive_timeout 10s; keepalive_requests 1000000000;")
    return _indented(nginx_block(f"upstream {group}", filter(None, lines)), 4)


def _indented(lines: Iterable[str], n: int) -> str:
    """Lines of a block that stands `n` columns in; its first line has them already."""
    return f"\n{' ' * n}".join(lines)


def haproxy(settings: Settings, port: int, folder: Path) -> str:
    """Configuration of HAProxy for one process in the foreground (`haproxy -db -f FILE`).

    Parameters
    ----------
    settings, port, folder
        As for `nginx`.
    """
    times = settings.timeouts
    return f"""\
global
    # One thread, so that the balancer is one station and takes one core at most.
    nbthread 1
    # It needs two descriptors for each of them. More than the limit allows is a mere warning, and clients then hang in
    # the accept queue.
    maxconn {settings.connections}
    # For those who started it: whether it is ready, which servers it believes to be up.
    stats socket {socket_path(folder, "haproxy")} mode 600 level user

defaults
    backlog 4096
    maxconn {settings.connections}
    {_indented(haproxy_defaults(times), 4)}

frontend clients
    bind 127.0.0.1:{port}
    # Servers see loopback; the client stands here. What a client writes itself is not believed.
    http-request set-header X-Forwarded-For %[src]
    use_backend websocket if {{ path /ws }}
    default_backend http

backend http
    {_haproxy_policy(settings)}
    http-request set-timeout server {milliseconds(times.events_s)}ms if {{ path /events }}
    {_haproxy_servers("http", settings)}

backend websocket
    {_haproxy_policy(settings)}
    {_haproxy_servers("websocket", settings)}
"""


def _haproxy_policy(settings: Settings) -> str:
    lines = HAPROXY_POLICIES[settings.policy]
    if settings.sticky:
        lines += f"\n    cookie {COOKIE} insert indirect nocache httponly"
    return lines


def _haproxy_servers(group: str, settings: Settings) -> str:
    """The slots: checked by HTTP, and what serves WebSockets is up when the same slot is up there.

    A slot has one `id` in both groups, because the ring of the consistent hash is made of them.
    """
    interval = milliseconds(settings.timeouts.check_interval_s)
    # One failed check takes a server out and one good one brings it back; empty slots are looked at twice a second.
    check = f"check inter {interval}ms downinter {min(interval, 500)}ms fall 1 rise 1"
    lines = []
    for i, slot in enumerate(settings.slots):
        port, health = (slot.http_port, check) if group == "http" else (slot.websocket_port, f"track http/s{i}")
        cookie = f" cookie s{i}" if settings.sticky else ""
        lines.append(f"server s{i} 127.0.0.1:{port} id {i + 1}{cookie} {health}")
    return "\n    ".join(lines)
