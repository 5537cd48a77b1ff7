"""Configuration of nginx and HAProxy as text, written from plain data. Nothing is started here.

What is known to go wrong otherwise stands in the text itself, with the reason, for whoever reads it in a run's folder.
Both get two groups of servers, `/ws` by WebSocket ports and everything else by HTTP ports, Socket.IO included, with the
same names in both, so that one cookie value means one slot.

| policy            | nginx                         | HAProxy                              |
|-------------------|-------------------------------|--------------------------------------|
| round_robin       | (default)                     | roundrobin                           |
| least_connections | least_conn                    | leastconn                            |
| random            | random                        | random(1)                            |
| power_of_two      | random two least_conn         | random(2)                            |
| source_hash       | hash $remote_addr             | source, hash-type map-based          |
| consistent_hash   | hash $remote_addr consistent  | source, hash-type consistent         |
| affinity cookie   | sticky cookie                 | cookie insert                        |

Connections are counted for each group apart, and so is the turn of round robin. A hash of nginx counts empty and dead
slots too and takes another turn when it meets one: only the clients of a lost server move, with either of its hashes.
HAProxy's map holds live servers alone, as in the model, and most clients move; but until a check finds a server dead
the map names it, and who is sent there is answered 503. With the other policies HAProxy goes on to another server.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from live.balancers.settings import CHECK_ANSWER_S, CONNECT_S, Settings, milliseconds

__all__ = ["COOKIE", "haproxy", "nginx", "socket_path"]

COOKIE = "SRV"
"""Cookie that holds the name of a slot."""

REQUEST_S = 10
"""Time a client has to send the head of a request: one that sends a byte now and then holds no connection for long."""

HALF_CLOSED_S = 5
"""Time a connection lives on of which one side is closed; a stopped server never closes its own."""

_NGINX_POLICIES = MappingProxyType(
    {
        "round_robin": "",
        "least_connections": "least_conn;",
        "random": "random;",
        "power_of_two": "random two least_conn;",
        # Not ip_hash: it looks at three of the four octets, and behind loopback all clients share these.
        "source_hash": "hash $remote_addr;",
        "consistent_hash": "hash $remote_addr consistent;",
    }
)

_HAPROXY_POLICIES = MappingProxyType(
    {
        "round_robin": "balance roundrobin",
        "least_connections": "balance leastconn",
        # `random` alone is random(2), the better of two.
        "random": "balance random(1)",
        "power_of_two": "balance random(2)",
        "source_hash": "balance source\n    hash-type map-based",
        "consistent_hash": "balance source\n    hash-type consistent",
    }
)


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

    client_header_timeout {REQUEST_S}s;
    client_body_timeout {REQUEST_S}s;
    # Servers have limits of their own; what they refuse is theirs to count.
    client_max_body_size 0;
    # Pollers ask for hours on one connection; nginx would close it after 1,000 requests.
    keepalive_requests 1000000000;
    keepalive_timeout {milliseconds(times.requests_s)}ms;

    {_nginx_upstream("websocket", settings)}

    {_nginx_upstream("http", settings)}

    # Without these two nginx speaks HTTP/1.0 to servers, or closes after each answer.
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    # What a request that may be either says instead.
    map $http_upgrade $upgrade {{
        default upgrade;
        "" "";
    }}
    # Servers see loopback; the client stands here. What a client writes itself is not believed.
    proxy_set_header X-Forwarded-For $remote_addr;
    # The name that the client asked for: servers hold an Origin against it.
    proxy_set_header Host $http_host;
    # An event must go on when it comes, not when a buffer is full.
    proxy_buffering off;
    proxy_request_buffering off;
    # A slot that refuses a connection is passed over, in the same request.
    proxy_next_upstream error timeout;
    proxy_connect_timeout {milliseconds(CONNECT_S)}ms;
    {_nginx_idle(times.requests_s)}

    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location = /ws {{
            proxy_pass http://websocket;
            # A place with headers of its own inherits none.
            proxy_set_header Connection "upgrade";
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header Host $http_host;
            # Silence on a WebSocket, in both directions together.
            {_nginx_idle(times.websocket_s)}
        }}
        location /socket.io/ {{
            # Polls and WebSockets have one path and one group, or the upgrade would miss the server of the polls.
            proxy_pass http://http;
            proxy_set_header Connection $upgrade;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header Host $http_host;
            {_nginx_idle(times.websocket_s)}
        }}
        location = /events {{
            proxy_pass http://http;
            {_nginx_idle(times.events_s)}
        }}
        location / {{
            proxy_pass http://http;
        }}
    }}

    # For those who started it: whether it is ready, and its version in the header Server.
    server {{
        listen unix:{socket_path(folder, "nginx")};
        return 204;
    }}
}}
"""


def _nginx_upstream(group: str, settings: Settings) -> str:
    """A group of servers; policy, cookie and reuse of connections must come in this order."""
    # It has no checks. One refused connection marks a slot as down for a second, the least it can count; then one
    # request tries again, and goes on to the next slot if there is still nobody.
    lines = [
        f"server 127.0.0.1:{slot.websocket_port if group == 'websocket' else slot.http_port} "
        f"max_fails=1 fail_timeout=1s{f' route=s{i}' if settings.sticky else ''};"
        for i, slot in enumerate(settings.slots)
    ]
    lines.append(_NGINX_POLICIES[settings.policy])
    if settings.sticky:
        lines.append(f"sticky cookie {COOKIE} path=/ httponly;")
    # Enough for all polls to end at once and their connections to be used again; a broadcast does that. Servers must
    # keep idle ones for longer, or a request meets one that is just being closed.
    lines.append(f"keepalive {settings.connections}; keepalive_timeout 10s; keepalive_requests 1000000000;")
    body = "\n        ".join(line for line in lines if line)
    return f"upstream {group} {{\n        {body}\n    }}"


def _nginx_idle(seconds: float) -> str:
    """Longest silence between two reads from a server, two writes to it, and two writes to a client."""
    time = f"{milliseconds(seconds)}ms"
    return f"proxy_read_timeout {time}; proxy_send_timeout {time}; send_timeout {time};"


def haproxy(settings: Settings, port: int, folder: Path) -> str:
    """Configuration of HAProxy for one process in the foreground (`haproxy -db -f FILE`).

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
    requests, events = milliseconds(times.requests_s), milliseconds(times.events_s)
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
    mode http
    backlog 4096
    maxconn {settings.connections}
    # Without it the kernel collects parts of an answer, and a stream of events is up to 200 ms late.
    option http-no-delay
    # A server that refuses a connection is given up at once, cookie or not; unless told so HAProxy asks a dead server
    # again and again, with a second in between.
    option redispatch 1
    retries 2
    # A client that goes while it waits, for a poll or for the next event, is gone for the server too. Without it the
    # server learns of it when it next has something to send, and counts and serves nobody until then.
    option abortonclose
    option httpchk
    http-check send meth GET uri /healthz ver HTTP/1.1 hdr Host localhost
    timeout check {milliseconds(CHECK_ANSWER_S)}ms
    timeout connect {milliseconds(CONNECT_S)}ms
    timeout http-request {REQUEST_S}s
    timeout http-keep-alive {requests}ms
    timeout client {max(requests, events)}ms
    timeout server {requests}ms
    # Silence on a WebSocket, in both directions together.
    timeout tunnel {milliseconds(times.websocket_s)}ms
    timeout client-fin {HALF_CLOSED_S}s
    timeout server-fin {HALF_CLOSED_S}s

frontend clients
    bind 127.0.0.1:{port}
    # Servers see loopback; the client stands here. What a client writes itself is not believed.
    http-request set-header X-Forwarded-For %[src]
    use_backend websocket if {{ path /ws }}
    default_backend http

backend http
    {_haproxy_policy(settings)}
    http-request set-timeout server {events}ms if {{ path /events }}
    {_haproxy_servers("http", settings)}

backend websocket
    {_haproxy_policy(settings)}
    {_haproxy_servers("websocket", settings)}
"""


def _haproxy_policy(settings: Settings) -> str:
    lines = _HAPROXY_POLICIES[settings.policy]
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
