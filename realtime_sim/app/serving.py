"""Serving the explorer: Voilà runs one notebook for everybody who opens the page, on loopback, and shows nothing else.

Each page has a kernel, a Python process of its own, which ends when the page is closed, and with the server, whichever
way that ends: in order it stops them, and a kernel whose parent was killed ends by itself.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager
from nbformat import NotebookNode
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets
from tornado.web import RequestHandler
from traitlets.config import Config
from voila.app import Voila

from realtime_sim.errors import LiveError, Problem, ScenarioError
from realtime_sim.scenario import Scenario

__all__ = ["HIGHEST_PORT", "PAGE", "serve"]

HERE = Path(__file__).parent

PAGE = HERE / "explorer.ipynb"
"""The page: one call. It opens in JupyterLab as well."""

HIGHEST_PORT = 65_535
"""Of TCP."""

ABANDONED_S = 600
"""After so long without its page, as when a browser was killed, a kernel is stopped."""

NOTHING_ELSEWHERE = (
    "default-src 'self' 'unsafe-inline' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "frame-ancestors 'none'; form-action 'none'"
)
"""What browsers may load: whatever somebody writes into a scenario, the page asks no other server for anything."""

CALL = "app()"
"""What the page does; the scenario of the command line goes between the brackets."""


class _OwnPython(KernelSpecManager):
    """The Python that runs this, whatever kernels are installed under the same name."""

    kernel_dirs: list[str] = []


class _Server(Voila):
    """Voilà on a socket that was opened before: its port is known, and nobody can take it meanwhile."""

    sockets: list
    announce: Callable[[str], None]

    def listen(self) -> None:
        """Serve until a signal comes; kernels and their files are gone then. Ctrl-C is how it is meant to end."""
        HTTPServer(self.app).add_sockets(self.sockets)
        self.ioloop = IOLoop.current()
        try:
            self.announce(self.connection_url)
            with contextlib.suppress(KeyboardInterrupt):
                self.ioloop.start()
        finally:
            self.stop()


def serve(scenario: Scenario | None, port: int, announce: Callable[[str], None]) -> None:
    """Serve the page until a signal ends it.

    Parameters
    ----------
    scenario : Scenario, optional
        What the page begins with; its own choice if left out.
    port : int
        Of loopback, 0 for any that is free.
    announce : callable
        Takes the address as soon as the page can be opened.

    Raises
    ------
    ScenarioError
        If there is no such port.
    LiveError
        If the port is not free.
    """
    sockets = _opened(port)
    # Where Jupyter's programs look for templates; kernels inherit it.
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(HERE / "jupyter"), os.environ.get("JUPYTER_PATH")]))
    server = _Server(config=_config(scenario, sockets[0].getsockname()[1]))
    server.sockets, server.announce = sockets, announce
    server.initialize([str(PAGE)])
    logging.getLogger("tornado").setLevel(logging.ERROR)  # whatever is asked for and refused is no news
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # a terminal that is closed ends it in order, as SIGTERM does
        signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
    server.start()


def _opened(port: int) -> list:
    """Sockets that listen."""
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= HIGHEST_PORT:
        rule = f"must be a whole number from 0 to {HIGHEST_PORT:_}"
        raise ScenarioError(Problem("port", rule, port, "use 0 for any that is free"))
    try:
        return bind_sockets(port, "127.0.0.1")
    except OSError as error:
        found = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({os.strerror(error.errno)})"
        raise LiveError(f"port {port}", found, "choose another one, or leave --port out for any that is free") from None


def _config(scenario: Scenario | None, port: int) -> Config:
    """Everything that is not as Voilà has it by itself; configuration files of the user do not count."""

    def before_a_page(request: RequestHandler, notebook: NotebookNode, cwd: str) -> None:
        _ = request.xsrf_token  # sets the cookie without which a page may not end its kernel (Voilà's issue 1458)
        if scenario is not None:
            cell = notebook.cells[0]
            cell.source = cell.source.replace(CALL, f"app({scenario.to_yaml()!r})")

    return Config(
        {
            "Voila": {
                "config_file_paths": [],
                "ip": "127.0.0.1",
                "port": port,
                "log_level": "ERROR",
                # Requests for another host come from a page elsewhere whose name was made to lead here.
                "tornado_settings": {
                    "allow_remote_access": False,
                    "headers": {"Content-Security-Policy": NOTHING_ELSEWHERE},
                },
            },
            "VoilaConfiguration": {
                "template": "realtime-sim",
                "allow_template_override": "NO",
                "allow_theme_override": "NO",
                "file_allowlist": [],
                "show_tracebacks": True,  # who reads them is who has started it; without, a defect has no name
                "extension_allowlist": ["@jupyter-widgets/jupyterlab-manager", "@voila-dashboards/widgets-manager8"],
                "kernel_spec_manager_class": _OwnPython,
                "prelaunch_hook": before_a_page,
            },
            # Files that a scenario names are found from where the command was given.
            "MappingKernelManager": {"root_dir": os.getcwd(), "cull_idle_timeout": ABANDONED_S},
            "KernelManager": {"transport_encryption": "auto", "shutdown_wait_time": 2.0},
        }
    )
