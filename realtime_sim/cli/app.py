"""The program itself: its commands, and what becomes of their failures: one message, and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated, TextIO

import typer

from realtime_sim.cli.options import refuse_empty
from realtime_sim.errors import EngineError, RealtimeSimError

__all__ = ["INTERRUPTED", "INVALID", "MISSED", "app", "fail", "main"]

_UsageError = typer.BadParameter.__mro__[2]
"""What the command line itself finds wrong; Typer and Click keep its name in different places."""

MISSED, BAD_INPUT, INVALID, INTERNAL, INTERRUPTED = 1, 2, 3, 70, 130
"""Exit codes: an objective is missed; the input, or the world, is not as it must be; a live run measured something else
than it should; a defect of this package; Ctrl-C."""

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Simulate real-time push systems: WebSocket, SSE and long polling, servers, a broker between them.",
)
"""The program; the other modules add its commands."""


def main() -> None:
    """Run the command line, and turn every expected failure into one message and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # a terminal may lack a letter of a name
    words = sys.argv[1:]
    try:
        refuse_empty(words)
        code = app(args=words or ["--help"], standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        fail("interrupted; nothing was written", INTERRUPTED)
    except _UsageError as error:
        fail(f"{error.format_message().rstrip('.')}. See {_used(words)} --help.", BAD_INPUT)
    except EngineError as error:
        fail(f"internal error, please report it: {error}", INTERNAL)
    except RealtimeSimError as error:
        fail(str(error), BAD_INPUT)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        _let_go(sys.stdout)
        fail(f"the output could not be written ({error.strerror or error}); make room, or write elsewhere", BAD_INPUT)
    if code == INTERRUPTED:  # Typer turns Ctrl-C into an exit code
        fail("interrupted; nothing was written", INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def fail(message: str, code: int) -> None:
    """End the program with one message and an exit code."""
    print(f"realtime-sim: {message}", file=sys.stderr)
    sys.exit(code)


def _used(words: list[str]) -> str:
    """The command that was used, if there is one of that name: its help says what is right."""
    known = typer.main.get_command(app).commands
    return " ".join(["realtime-sim", *(word for word in words[:1] if word in known)])


def _let_go(stream: TextIO) -> None:
    """Nothing waits in a stream any more that would fail once again when the program ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Simulate real-time push systems: WebSocket, SSE and long polling, servers, a broker between them."""
    if show:
        from realtime_sim import __version__

        print(__version__)
        raise typer.Exit
