"""The HTTP server of one worker: uvicorn with its own way to accept connections and to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import anyio.to_thread
import uvicorn
from starlette.types import ASGIApp

from .http_protocol import HttpProtocol
from .open_connections import OpenConnections
from .refusal_log import RefusalLog
from .settings import Settings

# How long an idle connection stays open during shutdown. A request that is already on its way is
# answered with `Connection: close`.
LINGER_SECONDS = 1.0
STEP_SECONDS = 0.02
# Accepting can fail temporarily when file descriptors or memory run out.
ACCEPT_RETRY_SECONDS = 0.1


class Server(uvicorn.Server):
    """The HTTP server of one worker, on a listener that other workers may share.

    `executor` makes the thread pool for blocking functions. `begun` is called when the server
    listens, and `closing` when it has stopped listening.
    """

    def __init__(
        self,
        application: ASGIApp,
        listener: socket.socket,
        settings: Settings,
        executor: Callable[[asyncio.AbstractEventLoop], ThreadPoolExecutor],
        begun: Callable[[], None],
        closing: Callable[[], None],
    ) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                lifespan="off",
                access_log=False,
                log_config=None,
                timeout_graceful_shutdown=settings.grace,
                timeout_keep_alive=75,
                server_header=False,
                # Nothing here reads the client's address.
                proxy_headers=False,
                ws="none",
                http=HttpProtocol,
                loop="asyncio",
            )
        )
        self._listener = listener
        self._threads = settings.threads
        self._executor = executor
        self._connections = OpenConnections(settings.connections)
        self._begun = begun
        self._closing = closing
        self.servers: list[asyncio.base_events.Server] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept connections."""
        self._loop = asyncio.get_running_loop()
        self._refusals = RefusalLog(self._loop)
        self._loop.set_default_executor(self._executor(self._loop))
        # Streams are read in anyio's threads. Their limiter belongs to the event loop.
        anyio.to_thread.current_default_thread_limiter().total_tokens = self._threads
        self._listener.setblocking(False)
        self._listener.listen(self.config.backlog)
        self._loop.add_reader(self._listener, self._accept)
        self.started = True
        self._begun()

    def _accept(self) -> bool:
        """Accept one connection, and return whether there was one.

        Only one at a time: a less busy worker accepts the connections that this worker leaves in
        the queue. asyncio and uvloop would accept all waiting connections.
        """
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError:
            self._loop.remove_reader(self._listener)
            self._loop.call_later(ACCEPT_RETRY_SECONDS, self._resume_accepting)
            return False
        connection.setblocking(False)
        # The end of a response must not wait until its beginning is acknowledged.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._loop.create_task(self._connect(connection))
        return True

    def _resume_accepting(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.add_reader(self._listener, self._accept)

    async def _connect(self, connection: socket.socket) -> None:
        protocol = HttpProtocol(self.config, self.server_state, self._connections, self._refusals)
        try:
            await self._loop.connect_accepted_socket(lambda: protocol, connection)
        except OSError:
            connection.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listener, answer requests that have arrived or are on their way, and stop."""
        self._loop.remove_reader(self._listener)
        while self._accept():
            pass
        self._listener.close()
        self._closing()
        waited = 0.0
        while self.server_state.connections and waited < LINGER_SECONDS:
            await asyncio.sleep(STEP_SECONDS)
            waited += STEP_SECONDS
        await super().shutdown()
        self._refusals.flush()
