"""A registry on this machine with one small image, which fails as a test asks."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"


def digest_of(content: bytes) -> str:
    """Return the digest by which a registry knows `content`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(seed: int, size: int) -> bytes:
    """Return a layer of one file that does not compress, the same for the same seed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(f"file-{seed}")
        info.size = size
        tar.addfile(info, io.BytesIO(random.Random(seed).randbytes(size)))  # noqa: S311
    return buffer.getvalue()


@dataclass
class Fault:
    """What happens to requests whose path contains `path`."""

    path: str
    status: int = 0
    body: bytes = b""
    # Send half of the content and then nothing.
    stall: bool = False


@dataclass
class Registry:
    """The repository `library/python` with an image of two layers under the tag `1`."""

    platforms: tuple[str, ...] = ("amd64",)
    seed: int = 0
    faults: list[Fault] = field(default_factory=list)
    # Headers of Authorization that arrived.
    authorizations: list[str] = field(default_factory=list)
    content: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.publish(self.seed)
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_HEAD(self) -> None:
                registry.answer(self)

            def do_GET(self) -> None:
                registry.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def repository(self) -> str:
        """The repository with the registry's address."""
        return f"127.0.0.1:{self.server.server_port}/library/python"

    @property
    def digest(self) -> str:
        """The digest behind the tag."""
        return digest_of(self.content["/manifests/1"][1])

    def publish(self, seed: int) -> None:
        """Put an image with other layers under the tag."""
        entries = []
        for architecture in self.platforms:
            layers = [layer(seed * 10 + number, 2_000_000) for number in (1, 2)]
            config = json.dumps(
                {
                    "architecture": architecture,
                    "os": "linux",
                    "config": {},
                    "rootfs": {"type": "layers", "diff_ids": [digest_of(part) for part in layers]},
                }
            ).encode()
            packed = [gzip.compress(part, mtime=0) for part in layers]
            kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": self._blob(config, "application/vnd.docker.container.image.v1+json"),
                "layers": [self._blob(part, kind) for part in packed],
            }
            data = json.dumps(manifest).encode()
            self.content[f"/manifests/{digest_of(data)}"] = MANIFEST, data
            platform = {"architecture": architecture, "os": "linux"}
            described = {"mediaType": MANIFEST, "size": len(data), "digest": digest_of(data)}
            entries.append({**described, "platform": platform})
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        for name in ("1", digest_of(index)):
            self.content[f"/manifests/{name}"] = INDEX, index

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request, or fail as the first fault for its path says."""
        if given := request.headers.get("Authorization"):
            self.authorizations.append(given)
        fault = next((one for one in self.faults if one.path in request.path), Fault(""))
        if fault.status:
            self._send(request, fault.status, "application/json", fault.body)
        elif request.path == "/v2/":
            self._send(request, 200, "application/json", b"{}")
        else:
            name = request.path.removeprefix("/v2/library/python")
            kind, content = self.content.get(name, ("", b""))
            if kind:
                self._send(request, 200, kind, content, fault.stall)
            else:
                body = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
                self._send(request, 404, "application/json", body)

    def close(self) -> None:
        """Stop, with what stalls."""
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def _blob(self, content: bytes, kind: str) -> dict[str, object]:
        self.content[f"/blobs/{digest_of(content)}"] = "application/octet-stream", content
        return {"mediaType": kind, "size": len(content), "digest": digest_of(content)}

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        kind: str,
        content: bytes,
        stall: bool = False,
    ) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        request.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if status == 200 and content:
            request.send_header("Docker-Content-Digest", digest_of(content))
        request.end_headers()
        if request.command == "HEAD":
            return
        request.wfile.write(content[: len(content) // 2] if stall else content)
        request.wfile.flush()
        if stall:
            self.released.wait()
            request.close_connection = True
