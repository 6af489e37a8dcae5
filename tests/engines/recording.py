"""Record an engine's responses when images are pulled, built, pushed, inspected and saved.

    python -m tests.engines containerd -- python -m tests.engines.recording containerd

The files are in tests/recordings/engines. Ports are replaced, and of events of progress that follow each
other the first and the last are kept; all else is as the engine sent it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import docker
import docker.errors
import requests
from docker.models.images import Image

from deploy.registry import oci
from deploy.sandbox.registry import RegistryProcess
from tests import official_base

FOLDER = Path(__file__).parents[1] / "recordings" / "engines"
REPOSITORY = "flows/recorded"
COUNTDOWN = re.compile(r" in \d+ seconds?$")
GZIP = b"\x1f\x8b"
ERRORS = {
    401: ("UNAUTHORIZED", "authentication required"),
    404: ("BLOB_UNKNOWN", "blob unknown to registry"),
    429: ("TOOMANYREQUESTS", "too many requests, please try again later"),
}

Events = Iterable[dict[str, Any]]


class FailingRegistry:
    """A registry in front of another one that answers requests for layers with an error."""

    def __init__(self, registry: RegistryProcess) -> None:
        self.status = 0
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Engines try TLS first. Of an answer without a status line, which is that of the default,
            # containerd does not know that it is HTTP.
            default_request_version = "HTTP/1.1"

            def _answer(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if front.status and "/blobs/" in self.path and self.command != "HEAD":
                    code, message = ERRORS[front.status]
                    body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
                    headers = {"Content-Type": "application/json"}
                    if front.status == 401:
                        headers["WWW-Authenticate"] = 'Basic realm="registry"'
                    self._send(front.status, headers, body)
                    return
                url = f"{registry.url}{self.path}"
                # Engines send several lines of Accept.
                names = {name.lower() for name in self.headers} - {"host"}
                headers = {name: ", ".join(self.headers.get_all(name, ())) for name in names}
                with requests.request(
                    self.command,
                    url,
                    data=content,
                    headers=headers,
                    allow_redirects=False,
                    timeout=30,
                ) as response:
                    location = response.headers.get("Location", "")
                    own = f"http://{front.name}"
                    response.headers["Location"] = location.replace(registry.url, own)
                    self._send(response.status_code, dict(response.headers), response.content)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _answer

            def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(status)
                length = {"Content-Length": headers.get("Content-Length") or str(len(body))}
                for key, value in {**headers, **length}.items():
                    if value and key.lower() not in ("connection", "date", "server"):
                        self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Say nothing of engines that hang up once a layer has failed."""

        self._server = Server(("127.0.0.1", 0), Handler)

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def serve(self) -> Iterator[None]:
        thread = Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    @contextlib.contextmanager
    def failing(self, status: int) -> Iterator[None]:
        self.status = status
        try:
            yield
        finally:
            self.status = 0


class Recorder:
    """Records one engine."""

    def __init__(self, engine: str, client: docker.DockerClient) -> None:
        self._engine = engine
        self._client = client

    def record(
        self, source: RegistryProcess, target: RegistryProcess, front: FailingRegistry
    ) -> None:
        reference = official_base.push(source.name)
        pulled = f"{front.name}/{reference.partition('/')[2]}"
        for status in ERRORS:
            with front.failing(status):
                self._write_events(f"pull-{status}", lambda: self._pull(pulled))
        missing = f"{source.name}/library/none@{reference.partition('@')[2]}"
        self._write_events("pull-no-manifest", lambda: self._pull(missing))
        self._write_events("pull", lambda: self._pull(reference))
        self._write_events("pull-repeat", lambda: self._pull(reference))
        self._write("inspect-pulled", self._client.images.get(reference).attrs)
        built = self._build(reference)
        try:
            self._write("inspect-built", built.attrs)
            self._push(built, source, target, front)
            self._write("inspect-pushed", self._client.images.get(str(built.id)).attrs)
            self._write("save-built", self._saved(f"{target.name}/{REPOSITORY}:1"))
            self._write("save-built-by-id", self._saved(str(built.id)))
            self._write("save-pulled", self._saved(reference))
        finally:
            for server in (source.name, target.name, front.name):
                with contextlib.suppress(docker.errors.APIError):
                    self._client.images.remove(f"{server}/{REPOSITORY}:1")
            self._client.images.remove(reference, force=True)

    def _push(
        self, built: Image, source: RegistryProcess, target: RegistryProcess, front: FailingRegistry
    ) -> None:
        for status in (401, 429):
            with front.failing(status):
                self._push_to(built, f"push-{status}", front.name)
        self._push_to(built, "push", target.name)
        self._push_to(built, "push-repeat", target.name)
        self._push_to(built, "push-mounted", source.name)
        manifest = requests.get(
            f"{target.url}/v2/{REPOSITORY}/manifests/1",
            headers={"Accept": oci.ACCEPT_HEADER},
            timeout=30,
        )
        self._write(
            "pushed-manifest",
            {
                "digest": manifest.headers["Docker-Content-Digest"],
                "mediaType": manifest.headers["Content-Type"],
                "document": manifest.json(),
            },
        )

    def _push_to(self, built: Image, name: str, server: str) -> None:
        built.tag(f"{server}/{REPOSITORY}", "1")
        self._write_events(
            name,
            lambda: self._client.api.push(
                f"{server}/{REPOSITORY}", "1", stream=True, decode=True, auth_config={}
            ),
        )

    def _pull(self, reference: str) -> Events:
        events: Events = self._client.api.pull(reference, stream=True, decode=True)
        return events

    def _build(self, base: str) -> Image:
        files = {"Dockerfile": f"FROM {base}\nCOPY flow.txt /flow.txt\nLABEL recorded=yes\n"}
        with io.BytesIO() as context:
            with tarfile.open(fileobj=context, mode="w") as tar:
                for name, text in {**files, "flow.txt": "a flow\n" * 1000}.items():
                    info = tarfile.TarInfo(name)
                    info.size = len(text)
                    tar.addfile(info, io.BytesIO(text.encode()))
            context.seek(0)
            built, _ = self._client.images.build(fileobj=context, custom_context=True)
        return built

    def _saved(self, reference: str) -> dict[str, Any]:
        """Return what an archive of an image has, in the order of the archive."""
        chunks = self._client.api.get_image(reference)
        with tempfile.TemporaryFile() as file:
            for chunk in chunks:
                file.write(chunk)
            file.seek(0)
            with tarfile.open(fileobj=file) as tar:
                members = [_member(tar, member) for member in tar]
                return {"files": members, **_documents(tar)}

    def _write_events(self, name: str, action: Callable[[], Events]) -> None:
        try:
            lines = [json.dumps(event) for event in _trimmed(list(action()))]
        except docker.errors.APIError as error:
            # The request itself failed: there is no stream.
            lines = [
                json.dumps({"status_code": error.status_code, "explanation": error.explanation})
            ]
        except KeyError as error:
            # docker's own failure to read an error: Podman's has no "message" there.
            response = (
                error.__context__.response
                if isinstance(error.__context__, requests.HTTPError)
                else None
            )
            if response is None:
                raise
            lines = [json.dumps({"status_code": response.status_code, "body": response.text})]
        self._write_text(f"{name}.json", "\n".join(lines))

    def _write(self, name: str, document: Any) -> None:
        self._write_text(f"{name}.json", json.dumps(document, indent=2))

    def _write_text(self, name: str, text: str) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        anonymous = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:5000", text)
        (FOLDER / f"{self._engine}-{name}").write_text(f"{anonymous}\n", "utf-8")


def _trimmed(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the events without those between the first and the last progress of a layer in one state."""
    keys = [(event.get("id"), COUNTDOWN.sub("", str(event.get("status")))) for event in events]
    last = {key: number for number, key in enumerate(keys)}
    first = {key: number for number, key in reversed(list(enumerate(keys)))}
    return [
        event
        for number, (key, event) in enumerate(zip(keys, events, strict=True))
        if not _is_progress(event) or number in (first[key], last[key])
    ]


def _is_progress(event: dict[str, Any]) -> bool:
    return bool(event.get("progressDetail") or COUNTDOWN.search(str(event.get("status"))))


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": member.name, "size": member.size}
    if member.issym() or member.islnk():
        return {**entry, "link": member.linkname}
    content = tar.extractfile(member) if member.isreg() else None
    if content:
        entry["gzip"] = content.read(2) == GZIP
    return entry


def _documents(tar: tarfile.TarFile) -> dict[str, Any]:
    """Return the small documents of the archive, and those that its index leads to."""
    documents: dict[str, Any] = {}
    for member in tar:
        content = tar.extractfile(member) if member.isreg() and member.size < 20_000 else None
        if content:
            with contextlib.suppress(ValueError):
                documents[member.name] = json.loads(content.read())
    return {"documents": documents}


def main() -> None:
    """Record the engine that DOCKER_HOST names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=("classic", "containerd", "podman"))
    engine = parser.parse_args().engine
    client = docker.from_env(timeout=600)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        source, target = (
            stack.enter_context(RegistryProcess(Path(folder) / name))
            for name in ("source", "target")
        )
        front = FailingRegistry(source)
        stack.enter_context(front.serve())
        Recorder(engine, client).record(source, target, front)


if __name__ == "__main__":
    main()
