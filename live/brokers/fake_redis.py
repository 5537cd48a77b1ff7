"""The program behind broker `fakeredis`: `python -m live.brokers.fake_redis PORT`.

A Redis written in Python, whose threads look every 10 ms whether there is something to send: for tests, not for times.
"""

from __future__ import annotations

import sys

from fakeredis import TcpFakeServer


def main() -> None:
    """Serve until killed."""
    TcpFakeServer(("127.0.0.1", int(sys.argv[1]))).serve_forever()


if __name__ == "__main__":
    main()
