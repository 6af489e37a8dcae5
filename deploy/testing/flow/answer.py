import os
import socket
import time

from promptflow.core import tool

if os.environ.get("BREAK") == "crash":
    print("the weights are missing", flush=True)
    # What masks secrets is a thread of this very process, and ends with it.
    time.sleep(0.5)
    os._exit(3)
if os.environ.get("BREAK") == "hang":
    time.sleep(600)
if os.environ.get("BREAK") == "502":
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self):
            print("asked for", self.path, flush=True)
            self.send_error(502)

        do_POST = do_GET

    HTTPServer(("", 8080), Broken).serve_forever()
asked = 0


def pieces():
    for piece in ("one", "two", "three"):
        yield piece
        time.sleep(0.5)


@tool
def answer(question: str) -> str:
    global asked
    kind, _, rest = question.partition(" ")
    if kind == "sample":
        asked += 1
        if os.environ.get("BREAK") == "mute":
            return ""
        if os.environ.get("BREAK") == "weary" and asked > 4:
            raise ValueError("no more")
    if kind == "sleep":
        time.sleep(float(rest))
    if kind == "fail":
        raise ValueError("as asked")
    if kind == "stream":
        return pieces()
    return f"{os.environ.get('COLOUR', '')} {socket.gethostname()}"
