"""Connections that are kept, whose every wait ends at the deadline of the request under way."""

from __future__ import annotations

import http.client
import io
import os
import select
import socket
import ssl
import threading
import time
import weakref
from typing import Any, List, Mapping, NamedTuple, Optional, Protocol, Tuple
from urllib.parse import urlsplit

from ._errors import invalid

IDLE_MAX = 64
PIECE_BYTES = 256 * 1024


class Late(Exception):
    """The deadline has passed."""


class GivenUp(Exception):
    """Nobody waits for the answer any more."""


class TlsFailed(Exception):
    """There is no secure connection to be had."""


class Abortable(Protocol):
    def abort(self) -> None: ...


class Limit:
    """The end of a request: a time, or that somebody gives it up."""

    def __init__(self, end_s: float) -> None:
        self.end_s = end_s
        self._given_up = False
        self._connection: Optional[Abortable] = None
        self._lock = threading.Lock()

    def left_s(self) -> float:
        if self._given_up:
            raise GivenUp
        left = self.end_s - time.monotonic()
        if left <= 0:
            raise Late
        return left

    @property
    def given_up(self) -> bool:
        return self._given_up

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            if self._connection is not None:
                self._connection.abort()

    def waits_on(self, connection: Optional[Abortable]) -> None:
        """From here on giving up breaks the connection; raises GivenUp where that has happened already."""
        with self._lock:
            self._connection = connection
            if self._given_up and connection is not None:
                raise GivenUp


class _TimedSocket:
    """What http.client needs of a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.limit = Limit(0)
        self._readers = 0
        self._closed = False

    def sendall(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        while view:
            self.sock.settimeout(self.limit.left_s())
            view = view[self.sock.send(view[:PIECE_BYTES]) :]

    def makefile(self, mode: str, *_: Any) -> io.BufferedReader:
        self._readers += 1
        return io.BufferedReader(_TimedReader(self), PIECE_BYTES)

    def reader_closed(self) -> None:
        self._readers -= 1
        if self._closed and self._readers == 0:
            self.sock.close()

    def close(self) -> None:
        """An answer may still be read from it."""
        self._closed = True
        if self._readers == 0:
            self.sock.close()


class _TimedReader(io.RawIOBase):
    def __init__(self, owner: _TimedSocket) -> None:
        self._owner = owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._owner.sock.settimeout(self._owner.limit.left_s())
        return self._owner.sock.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._owner.reader_closed()


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes


class Connection:
    def __init__(self, sock: socket.socket, host: str, port: int) -> None:
        self._timed = _TimedSocket(sock)
        self._http = http.client.HTTPConnection(host, port)
        self._http.auto_open = 0
        setattr(self._http, "sock", self._timed)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: Optional[bytes], limit: Limit) -> Tuple[Reply, bool]:
        """Returns the answer, and whether the connection may be used again."""
        self._timed.limit = limit
        limit.waits_on(self)
        try:
            self._http.request(method, path, body=body, headers=dict(headers))
            response = self._http.getresponse()
            pieces: List[bytes] = []
            while True:
                piece = response.read(PIECE_BYTES)
                if not piece:
                    break
                pieces.append(piece)
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
            reply = Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, b"".join(pieces))
            return reply, not response.will_close
        finally:
            limit.waits_on(None)

    def abort(self) -> None:
        """Wakes whoever waits on the connection; from any thread."""
        try:
            self._timed.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    @property
    def stale(self) -> bool:
        """Whether the other side has closed it, or said something unasked."""
        try:
            poll = select.poll()
            poll.register(self._timed.sock, select.POLLIN)
            return bool(poll.poll(0))
        except AttributeError:
            return bool(select.select([self._timed.sock], [], [], 0)[0])

    def close(self) -> None:
        self._http.close()
        self._timed.sock.close()


class Connections:
    """Connections to one server; those that are idle wait for the next request."""

    def __init__(self, url: str, context: Optional[ssl.SSLContext]) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise invalid(f'address of the server: expected http://HOST:PORT or https://HOST, found "{url}"')
        self.url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._host = parts.hostname
        self._secure = parts.scheme == "https"
        self._port = port or (443 if self._secure else 80)
        self._context = context
        self._idle: List[Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        _living.add(self)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: Optional[bytes], limit: Limit) -> Reply:
        connection = self._take() or self._open(limit)
        kept = False
        try:
            reply, kept = connection.ask(method, self._path + path, headers, body, limit)
            return reply
        finally:
            self._give(connection, kept)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def forget(self) -> None:
        """In a process that was forked: the connections are those of the other one, which goes on with them."""
        self._lock = threading.Lock()
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> Optional[Connection]:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if not connection.stale:
                return connection
            connection.close()

    def _give(self, connection: Connection, kept: bool) -> None:
        with self._lock:
            if kept and not self._closed and len(self._idle) < IDLE_MAX:
                self._idle.append(connection)
                return
        connection.close()

    def _open(self, limit: Limit) -> Connection:
        sock = self._dial(limit)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._secure:
                sock.settimeout(limit.left_s())
                sock = self._secured(sock)
        except BaseException:
            sock.close()
            raise
        return Connection(sock, self._host, self._port)

    def _dial(self, limit: Limit) -> socket.socket:
        failure: Optional[OSError] = None
        for family, kind, protocol, _, address in socket.getaddrinfo(self._host, self._port, 0, socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(limit.left_s())
                sock.connect(address)
                return sock
            except socket.timeout:
                sock.close()
                raise
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
        raise failure or OSError("the name of the host has no address")

    def _secured(self, sock: socket.socket) -> socket.socket:
        if self._context is None:
            self._context = ssl.create_default_context()
        try:
            return self._context.wrap_socket(sock, server_hostname=self._host)
        except ssl.SSLEOFError:
            raise
        except ssl.SSLError as error:
            raise TlsFailed(str(error)) from error


_living: weakref.WeakSet[Connections] = weakref.WeakSet()


def _forget_all() -> None:
    for connections in list(_living):
        connections.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
