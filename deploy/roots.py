"""The root certificates of AWS's own endpoints, taken from certifi.

botocore loads a CA bundle for each connection that it opens. Loading all of certifi's takes more than ten times as
long as loading these.
"""

from __future__ import annotations

import re
from pathlib import Path

import certifi

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

_LABELED = re.compile(
    r'^# Label: "([^"\n]+)"$.*?(^-----BEGIN CERTIFICATE-----$.*?^-----END CERTIFICATE-----$)',
    re.MULTILINE | re.DOTALL,
)


def amazon(bundle: str = "") -> bytes:
    """The certificates of `AMAZON` in a bundle with labels, by default certifi's, as PEM.

    Raises:
        Stop: one is missing.
    """
    text = bundle or Path(certifi.where()).read_text(encoding="ascii")
    found = dict(_LABELED.findall(text))
    if missing := [label for label in AMAZON if label not in found]:
        what = f"certifi lacks the root certificates {', '.join(missing)}, which AWS's endpoints need."
        raise Stop(Problem(what, "Correct AMAZON in deploy/roots.py, or pin another version of certifi."))
    return "".join(f"{found[label]}\n" for label in AMAZON).encode()
