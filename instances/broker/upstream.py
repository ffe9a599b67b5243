"""Where an app of an instance is, and the way there."""

import asyncio

from instances.providers.base import Endpoint
from instances.services import clouds

from .database import in_database
from .tickets import Admission

DIAL = 5.0
BUFFER = 1 << 16


async def endpoint_of(admission: Admission) -> Endpoint:
    """Ask the instance's cloud. Raises ProviderError."""
    return await in_database(lambda: clouds.provider_for(admission.cloud).endpoint(admission.key, admission.app))


async def dial(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A byte stream to `endpoint`, that reads ahead at most twice BUFFER bytes. Raises OSError or TimeoutError."""
    async with asyncio.timeout(DIAL):
        if endpoint.path:
            return await asyncio.open_unix_connection(endpoint.path, limit=BUFFER)
        return await asyncio.open_connection(endpoint.host, endpoint.port, limit=BUFFER)
