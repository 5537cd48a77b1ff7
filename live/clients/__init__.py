"""One process that plays thousands of clients of a live run, light enough not to be what is measured.

Read in this order: `settings` (what it is told), `population` (all of its clients, and what they write down), `life`
(one client: sessions, attempts, backoff), `reception` (what a client makes of frames), `choice` (which server it
asks), then the ways to connect: `picows_client`, `websockets_client`, `socketio_client`, `event_stream` and
`long_polling` over `http_connection`; `__main__` is the process.
"""
