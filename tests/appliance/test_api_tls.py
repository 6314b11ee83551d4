"""The certificate that the page is served with."""

from __future__ import annotations

import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from edge.appliance.api_tls import context_of, fingerprint, tls_files
from edge.config_api import Api
from edge.errors import ConfigError
from tests.appliance.box import boxed

SELF_SIGNED = Api(enabled=True, tls="self-signed", hosts=("box.example",))


def test_plain_http_has_no_files(tmp_path: Path) -> None:
    assert tls_files(Api(), tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_a_certificate_is_made_once_and_for_all_names(tmp_path: Path) -> None:
    files = tls_files(SELF_SIGNED, tmp_path)
    assert files is not None
    certificate, key = files
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    texts = {str(one.value) for one in names}
    assert {"localhost", "127.0.0.1", "::1", "box.example", socket.gethostname().lower()} <= texts
    days = found.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=800) < days < timedelta(days=826)
    before = certificate.read_bytes()
    tls_files(SELF_SIGNED, tmp_path)
    assert certificate.read_bytes() == before
    assert len(fingerprint(certificate)) == 95
    # Another name, another certificate.
    tls_files(SELF_SIGNED.model_copy(update={"hosts": ("other.example",)}), tmp_path)
    assert certificate.read_bytes() != before


def test_one_that_was_damaged_is_made_anew(tmp_path: Path) -> None:
    files = tls_files(SELF_SIGNED, tmp_path)
    assert files is not None
    for damage in (b"", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"):
        files[0].write_bytes(damage)
        tls_files(SELF_SIGNED, tmp_path)
        assert files[0].read_bytes() != damage


def test_given_files_that_do_not_do_are_refused(tmp_path: Path) -> None:
    made = tls_files(SELF_SIGNED, tmp_path)
    assert made is not None
    other = tls_files(SELF_SIGNED, tmp_path / "other")
    assert other is not None

    def given(certificate: Path, key: Path) -> Api:
        return Api(enabled=True, tls="files", certificate=str(certificate), key=str(key))

    assert tls_files(given(*made), tmp_path) == made
    for certificate, key in ((made[0], other[1]), (made[1], made[0]), (tmp_path / "no", made[1])):
        with pytest.raises(ConfigError, match="belong together"):
            tls_files(given(certificate, key), tmp_path)


def test_a_service_with_tls(tmp_path: Path, clip: Path, blind_model: Path) -> None:
    pytest.importorskip("fastapi", reason="the API's packages are not installed: privaedge[api]")
    with boxed(tmp_path, clip, blind_model, api=", tls: self-signed") as box:
        assert box.url.startswith("https://")
        told = box.ask("GET", "/api/v1/status")
        assert told.status == 200
        assert "strict-transport-security" in told.headers
        login = box.ask("POST", "/api/v1/login", {"token": box.token}, token=False)
        cookie = login.headers["set-cookie"]
        assert cookie.startswith("__Host-privaedge_session=")
        assert "secure" in cookie.lower()
        print_ = fingerprint(box.state / "api-certificate.pem")
        assert print_.replace(":", "") in box.says().replace(":", "")
        plain = box.raw(f"GET / HTTP/1.1\r\nHost: {box.netloc}\r\n\r\n".encode(), wait_s=2)
        assert b"200" not in plain
    files = box.state / "api-certificate.pem", box.state / "api-key.pem"
    assert context_of(files).minimum_version >= ssl.TLSVersion.TLSv1_2


def test_no_answer_waits_for_the_client_s_acknowledgement() -> None:
    """asyncio switches Nagle's algorithm off only on sockets that say that they are TCP's."""
    pytest.importorskip("uvicorn", reason="the API's packages are not installed: privaedge[api]")
    from edge.appliance.api_server import _listen

    for bind in ("127.0.0.1", "::1"):
        try:
            listening = _listen(Api(enabled=True, bind=bind, port=0))
        except ConfigError:
            assert bind == "::1", "there is no IPv6 here"
            continue
        with listening:
            assert listening.proto == socket.IPPROTO_TCP
