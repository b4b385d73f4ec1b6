"""A wire that takes its time: TCP between a client and a server, in a process of its own, each byte delayed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.processes import PYTHON, ROOT, accepts_connections, bare_environ, free_port, wait_until


@contextmanager
def delaying_wire(target_port: int, *, seconds: float) -> Iterator[int]:
    """Put a wire with so much round trip time in front of a server on loopback; give its port.

    In a process of its own, so that the clients under test do not hold it up.
    """
    port = free_port()
    command = (PYTHON, "-m", "tests.support.delaying", str(port), str(target_port), str(seconds / 2))
    process = subprocess.Popen(command, cwd=ROOT, env=bare_environ())
    try:
        wait_until(lambda: accepts_connections(port), seconds=20, what="the start of the wire")
        yield port
    finally:
        process.terminate()
        process.wait()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    loop = asyncio.get_running_loop()
    while data := await reader.read(65_536):
        loop.call_later(delay, writer.write, data)
    loop.call_later(delay, writer.close)


async def _main(port: int, target_port: int, delay: float) -> None:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", target_port)
        await asyncio.gather(_forward(reader, server_writer, delay), _forward(server_reader, writer, delay))

    async with await asyncio.start_server(connect, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
