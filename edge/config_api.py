"""Settings of the operator's side: the API with its page, and the record of what was done.

They hold for a whole service, not for one stream: `api:` and `audit:` stand beside `streams:` in
the service's file.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from edge.config_types import Section

DEFAULT_PORT: Final = 8484
_HOST: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9-]{1,63})*")

Hosts = Annotated[
    tuple[str, ...],
    Field(max_length=32),
    BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
    WithJsonSchema({"type": "array", "items": {"type": "string", "pattern": _HOST.pattern}}),
]


class Api(Section):
    """The operator's page and the API that it uses. Every request needs the token."""

    enabled: bool = Field(
        default=False,
        description="Serve the page and the API. Needs pip install 'privaedge[api]'.",
    )
    bind: str = Field(
        default="127.0.0.1",
        description="IP address that is listened on. 127.0.0.1: from this machine only. 0.0.0.0: "
        "from the network too, which needs api.tls.",
    )
    port: int = Field(
        default=DEFAULT_PORT, ge=0, le=65535, description="TCP port; 0 takes a free one."
    )
    tls: Literal["off", "self-signed", "files"] = Field(
        default="off",
        description="off: plain HTTP. self-signed: a certificate that is made at the first start, "
        "whose fingerprint the log tells. files: api.certificate and api.key.",
    )
    certificate: str | None = Field(
        default=None, min_length=1, description="PEM file with the certificate and its chain."
    )
    key: str | None = Field(
        default=None, min_length=1, description="PEM file with the certificate's private key."
    )
    allow_plain: bool = Field(
        default=False,
        description="Serve a network without TLS all the same: where something else encrypts.",
    )
    hosts: Hosts = Field(
        default=(),
        description="Names that the box is reached by, in small letters. Requests for other names "
        "are refused; IP addresses, localhost and this machine's own name always count.",
    )
    session_hours: float = Field(
        default=12.0, gt=0, le=720, description="Hours after which the page asks for the token."
    )
    open_health: bool = Field(
        default=False,
        description="Let /health/live and /health/ready answer without the token, with nothing "
        "but a status code: for orchestrators that cannot send one.",
    )
    preview: bool = Field(
        default=True, description="Show the outgoing picture, redacted, on the page."
    )
    jobs: bool = Field(
        default=True,
        description="Take files to redact. An upload lies on the disk until it is done.",
    )
    upload_mb: int = Field(
        default=512, ge=1, le=65536, description="Megabytes that an uploaded file may have."
    )
    upload_minutes: float = Field(
        default=30.0, gt=0, le=1440, description="Minutes that an uploaded file may last."
    )

    @field_validator("bind")
    @classmethod
    def _is_address(cls, value: str) -> str:
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError("it must be an IP address, such as 127.0.0.1 or 0.0.0.0") from None

    @field_validator("hosts")
    @classmethod
    def _are_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_HOST.fullmatch(name) for name in value):
            raise ValueError("it must list host names in small letters, without port")
        return value

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine reaches it."""
        return ipaddress.ip_address(self.bind).is_loopback

    @model_validator(mode="after")
    def _network_needs_tls(self) -> Api:
        if self.enabled and not self.is_local and self.tls == "off" and not self.allow_plain:
            raise ValueError(
                f"api.bind ({self.bind}) is open to a network and api.tls is off, so the token "
                "could be read on its way. Set api.tls to self-signed or files, bind to 127.0.0.1, "
                "or set api.allow_plain to true."
            )
        return self

    @model_validator(mode="after")
    def _files_are_named(self) -> Api:
        if (self.tls == "files") != (self.certificate is not None and self.key is not None):
            raise ValueError(
                "api.tls: files and the two files api.certificate and api.key go together. "
                "State all three, or none of them."
            )
        return self


class Audit(Section):
    """The signed record of what was done. It never holds what was seen."""

    enabled: bool = Field(default=True, description="Keep the record.")
    segment_mb: float = Field(
        default=4.0, ge=0.001, le=1024, description="Megabytes after which a new file is begun."
    )
    keep: int = Field(
        default=64,
        ge=2,
        le=100_000,
        description="Files that are kept. The oldest are deleted, which the record says.",
    )
