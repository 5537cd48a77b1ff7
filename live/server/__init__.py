"""One server process of a live run: an asyncio loop with `websockets` on one port and `aiohttp` on another.

Read in this order: `settings` (what it is told), `hub` (rooms, the queue of messages, the fan-out), `gate` (who is let
in), `websocket`, `http` and `polling` (the three transports), `replay` (what a returning client missed), `__main__` (the
process, and what the run can ask of it).
"""
