"""Spotify and AWS under their own host names, over TLS, on this machine."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from deploy import bundle, roots
from local.aws import CREDENTIALS
from tests.support.cloud import Cloud

SPOTIFY = ("accounts.spotify.com", "api.spotify.com")
AWS = tuple(
    f"{service}.{CREDENTIALS['AWS_DEFAULT_REGION']}.amazonaws.com" for service in ("ssm", "dynamodb", "kms")
)

BUNDLES = ("certifi/cacert.pem", "botocore/cacert.pem", "chalicelib/amazon.pem")
"""The CA bundles that a package can have."""

PLAIN = ("SPOTIFY_ACCOUNTS_URL", "SPOTIFY_API_URL", "AWS_ENDPOINT_URL")
"""The variables that point a function to servers without TLS."""

RESOLVER = """import socket

PORTS = {ports}
resolve = socket.getaddrinfo


def getaddrinfo(host, port, *arguments, **options):
    if host in PORTS:
        host, port = "127.0.0.1", PORTS[host]
    return resolve(host, port, *arguments, **options)


socket.getaddrinfo = getaddrinfo
"""
"""The module sitecustomize of the function's interpreter."""


@dataclass(frozen=True)
class Tls:
    """The certificate of a test CA, and the folder of the module that resolves the host names to this machine."""

    root: bytes
    folder: Path

    def trust(self, task: Path) -> None:
        """Add the CA to each bundle and folder of roots in an unzipped package, which takes no longer to load."""
        for name in BUNDLES:
            path = task / name
            if path.exists():
                path.write_bytes(path.read_bytes() + b"\n" + self.root)
        if (task / bundle.ROOTS).exists():
            for name, certificate in roots.folder(self.root.decode()):
                (task / bundle.ROOTS / name).write_bytes(certificate)

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment of a function that uses the host names, from that of one that does not."""
        kept = {name: value for name, value in environment.items() if name not in PLAIN}
        return {**kept, "PYTHONPATH": str(self.folder)}


def serve(cloud: Cloud, folder: Path) -> Tls:
    """Serve Spotify and AWS over TLS as well, in threads of this process."""
    root = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    root.create_child_ca().issue_cert(*SPOTIFY, *AWS).configure_cert(context)
    urls = {SPOTIFY: cloud.spotify.serve(context=context), AWS: cloud.aws.serve(context=context)}
    ports = {host: urlsplit(url).port for hosts, url in urls.items() for host in hosts}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(RESOLVER.format(ports=ports), encoding="utf-8")
    return Tls(root.cert_pem.bytes(), folder)
