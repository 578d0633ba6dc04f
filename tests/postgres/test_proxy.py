"""The proxy that stands between a client and a server, on sockets that do without a server."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from .proxy import BOUND, HOST, Proxy, When
from .server import Server

DELAY = 0.05
POLL = 0.01
SHORT = 0.1
"""Seconds in which nothing comes; no test depends on it being enough."""


class Echo:
    """A server that sends back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = threading.Event()
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(BOUND)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._echo(connection)
            self.ended.set()

    def _echo(self, connection: socket.socket) -> None:
        try:
            while chunk := connection.recv(1 << 16):
                self.got += chunk
                connection.sendall(chunk)
        except ConnectionError:
            pass


@pytest.fixture
def echo() -> Iterator[Echo]:
    with closing(Echo()) as server:
        yield server


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with connected(proxy) as client:
        yield client


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=BOUND)


def ask(client: socket.socket, question: bytes) -> bytes:
    """Send bytes, and read as many."""
    client.sendall(question)
    answer = b""
    while len(answer) < len(question):
        answer += client.recv(1 << 16)
    return answer


def test_all_goes_through_and_is_counted(proxy: Proxy, client: socket.socket) -> None:
    question = bytes(range(256)) * 20_000
    sending = threading.Thread(target=client.sendall, args=(question,))
    sending.start()
    assert ask(client, b"") == b""
    answer = b""
    while len(answer) < len(question):
        answer += client.recv(1 << 16)
    sending.join(BOUND)
    assert answer == question
    assert (proxy.connections, proxy.open_connections) == (1, 1)
    assert proxy.sent == len(question)


def test_an_end_goes_through(echo: Echo, client: socket.socket) -> None:
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    assert client.recv(10) == b"last"
    assert client.recv(10) == b""
    assert echo.got == b"last"


def test_it_delays_each_way(proxy: Proxy, client: socket.socket) -> None:
    proxy.delay = DELAY
    began = time.monotonic()
    ask(client, b"question")
    assert time.monotonic() - began >= 2 * DELAY


def test_all_connections_are_cut_at_once(proxy: Proxy) -> None:
    with connected(proxy) as one, connected(proxy) as other:
        ask(one, b"x")
        one.close()
        assert ask(other, b"y") == b"y"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            other.recv(1)
    assert proxy.open_connections == 0


def test_a_cut_before_a_pattern_keeps_it_from_the_server(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    cut = proxy.cut_at(b"COMMIT")
    assert ask(client, b"BEGIN COM") == b"BEGIN COM"
    client.sendall(b"MIT")
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    cut.wait()
    assert echo.ended.wait(BOUND)
    assert echo.got == b"BEGIN COM"


@pytest.mark.parametrize("when", ["after", "answered"])
def test_a_cut_after_a_pattern_keeps_the_answer_from_the_client(
    proxy: Proxy, echo: Echo, client: socket.socket, when: When
) -> None:
    cut = proxy.cut_at(b"COMMIT", when)
    client.sendall(b"COMMIT")
    with pytest.raises(ConnectionResetError):
        client.recv(10)
    cut.wait()
    assert cut.happened
    assert echo.ended.wait(BOUND)
    assert echo.got == b"COMMIT"


def test_a_cut_is_of_one_connection_once(proxy: Proxy) -> None:
    proxy.cut_at(b"COMMIT")
    with connected(proxy) as first:
        first.sendall(b"COMMIT")
        with pytest.raises(ConnectionResetError):
            first.recv(10)
    with connected(proxy) as second:
        assert ask(second, b"COMMIT") == b"COMMIT"


def test_nothing_passes_while_it_is_frozen_and_all_of_it_afterwards(
    proxy: Proxy, echo: Echo, client: socket.socket
) -> None:
    ask(client, b"1")
    proxy.freeze()
    client.sendall(b"2")
    client.settimeout(SHORT)
    with pytest.raises(TimeoutError):
        client.recv(1)
    assert echo.got == b"1"
    client.settimeout(BOUND)
    proxy.thaw()
    assert client.recv(1) == b"2"


def test_nobody_is_accepted_while_it_is_frozen(proxy: Proxy, echo: Echo) -> None:
    proxy.freeze()
    with connected(proxy) as client:
        client.sendall(b"1")
        assert (proxy.connections, echo.got) == (0, b"")
        proxy.thaw()
        assert client.recv(1) == b"1"


def test_whoever_comes_is_reset_where_the_server_is_down() -> None:
    with socket.create_server((HOST, 0)) as gone:
        port = gone.getsockname()[1]
    # It may be so quick that connecting fails already.
    with Proxy(port) as proxy, pytest.raises(ConnectionResetError), connected(proxy) as client:
        client.recv(1)


def test_its_end_is_that_of_all_connections(echo: Echo) -> None:
    with Proxy(echo.port) as proxy, connected(proxy) as client:
        ask(client, b"1")
        proxy.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connected(proxy)
        with pytest.raises(RuntimeError):
            proxy.cut()


@pytest.mark.parametrize("when", ["before", "after", "answered"])
def test_a_commit_is_lost_or_its_answer_is(postgres: Server, schema: str, when: When) -> None:
    import psycopg  # noqa: PLC0415  # not always there

    postgres.sql(f"CREATE SCHEMA {schema} CREATE TABLE things (number int)")
    with Proxy(postgres.port) as proxy:
        client = psycopg.connect(postgres.url(port=proxy.port))
        client.execute(f"INSERT INTO {schema}.things VALUES (1)".encode())
        backend = client.info.backend_pid
        cut = proxy.cut_at(b"COMMIT", when)
        with closing(client), pytest.raises(psycopg.OperationalError):
            client.commit()
        cut.wait()
        while postgres.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", backend):
            time.sleep(POLL)
    assert len(postgres.sql(f"SELECT * FROM {schema}.things")) == (when != "before")
