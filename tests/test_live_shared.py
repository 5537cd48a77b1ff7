"""What processes of a live run share: channels carry what was sent, pages and logbooks outlive their writer."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.channel import Channel, ChannelClosed, pair
from live.logbook import Logbook
from live.page import FIELDS, Page
from live.processes import Children, free_ports, wait_for_port
from live.tokens import BadToken, read_token, write_token
from realtime_sim.errors import LiveError

ROOT = Path(__file__).parent.parent


# Channels.


def talk(conversation):
    """Run a coroutine function over both ends of a channel."""

    async def both():
        ends = [await Channel.open(end) for end in pair()]
        try:
            return await conversation(*ends)
        finally:
            for end in ends:
                await end.close()

    return asyncio.run(both())


@given(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.none(), max_size=3),
    st.lists(st.lists(st.integers(-(2**62), 2**62), max_size=5), max_size=3),
)
def test_what_was_sent_is_received(message, columns):
    message.pop("arrays", None)
    arrays = {f"c{n}": np.array(column, dtype=np.int64) for n, column in enumerate(columns)}

    async def conversation(one, other):
        one.send(message, **arrays)
        return await other.receive()

    received = talk(conversation)
    found = received.pop("arrays")
    assert received == message
    assert {name: array.tolist() for name, array in found.items()} == {n: a.tolist() for n, a in arrays.items()}


def test_arrays_of_every_kind_keep_type_and_shape():
    arrays = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.array([True]), "c": np.zeros((0, 4))}

    async def conversation(one, other):
        one.send({}, **arrays)
        return (await other.receive())["arrays"]

    for name, array in talk(conversation).items():
        assert array.dtype == arrays[name].dtype
        assert array.shape == arrays[name].shape


def test_the_end_of_the_other_side_is_an_error():
    async def conversation(one, other):
        await other.close()
        with pytest.raises(ChannelClosed):
            await one.receive()
        one.send({"nobody": "reads this"})

    talk(conversation)


# Pages and logbooks.


def test_a_page_is_read_while_and_after_it_is_written():
    mine, theirs = Page(), None
    theirs = Page(mine.fd)
    for n, field in enumerate(FIELDS):
        theirs.set(field, n)
        theirs.add(field, 10)
    assert [mine.get(field) for field in FIELDS] == [n + 10 for n in range(len(FIELDS))]
    mine.close()
    assert mine.get(FIELDS[1]) == 11


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**62)), max_size=20), st.integers(0, 25))
def test_rows_come_back_in_order_from_any_row_on(rows, first):
    book = Logbook(("a", "b"), 20)
    for row in rows:
        book.append(*row)
    found = book.read(min(first, 20))
    assert list(zip(found["a"].tolist(), found["b"].tolist(), strict=True)) == rows[first:]
    book.close()


def test_a_full_logbook_is_a_clear_error():
    book = Logbook(("message",), 1)
    book.append(1)
    with pytest.raises(LiveError, match="more than 1 rows of message"):
        book.append(2)
    book.close()


@pytest.mark.live
def test_what_a_killed_process_wrote_can_be_read():
    book = Logbook(("n",), 1_000)
    script = (
        "import os, signal, sys; from live.logbook import Logbook\n"
        "book = Logbook(('n',), 1000, int(sys.argv[1]))\n"
        "for n in range(100): book.append(n)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    child = subprocess.run([sys.executable, "-c", script, str(book.fd)], pass_fds=[book.fd], cwd=ROOT, check=False)
    assert child.returncode == -signal.SIGKILL
    assert book.read()["n"].tolist() == list(range(100))
    book.close()


# Tokens.


@given(st.binary(min_size=1), st.integers(0, 2**40), st.integers(1, 2**40))
def test_a_token_says_whose_it_is_until_it_expires(secret, client, expires_s):
    token = write_token(secret, client, expires_s)
    assert read_token(secret, token, expires_s - 1) == client
    with pytest.raises(BadToken, match="expired"):
        read_token(secret, token, expires_s)


@given(st.text(max_size=100))
def test_a_made_up_token_is_refused(token):
    with pytest.raises(BadToken, match="signature"):
        read_token(b"secret", token, 0)


def test_a_token_of_another_secret_or_client_is_refused():
    token = write_token(b"secret", 7, 100)
    for forged in (write_token(b"other", 7, 100), "8" + token[1:], token.replace("100", "999"), token[:-1]):
        with pytest.raises(BadToken, match="signature"):
            read_token(b"secret", forged, 0)


# Processes.


def wait_until(true, timeout_s=10.0):
    """Whether something becomes true in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


def is_running(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.live
def test_children_end_with_their_context_and_leave_nothing():
    with Children() as children:
        pids = [children.spawn(["sleep", "60"], name=f"sleeper {n}").pid for n in range(3)]
        os.kill(pids[0], signal.SIGSTOP)
        folder = children.folder
        (folder / "left").write_text("something")
    assert not any(map(is_running, pids))
    assert not folder.exists()


@pytest.mark.live
def test_children_end_when_the_context_ends_by_an_error():
    with pytest.raises(ZeroDivisionError), Children() as children:
        child = children.spawn(["sleep", "60"], name="sleeper")
        1 / 0  # noqa: B018 - the error is the point
    assert not is_running(child.pid)


@pytest.mark.live
def test_nothing_survives_a_parent_that_is_killed():
    script = (
        "import sys, time; from live.processes import Children\n"
        "children = Children()\n"
        "pids = [children.spawn(['sleep', '60'], name=str(n)).pid for n in range(3)]\n"
        "print(children.folder, *pids, flush=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    folder, *pids = parent.stdout.readline().split()
    assert Path(folder).exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not any(map(is_running, pids)))
    assert wait_until(lambda: not Path(folder).exists())


@pytest.mark.live
def test_a_child_that_has_ended_is_told_once_with_its_code():
    with Children() as children:
        child = children.spawn([sys.executable, "-c", "print('so long'); raise SystemExit(3)"], name="quitter")
        child.wait()
        assert children.ended() == {"quitter": 3}
        assert children.ended() == {}
        assert children.log_of("quitter") == "so long"


def test_a_program_that_is_not_there_is_a_clear_error():
    with Children() as children, pytest.raises(LiveError, match="broker: cannot start 'no-such-program'"):
        children.spawn(["no-such-program"], name="broker")


@pytest.mark.live
def test_a_port_is_waited_for_and_its_absence_noticed():
    (port,) = free_ports(1)
    with Children() as children:
        child = children.spawn([sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)], name="http")
        assert wait_for_port(port, child)
        (other,) = free_ports(1)
        assert not wait_for_port(other, timeout_s=0.1)
        gone = children.spawn(["true"], name="gone")
        assert not wait_for_port(other, gone)
