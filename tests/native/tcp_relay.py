"""A relay between a client and a server that can go silent without closing anything."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading


class TcpRelay:
    """Listens on `port` and hands bytes on to a server's port, on a thread of its own."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._lock = threading.Lock()
        self._peers: dict[socket.socket, socket.socket] = {}
        self._dead: set[socket.socket] = set()
        self._frozen = False
        self._stop = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def freeze(self) -> None:
        """Hand on nothing more on any connection there is; new ones stay silent too."""
        with self._lock:
            self._frozen = True
            self._dead.update(self._peers)

    def thaw(self) -> None:
        """Let new connections through; the old ones stay dead."""
        with self._lock:
            self._frozen = False

    def close(self) -> None:
        """End the thread and every connection."""
        self._stop = True
        self._thread.join(timeout=10)
        for peer in (*self._peers, self._listener):
            peer.close()
        self._selector.close()

    def _work(self) -> None:
        while not self._stop:
            for key, _ in self._selector.select(timeout=0.05):
                with self._lock, contextlib.suppress(OSError):
                    ready = key.fileobj
                    assert isinstance(ready, socket.socket)
                    if ready is self._listener:
                        self._accept()
                    else:
                        self._hand_on(ready)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.create_connection(("127.0.0.1", self._server_port))
        for one, other in ((client, server), (server, client)):
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)
        if self._frozen:
            self._dead.update((client, server))

    def _hand_on(self, ready: socket.socket) -> None:
        data = ready.recv(1 << 16)
        if ready in self._dead:
            if not data:
                self._selector.unregister(ready)
            return
        peer = self._peers[ready]
        if data:
            peer.sendall(data)
            return
        for end in (ready, peer):
            with contextlib.suppress(KeyError):
                self._selector.unregister(end)
            end.close()
            self._peers.pop(end, None)
