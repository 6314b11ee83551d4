"""The certificate that the page is served with: a given one, or one that the box makes itself."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edge.appliance.state import make_folder, write_whole
from edge.config_api import Api
from edge.errors import ConfigError

_CERTIFICATE: Final = "api-certificate.pem"
_KEY: Final = "api-key.pem"
_VALID: Final = datetime.timedelta(days=825)
"""Apple's devices trust no longer-lived one, even where a user asks them to."""
_RENEW: Final = datetime.timedelta(days=30)
_BACKDATED: Final = datetime.timedelta(days=1)
"""Boxes boot with a wrong clock."""


def tls_files(settings: Api, folder: Path) -> tuple[Path, Path] | None:
    """Return certificate and key to serve with; None without TLS. folder: the service's state.

    Makes a certificate where the settings say so and there is none that will do. Raises
    ConfigError.
    """
    if settings.tls == "off":
        return None
    if settings.tls == "files":
        assert settings.certificate is not None
        assert settings.key is not None
        files = Path(settings.certificate), Path(settings.key)
    else:
        files = make_folder(folder) / _CERTIFICATE, folder / _KEY
        names = _names(settings)
        if not _will_do(files, names):
            _make(files, names)
    _check(*files)
    return files


def context_of(files: tuple[Path, Path]) -> ssl.SSLContext:
    """Return the server's side of TLS 1.2 and later. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*files)
    return context


def fingerprint(certificate: Path) -> str:
    """Return the SHA-256 of a PEM file's first certificate, as browsers show it."""
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    digest = hashlib.sha256(found.public_bytes(serialization.Encoding.DER)).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def _check(certificate: Path, key: Path) -> None:
    try:
        context_of((certificate, key))
    except (OSError, ssl.SSLError) as error:
        said = error.strerror or type(error).__name__
        raise ConfigError(
            f"certificate {certificate} and key {key} cannot be used: {said}. "
            "Give two PEM files that belong together and that this user may read."
        ) from None


def _names(settings: Api) -> list[str]:
    own = socket.gethostname().lower()
    found = ["localhost", "127.0.0.1", "::1", own, f"{own.partition('.')[0]}.local"]
    found += settings.hosts
    if not ipaddress.ip_address(settings.bind).is_unspecified:
        found.append(settings.bind)
    else:
        found += _own_addresses()
    return list(dict.fromkeys(name for name in found if len(name) <= 253))


def _own_addresses() -> list[str]:
    """Return the address that this machine has in its network. Nothing is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1 (RFC 5737): only a route is looked up
            return [probe.getsockname()[0]]
    except OSError:
        return []


def _will_do(files: tuple[Path, Path], names: Sequence[str]) -> bool:
    try:
        found = x509.load_pem_x509_certificate(files[0].read_bytes())
        stated = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound, UnsupportedAlgorithm):
        return False
    known = {str(one.value) for one in stated}
    lasting = found.not_valid_after_utc - _RENEW > datetime.datetime.now(datetime.UTC)
    return lasting and set(names) <= known and files[1].exists()


def _make(files: tuple[Path, Path], names: Sequence[str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "privaedge")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _VALID - _BACKDATED)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    try:
        write_whole(files[1], private)
        write_whole(files[0], certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    except OSError as error:
        raise ConfigError(
            f"the certificate cannot be written to {files[0].parent}: {error.strerror}. "
            "Free some space."
        ) from None


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
