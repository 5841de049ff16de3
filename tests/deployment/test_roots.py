"""The root certificates in a package."""

from __future__ import annotations

import re
import ssl
import time
from pathlib import Path

import certifi
import pytest
from botocore.exceptions import SSLError
from OpenSSL.crypto import FILETYPE_PEM, X509Store, X509StoreContext, load_certificate

from chalicelib import aws
from chalicelib.deadline import Deadline
from deploy import roots
from deploy.stage import Stop


def test_the_five_roots_are_present_and_valid_for_another_year() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=roots.amazon().decode())
    certificates = context.get_ca_certs()
    subjects = [dict(part[0] for part in one["subject"]) for one in certificates]  # type: ignore[misc]
    assert {subject["commonName"] for subject in subjects} == {*roots.AMAZON}
    for certificate in certificates:
        assert ssl.cert_time_to_seconds(str(certificate["notAfter"])) > time.time() + 365 * 86_400


def test_a_bundle_without_one_of_them_stops_the_packaging() -> None:
    label = roots.AMAZON[-1]
    text = Path(certifi.where()).read_text(encoding="ascii")
    with pytest.raises(Stop, match=label):
        roots.amazon(text.replace(f'# Label: "{label}"', '# Label: "Another"'))


def test_openssl_finds_every_root_in_the_folder(tmp_path: Path) -> None:
    for name, root in roots.folder():
        (tmp_path / name).write_bytes(root)
    store = X509Store()
    store.load_locations(None, str(tmp_path))
    certificates = re.findall(r"-----BEGIN[^#]+", Path(certifi.where()).read_text(encoding="ascii"))
    assert len(certificates) == len([*tmp_path.iterdir()]) > 100
    for certificate in certificates:
        X509StoreContext(store, load_certificate(FILETYPE_PEM, certificate.encode())).verify_certificate()


@pytest.mark.parametrize("override", ["", "/another.pem"])
def test_aws_clients_use_the_packaged_roots_unless_aws_ca_bundle_is_set(
    override: str, settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "amazon.pem"
    packaged.write_bytes(roots.amazon())
    monkeypatch.setattr(aws, "ROOTS", packaged)
    monkeypatch.setenv("AWS_CA_BUNDLE", override)
    verify = aws.Clients().get("dynamodb")._endpoint.http_session._verify
    assert verify == (override or str(packaged))

    def fail() -> None:
        raise SSLError(endpoint_url="https://dynamodb.eu-west-1.amazonaws.com", error=OSError("unknown CA"))

    with pytest.raises(aws.CallFailed, match=f"SSLError {Path(verify).name}"):
        aws.call(fail, Deadline(), pauses=())
