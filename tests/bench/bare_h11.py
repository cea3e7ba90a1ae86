"""The least that a server with h11 can be: one request a connection, one answer that is always the same.

``python -m tests.bench.bare_h11 SIZE`` prints its port, and serves a body of SIZE bytes until it is killed.
"""

import asyncio
import sys

import h11


class Bare(asyncio.Protocol):
    """One connection."""

    body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connection = h11.Connection(h11.SERVER)

    def data_received(self, data: bytes) -> None:
        """Answers a whole request."""
        self._connection.receive_data(data)
        if not isinstance(self._connection.next_event(), h11.Request):
            return
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(self.body))),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ]
        events: list[h11.Event] = [h11.Response(status_code=200, headers=headers), h11.Data(data=self.body)]
        events.append(h11.EndOfMessage())
        self._transport.write(b"".join(self._connection.send(event) or b"" for event in events))
        self._transport.close()


async def main() -> None:
    """Serves for ever."""
    Bare.body = b"x" * int(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
