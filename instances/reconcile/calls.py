"""Every call to a cloud goes through here: counted, timed, and told to the cloud's circuit breaker."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Histogram

from instances.errors import ProviderError
from instances.models import Cloud

from . import guard

log = logging.getLogger(__name__)
CALLS = Counter("visa_provider_calls", "Calls to clouds.", ["cloud", "call", "outcome"])
SECONDS = Histogram("visa_provider_call_seconds", "How long clouds take to answer.", ["cloud", "call"])


@contextmanager
def call(cloud: Cloud, name: str, *, breaks: bool = True) -> Iterator[None]:
    """Whatever goes wrong inside comes out as a ProviderError. `breaks`: it counts for the circuit breaker."""
    began = time.monotonic()
    try:
        yield
    except ProviderError as error:
        _failed(cloud, name, error, breaks)
        raise
    except OSError as error:
        found = ProviderError("Its cloud does not answer.", retry=True)
        log.warning("cloud %s, %s: %s", cloud.name, name, error)
        _failed(cloud, name, found, breaks)
        raise found from error
    except Exception as error:
        log.exception("cloud %s, %s", cloud.name, name)
        found = ProviderError("Its cloud answered in a way that the portal does not understand.", retry=True)
        _failed(cloud, name, found, breaks)
        raise found from error
    else:
        CALLS.labels(cloud.name, name, "ok").inc()
        if breaks:
            guard.answered(cloud)
    finally:
        SECONDS.labels(cloud.name, name).observe(time.monotonic() - began)


def _failed(cloud: Cloud, name: str, error: ProviderError, breaks: bool) -> None:
    CALLS.labels(cloud.name, name, "temporary" if error.retry else "refused").inc()
    if breaks:
        guard.failed(cloud, error)
