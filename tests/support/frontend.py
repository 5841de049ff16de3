"""The front end of docs/frontend.md, served on a port of its own, and a TLS proxy with a test certificate."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import re
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from werkzeug import Request, Response
from werkzeug.serving import make_server

from deploy import PROJECT

(PAGE,) = re.findall(r"```html\n(.*?)```", (PROJECT / "docs" / "frontend.md").read_text(), re.DOTALL)
DOCUMENTED = "http://127.0.0.1:5000"

_CHARACTERS = "a!$&'()*+,-.:;=@[]^_`{|}~/b"
EVERY_CHARACTER = f"/{_CHARACTERS}?{_CHARACTERS}?#{_CHARACTERS}?#"
"""A path, query and fragment with every character that `return_to` accepts in them."""


def returned(url: str) -> str:
    """A URL of a browser, as it shows it after a return. Only Chromium encodes `|` in paths from the start."""
    path, query = url.split("?", 1)
    return f"{path.replace('|', '%7C')}?{query}"


@contextmanager
def served(server: str, port: int) -> Iterator[str]:
    """Serve the page of docs/frontend.md, for a login server, at every path; yields its URL."""
    assert PAGE.count(DOCUMENTED) == 1
    html = PAGE.replace(DOCUMENTED, server)

    def respond(_: Request) -> Response:
        return Response(html, content_type="text/html; charset=utf-8")

    running = make_server("127.0.0.1", port, Request.application(respond), threaded=True)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.port}"
    running.shutdown()
    thread.join()
    running.server_close()


def certificate(folder: Path, *names: str) -> tuple[Path, str]:
    """A self-signed certificate with its key in one file, and the hash that lets Chromium trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = folder / "certificate.pem"
    path.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()) + signed.public_bytes(pem))
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return path, base64.b64encode(hashlib.sha256(public).digest()).decode()


@contextmanager
def over_tls(port: int, pem: Path, at: int = 0) -> Iterator[int]:
    """Forward TLS connections to a local port; yields the port of the proxy, which is `at` if given."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", at))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=_pass_on, args=(connection, context, port), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _pass_on(plain: socket.socket, context: ssl.SSLContext, port: int) -> None:
    try:
        with (
            context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", port)) as server,
        ):
            while True:
                waiting = [client] if client.pending() else select.select([client, server], [], [])[0]
                for source in waiting:
                    data = source.recv(65536)
                    if not data:
                        return
                    (server if source is client else client).sendall(data)
    except OSError:  # the browser closed the connection
        return
