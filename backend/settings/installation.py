"""Settings of one installation, from the environment and a file."""

from __future__ import annotations

import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from backend.settings import notifying
from backend.settings.faults import faults_of
from backend.settings.file import require_readable, settings_file
from backend.settings.image_hosts import PUBLIC, ImageHosts
from backend.settings.option import Option, environment_of
from domain.errors import SettingsError
from domain.text import counted, sayable

Seconds = Annotated[float, Field(gt=0, lt=86_400)]


class Settings(BaseSettings):
    """What one installation runs with. Frozen; every fault is reported at once by ``load``.

    Values come from the environment first, then from the TOML file named by ``NNLOOP_CONFIG``
    (default ``nnloop.toml`` in the working folder, keys in lower case as the fields below).
    """

    # Case matters: many shells and containers set HOST or PORT, which are not meant for nnloop.
    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        populate_by_name=True,
        case_sensitive=True,
    )

    data_dir: Annotated[Path, Option(empty="~/.local/share/nnloop on Linux")] = Field(
        default_factory=lambda: platformdirs.user_data_path("nnloop"),
        validation_alias=AliasChoices("NNLOOP_DATA_DIR", "MODEL_DIR", "data_dir"),
        description="Folder of the store, the cases and the model versions.",
    )
    umask: str = Field(
        "077",
        validation_alias=AliasChoices("NNLOOP_UMASK", "umask"),
        description="What other users may not do with the data folder, in octal: `077` nothing, "
        "`027` its group reads, `007` its group writes, for several users on a shared folder "
        "(docs/securing.md).",
    )
    database_url: str = Field(
        "",
        validation_alias=AliasChoices("NNLOOP_DATABASE_URL", "database_url"),
        repr=False,
        description="SQLAlchemy URL of the store; empty: SQLite in the data folder.",
    )
    redis_url: str = Field(
        "",
        validation_alias=AliasChoices("NNLOOP_REDIS_URL", "REDIS_URL", "redis_url"),
        repr=False,
        description="Redis of the job queue; empty: `nnloop up` starts its own.",
    )
    label_studio_url: str = Field(
        "",
        validation_alias=AliasChoices("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST", "label_studio_url"),
        description="Address of Label Studio as this machine reaches it.",
    )
    label_studio_api_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("LABEL_STUDIO_API_KEY", "label_studio_api_key"),
        description="Legacy token or personal access token of a Label Studio user.",
    )
    host: str = Field(
        "127.0.0.1",
        validation_alias=AliasChoices("NNLOOP_HOST", "host"),
        description="Address the web service listens on.",
    )
    port: int = Field(
        9090,
        ge=0,
        le=65_535,
        validation_alias=AliasChoices("NNLOOP_PORT", "port"),
        description="Port the web service listens on; 0: `nnloop up` takes a free one.",
    )
    public_url: str = Field(
        "",
        validation_alias=AliasChoices("NNLOOP_PUBLIC_URL", "public_url"),
        description="Address of the web service as Label Studio reaches it; empty: host and port.",
    )
    basic_auth_user: str = Field(
        "",
        validation_alias=AliasChoices(
            "BASIC_AUTH_USER", "NNLOOP_BASIC_AUTH_USER", "basic_auth_user"
        ),
        description="User name asked for on every route but /health; empty: `nnloop`.",
    )
    basic_auth_pass: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices(
            "BASIC_AUTH_PASS", "NNLOOP_BASIC_AUTH_PASS", "basic_auth_pass"
        ),
        description="Password; empty: one is made and kept in the data folder.",
    )
    predict_deadline_s: Seconds = Field(
        8.0,
        validation_alias=AliasChoices("NNLOOP_PREDICT_DEADLINE_S", "predict_deadline_s"),
        description="Longest time /predict keeps an annotator waiting, in seconds.",
    )
    image_deadline_s: Seconds = Field(
        60.0,
        validation_alias=AliasChoices("NNLOOP_IMAGE_DEADLINE_S", "image_deadline_s"),
        description="Longest time reading one image may take in all, redirects and retries "
        "included, in seconds.",
    )
    image_hosts: str = Field(
        PUBLIC,
        validation_alias=AliasChoices("NNLOOP_IMAGE_HOSTS", "image_hosts"),
        description="What images are read from besides Label Studio and its storages, with commas "
        "between: `public` (every address of the public internet), a name (`nas.lab`, "
        "`*.example.org`), an address or a network (`10.0.0.7:9000`, `192.168.4.0/24`), `none`.",
    )
    debounce_s: Annotated[float, Field(ge=0, lt=3600)] = Field(
        2.0,
        validation_alias=AliasChoices("NNLOOP_DEBOUNCE_S", "debounce_s"),
        description="Quiet time after a webhook before Label Studio is read, in seconds.",
    )
    sync_interval_s: Seconds = Field(
        60.0,
        validation_alias=AliasChoices("NNLOOP_SYNC_INTERVAL_S", "sync_interval_s"),
        description="Longest time between two readings of a project, in seconds.",
    )
    reread_s: Annotated[float, Field(gt=0, le=30 * 86400)] = Field(
        21_600.0,
        validation_alias=AliasChoices("NNLOOP_REREAD_S", "reread_s"),
        description="Time in which every task is read once more, a few at a time, whether it was "
        "changed or not, in seconds.",
    )
    devices: str = Field(
        "",
        validation_alias=AliasChoices("NNLOOP_DEVICES", "devices"),
        description="Devices to train on, e.g. `cuda:0,cuda:1` or `cpu`; empty: all found.",
    )
    worker_device: Annotated[str, Option(flags="--device")] = Field(
        "cpu",
        pattern=r"^(cpu|mps|cuda:\d+|all)$",
        validation_alias=AliasChoices("NNLOOP_WORKER_DEVICE", "worker_device"),
        description="Device one worker uses: `cpu`, `mps`, `cuda:0`, ...; `all`: one worker for "
        "each fold that the machine's devices can train at once. `nnloop up` sets it for each of "
        "its workers.",
    )
    worker_threads: Annotated[
        int | None, Option(flags="--threads", empty="its share of the cores")
    ] = Field(
        None,
        ge=1,
        le=256,
        validation_alias=AliasChoices("NNLOOP_WORKER_THREADS", "worker_threads"),
        description="CPU threads one worker uses; beside a GPU the processes that make its "
        "patches.",
    )
    training_niceness: int = Field(
        10,
        ge=0,
        le=19,
        validation_alias=AliasChoices("NNLOOP_TRAINING_NICENESS", "training_niceness"),
        description="How far trainings stand back where other programs want the same cores, as "
        "nice counts it: 0 not at all, 19 until nobody else wants them.",
    )
    engine: Literal["auto", "torch", "openvino"] = Field(
        "auto",
        validation_alias=AliasChoices("NNLOOP_ENGINE", "engine"),
        description="What runs the networks of a prediction on a CPU. `auto`: OpenVINO once it is "
        "ready and has shown itself equal to torch on the version, then in bfloat16 where the "
        "processor has it and it has shown itself harmless on held-out cases; `openvino`: the "
        "first prediction waits for it, float32 always; `torch`: never OpenVINO. GPUs always run "
        "torch.",
    )
    predictor_memory_mib: int = Field(
        2048,
        ge=1,
        validation_alias=AliasChoices("NNLOOP_PREDICTOR_MEMORY_MIB", "predictor_memory_mib"),
        description="Memory for the networks of versions kept warm (at most 2), in MiB.",
    )
    image_memory_mib: int = Field(
        512,
        ge=1,
        validation_alias=AliasChoices("NNLOOP_IMAGE_MEMORY_MIB", "image_memory_mib"),
        description="Memory for the probabilities of one image, in MiB. Those of larger images are "
        "worked on in blocks, and what is kept of them lies in a temporary file (TMPDIR); the "
        "predictions are the same.",
    )
    openapi: bool = Field(
        False,
        validation_alias=AliasChoices("NNLOOP_OPENAPI", "openapi"),
        description="Serve an OpenAPI document of the web service at `/openapi.json`, behind its "
        "credentials, for programs that test it.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO",
        validation_alias=AliasChoices("NNLOOP_LOG_LEVEL", "log_level"),
        description="Least severe messages that services log. Other commands log warnings, more "
        "when this is set.",
    )
    log_format: Literal["text", "json"] = Field(
        "text",
        validation_alias=AliasChoices("NNLOOP_LOG_FORMAT", "log_format"),
        description="How services log: `text`, or `json`, one object a line (docs/logging.md).",
    )
    log_mib: Annotated[float, Field(gt=0, le=100_000)] = Field(
        20.0,
        validation_alias=AliasChoices("NNLOOP_LOG_MIB", "log_mib"),
        description="Size at which a log of `nnloop up` is set aside while it is written, in MiB.",
    )
    log_files: int = Field(
        5,
        ge=0,
        le=1000,
        validation_alias=AliasChoices("NNLOOP_LOG_FILES", "log_files"),
        description="How many logs that were set aside are kept of each process.",
    )
    log_days: Annotated[float, Field(gt=0, le=100_000)] = Field(
        30.0,
        validation_alias=AliasChoices("NNLOOP_LOG_DAYS", "log_days"),
        description="Days after its last line until a log that nobody writes any more is deleted, "
        "those of trainings that are over too.",
    )
    notify_command: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("NNLOOP_NOTIFY_COMMAND", "notify_command"),
        description="Command that is told how trainings end, as JSON on its standard input "
        "(docs/notices.md).",
    )
    notify_url: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("NNLOOP_NOTIFY_URL", "notify_url"),
        description="Address that is told how trainings end, by a POST of JSON.",
    )
    notify_on: str = Field(
        "promoted,refused,failed",
        validation_alias=AliasChoices("NNLOOP_NOTIFY_ON", "notify_on"),
        description="What they are told of, with commas between: `promoted`, `refused`, `failed`, "
        "`cancelled`.",
    )

    @field_validator("label_studio_url", "public_url")
    @classmethod
    def _http_url(cls, value: str) -> str:
        if value and (
            urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).netloc
        ):
            # Without a user and password that someone may have put before the host.
            raise ValueError(f"must be an http(s) address, got {value.rpartition('@')[2]!r}")
        return value.rstrip("/")

    @field_validator("umask")
    @classmethod
    def _umask(cls, value: str) -> str:
        if not re.fullmatch(r"0?0[0-7]{2}", value):
            raise ValueError(
                "must be three octal digits that leave its owner everything (077, 027 or 007), "
                f"got {value!r}"
            )
        return value

    @field_validator("image_hosts")
    @classmethod
    def _hosts(cls, value: str) -> str:
        ImageHosts.parse(value)
        return value

    @field_validator("notify_command")
    @classmethod
    def _command(cls, value: SecretStr) -> SecretStr:
        notifying.check_command(value.get_secret_value())
        return value

    @field_validator("notify_url")
    @classmethod
    def _notify_url(cls, value: SecretStr) -> SecretStr:
        notifying.check_url(value.get_secret_value())
        return value

    @field_validator("notify_on")
    @classmethod
    def _events(cls, value: str) -> str:
        notifying.events_of(value)
        return value

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        try:
            return value.expanduser().resolve()
        except RuntimeError as error:  # ~somebody whom the machine does not know
            raise ValueError(sayable(f"{value}: {error}".rstrip("."))) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments over the environment over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, settings_file())

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Reads environment and file; raises SettingsError that lists every fault."""
        file = settings_file()
        require_readable(file)
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            raise SettingsError(
                f"{counted(error.error_count(), 'setting')} can't be used: {faults_of(error)}.",
                remedy="Correct them in the environment or in nnloop.toml (docs/settings.md).",
            ) from None
        except (ValueError, RecursionError) as error:  # TOMLDecodeError, UnicodeDecodeError
            raise SettingsError(f"{file} is no TOML file: {error}.", remedy="Correct it.") from None
        if unknown := cls._unknown_keys(file):
            raise SettingsError(
                f"{file} names what is no setting: {', '.join(unknown)}.",
                remedy="Correct it: it would change nothing (docs/settings.md).",
            )
        return settings

    @classmethod
    def _unknown_keys(cls, file: Path) -> list[str]:
        """Keys of the file that are no setting's, each with the setting that was probably meant."""
        if not file.is_file():
            return []
        known = {
            name
            for field_name, field in cls.model_fields.items()
            for name in (field_name, *environment_of(field))
        }
        return [
            f"{key} ({meant[0]}?)" if (meant := get_close_matches(key.lower(), known, 1)) else key
            for key in tomllib.loads(file.read_text(encoding="utf-8"))
            if key not in known
        ]

    def to_environment(self) -> dict[str, str]:
        """Environment variables that give another process the same settings. Holds secrets."""
        values: dict[str, str] = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            if text and value is not None:
                values[environment_of(field)[0]] = text
        return values

    @property
    def umask_bits(self) -> int:
        """Bits that files in the data folder do not get."""
        return int(self.umask, 8)

    @property
    def notify_events(self) -> tuple[str, ...]:
        """What somebody is told of."""
        return notifying.events_of(self.notify_on)

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store."""
        return self.database_url or f"sqlite:///{self.data_dir / 'nnloop.db'}"

    @property
    def store_kind(self) -> str:
        """The kind of database: sqlite, postgresql."""
        return self.store_url.partition(":")[0].partition("+")[0].lower()

    @property
    def service_url(self) -> str:
        """Address under which Label Studio reaches the web service."""
        return self.public_url or f"http://{self.host}:{self.port}"

    def require_label_studio(self) -> tuple[str, str]:
        """URL and key of Label Studio; SettingsError when one is missing."""
        key = self.label_studio_api_key.get_secret_value()
        missing = [
            name
            for name, value in (
                ("LABEL_STUDIO_URL", self.label_studio_url),
                ("LABEL_STUDIO_API_KEY", key),
            )
            if not value
        ]
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)} not set.",
                remedy="Set them to Label Studio's address and to a token from its Account page.",
            )
        return self.label_studio_url, key
