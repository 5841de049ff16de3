"""The root certificates in a package, taken from certifi, in forms that load fast.

Loading certifi's bundle takes longer than the rest of opening a TLS connection, and happens for each connection. So
the AWS clients get a bundle of AWS's own roots, and requests gets a folder of all roots, from which OpenSSL reads
only those that it needs. botocore cannot use a folder.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import certifi
from OpenSSL.crypto import FILETYPE_PEM, load_certificate

from deploy.stage import Problem, Stop

AMAZON = (
    "Amazon Root CA 1",
    "Amazon Root CA 2",
    "Amazon Root CA 3",
    "Amazon Root CA 4",
    "Starfield Services Root Certificate Authority - G2",
)
"""The roots of Amazon Trust Services, by certifi's labels. AWS's endpoints have certificates of this authority:
https://aws.amazon.com/blogs/security/how-to-prepare-for-aws-move-to-its-own-certificate-authority/
"""

_CERTIFICATE = r"^-----BEGIN CERTIFICATE-----$.*?^-----END CERTIFICATE-----$"
_PEM = re.compile(_CERTIFICATE, re.MULTILINE | re.DOTALL)
_LABELED = re.compile(rf'^# Label: "([^"\n]+)"$.*?({_CERTIFICATE})', re.MULTILINE | re.DOTALL)


def amazon(bundle: str = "") -> bytes:
    """The certificates of `AMAZON` in a bundle with labels, by default certifi's, as PEM.

    Raises:
        Stop: one is missing.
    """
    found = dict(_LABELED.findall(bundle or _certifi()))
    if missing := [label for label in AMAZON if label not in found]:
        what = f"certifi lacks the root certificates {', '.join(missing)}, which AWS's endpoints use."
        raise Stop(Problem(what, "Correct AMAZON in deploy/roots.py, or pin another version of certifi."))
    return "".join(f"{found[label]}\n" for label in AMAZON).encode()


def folder(bundle: str = "") -> Iterator[tuple[str, bytes]]:
    """Each certificate of a bundle, by default certifi's, with the file name by which OpenSSL finds it.

    The name is the hash of the certificate's subject and a number that distinguishes certificates with the same
    hash, as `openssl rehash` creates it (openssl-rehash(1)).
    """
    numbers: Counter[str] = Counter()
    for certificate in _PEM.findall(bundle or _certifi()):
        name = f"{load_certificate(FILETYPE_PEM, certificate.encode()).subject_name_hash():08x}"
        yield f"{name}.{numbers[name]}", f"{certificate}\n".encode()
        numbers[name] += 1


def _certifi() -> str:
    return Path(certifi.where()).read_text(encoding="ascii")
