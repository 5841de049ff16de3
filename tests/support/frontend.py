"""The front end of docs/frontend.md, and servers with a test certificate."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import threading
from typing import TYPE_CHECKING

import requests
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from werkzeug import Request, Response
from werkzeug.serving import make_server

from deploy import PROJECT
from simulator.loopback import HOST, Handler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

(PAGE,) = re.findall(r"```html\n(.*?)```", (PROJECT / "docs" / "frontend.md").read_text(), re.DOTALL)
DOCUMENTED = "http://127.0.0.1:5000"

_CHARACTERS = "a!$&'()*+,-.:;=@[]^_`{|}~/b"
EVERY_CHARACTER = f"/{_CHARACTERS}?{_CHARACTERS}?#{_CHARACTERS}?#"
"""A path, query and fragment with every character that `return_to` accepts in them."""


def returned(url: str) -> str:
    """A URL of a browser, as it shows it after a return. Only Chromium encodes `|` in paths from the start."""
    path, query = url.split("?", 1)
    return f"{path.replace('|', '%7C')}?{query}"


def front_end(server: str) -> WSGIApplication:
    """The page of docs/frontend.md, for a login server, at every path."""
    assert PAGE.count(DOCUMENTED) == 1
    return Response(PAGE.replace(DOCUMENTED, server), content_type="text/html; charset=utf-8")


def forwarding(url: str) -> WSGIApplication:

    @Request.application
    def forward(request: Request) -> Response:
        target = url + request.environ["REQUEST_URI"]
        reply = requests.get(target, headers=dict(request.headers), allow_redirects=False, timeout=30)
        return Response(reply.content, reply.status_code, list(reply.raw.headers.items()))

    return forward


def certificate(*names: str) -> tuple[ssl.SSLContext, str]:
    """The certificate of a server, and the hash that lets Chromium trust it."""
    issued = trustme.CA().issue_cert(*names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    key = x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).public_key()
    public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return context, base64.b64encode(hashlib.sha256(public).digest()).decode()


def serve_tls(app: WSGIApplication, context: ssl.SSLContext, port: int | None = None) -> int:
    """Serve an app over TLS from a thread until the process exits. Returns its port."""
    server = make_server(HOST, port or 0, app, threaded=True, request_handler=Handler, ssl_context=context)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port
