"""The only door to openstacksdk: credentials, calls, pages, and errors as ProviderError."""

import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import openstack
from keystoneauth1.exceptions import ClientException, Unauthorized
from openstack.config import OpenStackConfig
from openstack.exceptions import ConfigException, SDKException
from requests import Response

from instances.errors import ProviderError

from . import statuses
from .configuration import Configuration

MICROVERSIONS = {"compute": "2.79", "placement": "1.29"}
"""Train (2019) and later. 2.79 tells flavours, tags and faults in one list, and of cells that do not answer."""
TIMEOUT = 60.0


class Missing(ProviderError):
    """The cloud says that there is no such thing: 404."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, retry=False)


class Busy(ProviderError):
    """409: what was asked does not go together with what is going on."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, retry=True)


class Door:
    """One project in one region of one cloud. Threads may share it."""

    def __init__(self, configuration: Configuration, cloud: str | None = None) -> None:
        self._configuration = configuration
        self._cloud = configuration.cloud if cloud is None else cloud
        self._made: openstack.connection.Connection | None = None
        self._lock = threading.Lock()
        self.offset = 0.0
        """Seconds that nova's clock is ahead of ours, as of its last answer."""
        self.said_at: datetime | None = None
        """Nova's own time of its last answer."""

    def get(self, service: str, path: str, **parameters: Any) -> dict[str, Any]:
        return self._call(service, "GET", path, params=parameters)

    def post(self, service: str, path: str, body: Mapping[str, Any], microversion: str = "") -> dict[str, Any]:
        return self._call(service, "POST", path, json=body, microversion=microversion)

    def delete(self, service: str, path: str) -> None:
        self._call(service, "DELETE", path)

    def pages(self, service: str, path: str, key: str, **parameters: Any) -> Iterator[list[dict[str, Any]]]:
        """All pages, each a list. Nova's and glance's first page is asked for without a limit unless one is given."""
        while True:
            answer = self.get(service, path, **parameters)
            page: list[dict[str, Any]] = answer[key]
            yield page
            if not page or not (answer.get(f"{key}_links") or answer.get("next")):
                return
            parameters |= {"marker": page[-1]["id"]}

    def project(self) -> str:
        return str(self._guarded(lambda: self._connection().current_project_id))

    def has(self, service: str) -> bool:
        """Whether the cloud's catalogue lists it."""
        return bool(self._guarded(lambda: self._connection().has_service(service)))

    def _call(self, service: str, method: str, path: str, microversion: str = "", **more: Any) -> dict[str, Any]:
        version = microversion or MICROVERSIONS.get(service)
        response: Response = self._guarded(
            lambda: getattr(self._connection(), service).request(path, method, microversion=version, **more)
        )
        if service == "compute" and (date := response.headers.get("Date")):
            self.said_at = parsedate_to_datetime(date)
            self.offset = (self.said_at - datetime.now(UTC)).total_seconds()
        if response.ok:
            return response.json() if response.content else {}
        raise _error(service, response)

    def _guarded(self, ask: Any) -> Any:
        try:
            return ask()
        except Unauthorized as error:
            raise ProviderError(f"The cloud refuses the portal's credentials: {_line(error)}", retry=True) from error
        except ConfigException as error:
            raise ProviderError(f"The portal has no credentials for the cloud: {_line(error)}", retry=True) from error
        except (ClientException, SDKException, OSError) as error:
            raise ProviderError(f"The cloud does not answer: {_line(error)}", retry=True) from error

    def _connection(self) -> openstack.connection.Connection:
        with self._lock:
            if self._made is None:
                connection = openstack.connection.Connection(config=self._region(), app_name="visa")
                # The proxies are made at first use, which two threads must not do at once.
                for service in ("compute", "image", "network", "placement"):
                    getattr(connection, service)
                self._made = connection
            return self._made

    def _region(self) -> Any:
        chosen: dict[str, Any] = {"api_timeout": TIMEOUT}
        if self._configuration.region:
            chosen["region_name"] = self._configuration.region
        if self._cloud:
            files = [self._configuration.clouds_file] if self._configuration.clouds_file else None
            return OpenStackConfig(config_files=files, load_envvars=files is None).get_one(self._cloud, **chosen)
        prefix = self._configuration.environment
        names = ("auth_url", "application_credential_id", "application_credential_secret")
        auth = {name: os.environ.get(f"{prefix}{name.upper()}", "") for name in names}
        if lacking := [f"{prefix}{name.upper()}" for name, value in auth.items() if not value]:
            raise ConfigException(f"{', '.join(lacking)} is not set")
        chosen.setdefault("region_name", os.environ.get(f"{prefix}REGION_NAME"))
        config = OpenStackConfig(load_yaml_config=False, load_envvars=False)
        return config.get_one(auth_type="v3applicationcredential", auth=auth, **chosen)


def _error(service: str, response: Response) -> Exception:
    text = _text(response)
    if response.status_code == 404:
        return Missing(text)
    if response.status_code == 403:
        return ProviderError(statuses.refusal(text), retry=False)
    if response.status_code == 409:
        return Busy(f"The cloud is busy with it: {text}")
    if response.status_code == 401:
        return ProviderError(f"The cloud refuses the portal's credentials: {text}", retry=True)
    if response.status_code in (408, 413, 429) or response.status_code >= 500:
        return ProviderError(f"The cloud ({service}) failed: {response.status_code} {text}", retry=True)
    return ProviderError(f"The cloud ({service}) refused: {text}", retry=False)


def _text(response: Response) -> str:
    """The message inside whatever shape the service wraps it in."""
    try:
        answer = response.json()
    except ValueError:
        return response.reason or ""
    inner = next(iter(answer.values()), "") if isinstance(answer, dict) else answer
    if isinstance(inner, list):
        inner = inner[0] if inner else ""
    if isinstance(inner, dict):
        inner = inner.get("message") or inner.get("detail") or inner
    return " ".join(str(inner).split())[:400]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
