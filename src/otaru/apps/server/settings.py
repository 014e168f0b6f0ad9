"""What an operator decides: `otaru.toml`, then environment variables `OTARU_…`, then flags; later ones win."""

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from otaru.adapters.notify.smtp import server
from otaru.domain.alert import checked
from otaru.errors import InvalidInputError

MAX_MIRRORS = 8
_MIRROR = re.compile(r"https?://[^\s{}]+(?:\{sha256:2\}[^\s{}]*)?\{sha256\}[^\s{}]*")
_KEY = "^((pkcs11|awskms):.{1,1000})?$"


class Settings(BaseSettings):
    """The server's settings. docs/configuration.md describes each; a test compares."""

    model_config = SettingsConfigDict(env_prefix="OTARU_", extra="forbid", frozen=True)
    toml: ClassVar[Path | None] = None

    data: Path = Field(Path("otaru-data"), description="The data folder: database, artifacts, admin socket.")
    listen: str = Field("127.0.0.1:8080", description="HOST:PORT to listen on; port 0 takes a free one.")
    database: str = Field("", description="`sqlite:///PATH` or `postgresql://…`. Default: DATA/otaru.db.")
    blobs: str = Field("", description="`file:///PATH`: where artifacts are kept. Default: DATA/artifacts.")
    public_url: str = Field(
        "", description="The address under which devices reach the server. Default: the request's own."
    )
    tls_cert: Path | None = Field(None, description="Certificate chain (PEM). With it, only HTTPS is served.")
    tls_key: Path | None = Field(None, description="Private key (PEM) of `tls_cert`.")
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Addresses or networks whose X-Forwarded-For and -Proto are believed."
    )
    client_ca: Path | None = Field(
        None,
        description="Certificates (PEM) of authorities that may speak for every device, whom their certificates' subjects name.",
    )
    device_listen: str = Field(
        "", description="HOST:PORT of a second listener, for devices that show a client certificate (mutual TLS)."
    )
    client_cert_header: str = Field(
        "",
        pattern="^[A-Za-z0-9-]{0,64}$",
        description="Header in which `trusted_proxies` hand on the client's certificate, such as Client-Cert (RFC 9440).",
    )
    x_accel: str = Field(
        "", description="Prefix of an internal nginx location that serves DATA/artifacts (X-Accel-Redirect)."
    )
    mirrors: tuple[str, ...] = Field(
        (), description="Addresses of mirrors with `{sha256}` in them, which devices of the native road try first."
    )
    poll_interval_s: int = Field(
        300, ge=1, le=86_399, description="What devices of a new tenant are told to wait between polls."
    )
    events_retention_days: int = Field(365, ge=1, le=36_500, description="How long the record of events is kept.")
    online_key: str = Field(
        "",
        pattern=_KEY,
        description="Where the key lies that signs snapshot and timestamp: `pkcs11:…` or `awskms:…`, with `{tenant}` in it.",
    )
    director_key: str = Field(
        "", pattern=_KEY, description="The same of the key that the director's signer signs with."
    )
    production: bool = Field(False, description="Refuse development keys: releases are signed by keys of your own.")
    smtp: str = Field(
        "",
        description="The mail server for [alerts](diagnostics.md#alerts): `smtp://HOST`, `smtp+tls://USER:SECRET@HOST:587`, `smtps://…`.",
    )
    mail_from: str = Field("", description="Whom its mails are from; needed with `smtp`.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="What is logged, to stderr.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags before environment before file."""
        del dotenv_settings, file_secret_settings
        file = (TomlConfigSettingsSource(settings_cls, toml_file=cls.toml),) if cls.toml is not None else ()
        return (init_settings, env_settings, *file)

    @field_validator("listen", "device_listen")
    @classmethod
    def _listen(cls, value: str, info: ValidationInfo) -> str:
        if not value and info.field_name == "device_listen":
            return value
        host, colon, port = value.rpartition(":")
        if not colon or not host or not port.isdigit() or int(port) > 65_535:
            raise ValueError("HOST:PORT, for example 127.0.0.1:8080")
        return value

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("begins with http:// or https://")
        return value.rstrip("/")

    @field_validator("smtp")
    @classmethod
    def _smtp(cls, value: str) -> str:
        try:
            if value:
                server(value)
        except InvalidInputError as error:
            raise ValueError(f"{error.message}: {error.hint}") from None
        return value

    @field_validator("mirrors")
    @classmethod
    def _mirrors(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > MAX_MIRRORS:
            raise ValueError(f"at most {MAX_MIRRORS} mirrors")
        for address in value:
            if not (address.isascii() and len(address) <= 1024 and _MIRROR.fullmatch(address)):
                raise ValueError("each begins with http:// or https:// and holds {sha256}, or {sha256:2} and {sha256}")
        return value

    @field_validator("trusted_proxies", "mirrors", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network, strict=False)
        return value

    @field_validator("database")
    @classmethod
    def _database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite:///", "postgresql://")):
            raise ValueError("begins with sqlite:/// or postgresql://")
        return value

    @field_validator("blobs")
    @classmethod
    def _blobs(cls, value: str) -> str:
        if value and not value.startswith("file:///"):
            raise ValueError("begins with file:///")
        return value

    @field_validator("x_accel")
    @classmethod
    def _x_accel(cls, value: str) -> str:
        if value and not (value.startswith("/") and value.endswith("/")):
            raise ValueError("begins and ends with a slash, for example /_otaru/")
        return value

    @model_validator(mode="after")
    def _tls_pair(self) -> "Settings":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        return self

    @model_validator(mode="after")
    def _mail(self) -> "Settings":
        if self.smtp:
            try:
                checked(1, 0, [self.mail_from])
            except InvalidInputError:
                raise ValueError("smtp needs mail_from: otaru@example.org") from None
        return self

    @model_validator(mode="after")
    def _client_certificates(self) -> "Settings":
        if self.device_listen and self.tls_cert is None:
            raise ValueError("device_listen needs tls_cert and tls_key")
        if self.client_cert_header and not self.trusted_proxies:
            raise ValueError("client_cert_header needs trusted_proxies")
        if self.client_ca is not None and not (self.device_listen or self.client_cert_header):
            raise ValueError("client_ca needs device_listen, or client_cert_header where a proxy ends TLS")
        return self

    @property
    def database_url(self) -> str:
        """Where the truth is."""
        return self.database or f"sqlite:///{self.data.absolute() / 'otaru.db'}"

    @property
    def artifacts(self) -> Path:
        """Where the bytes are."""
        return Path(self.blobs.removeprefix("file://")) if self.blobs else self.data / "artifacts"

    @property
    def admin_socket(self) -> Path:
        """Where the CLI of the same user finds the running server."""
        return self.data / "admin.sock"


def load(config: Path | None = None, **flags: Any) -> Settings:
    """Read the settings; flags that are None are left out.

    Without `config`, `otaru.toml` in the working folder is read where there is one.

    Raises:
        InvalidInputError: it names the setting, and what it should be.
    """
    default = Path("otaru.toml")
    if config is not None and not config.is_file():
        raise InvalidInputError(f"there is no configuration file {config}")
    path = config or (default if default.is_file() else None)
    source = type("Settings", (Settings,), {"toml": path, "__module__": __name__})
    try:
        settings: Settings = source(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "settings"
        if first["type"] == "extra_forbidden":  # flags and the environment bring none but ours
            raise InvalidInputError(f"{path}: unknown setting {name}") from None
        raise InvalidInputError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None
    except ValueError as error:  # a TOML file that is none
        raise InvalidInputError(f"{path}: {error}") from None
    return settings
