"""The program behind the embedded Kafka: `python -m live.brokers.mock_kafka PORT TOPIC PARTITIONS`.

librdkafka's mock cluster with one broker, in a process of its own. SIGUSR1 is a crash of that broker: its connections
break, nobody listens any more, and the log stays, as it does on the disks of a real one. SIGUSR2 starts it again.

The mock listens on a port of the kernel's choice and has no word for another. Its listening socket is therefore
replaced by one of ours, under the same descriptor, and the mock told to name that port to its clients.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

import confluent_kafka

__all__ = ["MockCluster"]

_BROKER = 1
_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


class MockCluster:
    """One broker of librdkafka's mock cluster on a port of our choice.

    Parameters
    ----------
    port : int
        Where it listens, on loopback.
    topic : str
        What is there from the start.
    partitions : int
        Of the topic.

    References
    ----------
    librdkafka, src/rdkafka_mock.h
    """

    def __init__(self, port: int, topic: str, partitions: int) -> None:
        self._port = port
        self._library = _load()
        text = ctypes.create_string_buffer(512)
        configuration = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        producer = self._library.rd_kafka_new(0, configuration, text, len(text))
        if not producer:
            sys.exit(f"librdkafka: {text.value.decode()}")
        before = _listening()
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(ctypes.c_void_p(producer), 1))
        (self._descriptor,) = _listening() - before
        self._listen(port)
        self._call("broker_set_host_port", _BROKER, b"127.0.0.1", port)
        self._call("topic_create", topic.encode(), partitions, 1)

    def crash(self) -> None:
        """The broker is gone: its connections too, but not its log."""
        self._listen(0)  # where nobody looks; the mock must have something to wait for
        self._call("broker_set_down", _BROKER)

    def start(self) -> None:
        """The broker runs again."""
        self._call("broker_set_up", _BROKER)  # first: it closes what it accepts while it is down
        self._listen(self._port)

    def _listen(self, port: int) -> None:
        """Put a new socket in the place of the one that it listens on.

        The mock's thread may be asleep over the old one, and would be for up to a second. A connection to that wakes
        it; the descriptor is looked at again, and must have something by then: a connection to the new one.
        """
        with socket.socket(fileno=os.dup(self._descriptor)) as before:
            old = before.getsockname()
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen(512)
            listener.setblocking(False)
            os.dup2(listener.fileno(), self._descriptor)
            new = listener.getsockname()
        for address in (new, old):
            with socket.socket() as nudge:
                nudge.connect_ex(address)  # the old one refuses it if nobody waits there

    def _call(self, function: str, *arguments: bytes | int) -> None:
        error = getattr(self._library, f"rd_kafka_mock_{function}")(self._cluster, *arguments)
        if error:
            sys.exit(f"rd_kafka_mock_{function}: error {error}")


def _load() -> ctypes.CDLL:
    """The library that the package `confluent-kafka` brings along."""
    folder = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs")
    library = ctypes.CDLL(str(next(folder.glob("librdkafka-*.so*"))))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


def _listening() -> set[int]:
    """Descriptors of this process that listen."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as one:
                if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    found.add(int(name))
        except OSError:
            continue  # no socket, or the descriptor that lists the folder
    return found


def main() -> None:
    """Run until SIGTERM or SIGKILL."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # before librdkafka's threads start, which inherit it
    port, topic, partitions = sys.argv[1:]
    cluster = MockCluster(int(port), topic, int(partitions))
    while (caught := signal.sigwait(_SIGNALS)) != signal.SIGTERM:
        (cluster.crash if caught == signal.SIGUSR1 else cluster.start)()


if __name__ == "__main__":
    main()
