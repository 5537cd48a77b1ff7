"""One server process of a live run: an asyncio loop with `websockets` on one port and `aiohttp` on another.

Read in this order: `settings` (what it is told), `hub` (rooms, the queue of messages, the fan-out), `gate` (who is let
in), `frontdoor` (what all transports do with a connection), `websocket`, `http` and `polling` (the three of them),
`__main__` (the process, and what the run can ask of it).
"""
