"""One server process of a live run whose stack is `socketio`: python-socketio's AsyncServer on aiohttp.

Read in this order: `exchange` (messages between servers and publisher, by the library's own Redis manager), `door` (who
is let in, rooms, what clients send), `face` (the ports), `__main__` (the process, and what the run can ask of it). The
library is used as it is, and nothing in it is replaced: what it does not let others see is not known here either.
"""
