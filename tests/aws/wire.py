"""A server that says what a test wants to the last byte, or nothing: what no HTTP server would do."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOSTS = ("127.0.0.1", "127.0.0.2")  # of this machine both, but only the first is called loopback by most programs


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, over: threading.Event) -> None:
        self.connection = connection
        self._over = over

    def say(self, text: bytes) -> None:
        self.connection.sendall(text)

    def drip(self, text: bytes) -> None:
        """A byte at a time, round and round, until nobody listens any more."""
        while True:
            for byte in text:
                if self._over.wait(0.002):
                    return
                self.say(bytes([byte]))

    def pour(self, text: bytes) -> None:
        """As fast as it goes, round and round, until nobody listens any more."""
        while not self._over.is_set():
            self.say(text)

    def hang(self) -> None:
        """Nothing, until the other end goes away."""
        self.connection.recv(1)

    def reset(self) -> None:
        """An end with RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()

    def read_request(self) -> bytes:
        """Head and body of a request that gives its length."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(body) < length:
            body += self._receive()
        return head

    def _receive(self) -> bytes:
        received = self.connection.recv(65536)
        if not received:
            raise ConnectionResetError
        return received


class Wire:
    """Serves each connection by ``script``, from the first request on unless ``unasked``; ends with ``with``."""

    def __init__(
        self,
        script: Callable[[Peer], None],
        *,
        tls: ssl.SSLContext | None = None,
        unasked: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self._script = script
        self._tls = tls
        self._unasked = unasked
        self._over = threading.Event()
        self._listener = socket.create_server((host, 0))
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.heads: list[bytes] = []
        self.url = f"{'https' if tls else 'http'}://{host}:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        socket.create_connection(self._listener.getsockname()).close()  # for which the thread waits
        self._threads[0].join()
        for connection in self._connections:
            with contextlib.suppress(OSError):  # its end came first
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._over.is_set():
                connection.close()
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._converse, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _converse(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # they have heard enough
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            peer = Peer(connection, self._over)
            if not self._unasked:
                self.heads.append(peer.read_request())
            self._script(peer)
        connection.close()


def tls_context(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for 127.0.0.1 and 127.0.0.2, and the file that clients must trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wire")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(host)) for host in HOSTS]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    trusted, private = directory / "trusted.pem", directory / "private.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, trusted
