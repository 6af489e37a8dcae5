"""A managed identity inside the container, with tokens that were fetched outside of it.

A container on a laptop or in CI has no identity. The person or job that starts the evaluation is
signed in and passes a token for what the flow's connections need, and for nothing else. The Azure
SDK finds it as it would on App Service (Microsoft, "How to use managed identities for App Service":
"REST endpoint reference", api-version 2019-08-01).
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


def serve_tokens(tokens: Mapping[str, tuple[str, int]]) -> dict[str, str]:
    """Serve `tokens` on the loopback address; return the variables by which the SDK finds them.

    `tokens` are by resource (https://cognitiveservices.azure.com): the token, and when it expires,
    in seconds since 1970.
    """
    key = secrets.token_hex(16)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            resource = parse_qs(urlsplit(self.path).query).get("resource", [""])[0].rstrip("/")
            if self.headers.get("X-IDENTITY-HEADER") != key:
                self._answer(401, {"message": "the header X-IDENTITY-HEADER is wrong"})
            elif resource not in tokens:
                self._answer(400, {"message": f"there is no token for {resource}"})
            else:
                token, expires = tokens[resource]
                answer = {"access_token": token, "expires_on": str(expires)}
                self._answer(200, {**answer, "resource": resource, "token_type": "Bearer"})

        def _answer(self, status: int, content: Mapping[str, str]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}/token"
    return {"IDENTITY_ENDPOINT": endpoint, "IDENTITY_HEADER": key}
