"""`manage.py worker`: reconciles, watches the clouds, sweeps and sends mail. Any number may run, anywhere."""

import asyncio
import logging
import random
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import sync_to_async
from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections
from procrastinate.contrib.django import app
from procrastinate.contrib.django.django_connector import DjangoConnector

from auth.catalogues.schedule import tick as read_catalogues
from auth.catalogues.useroffice.threads import Consumers
from instances.mail.digest import make_digests
from instances.mail.send import sweep as hand_over_lost_mail
from instances.reconcile.activity import look as look_at_loads
from instances.reconcile.lifetimes import sweep as sweep_lifetimes
from instances.reconcile.metrics import Loops, serve
from instances.reconcile.queue import place
from instances.reconcile.sweep import forget_old_tickets, sweep
from instances.reconcile.watch import Watcher
from instances.services import members, presence, requests, rights
from instances.services.roles import end_expired

log = logging.getLogger(__name__)
MAILS = 2
"""Connections to the mail server at once."""


class Command(BaseCommand):
    help = "Run a worker: it brings instances to where they should be."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", type=int, default=8, help="instances handled at once (default 8)")
        parser.add_argument("--health", type=int, default=0, metavar="PORT", help="answer /health/ready and /metrics")
        parser.add_argument("--health-host", default="127.0.0.1", help="where to answer them (default 127.0.0.1)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["health"]:
            serve(options["health_host"], options["health"], LOOPS)
        asyncio.run(run(options["concurrency"]))


LOOPS = Loops()


async def run(concurrency: int) -> None:
    """Until SIGTERM or SIGINT; steps that are under way are finished."""
    threads = ThreadPoolExecutor(concurrency + MAILS + 4)  # the last are for the loops, which seldom take long
    asyncio.get_running_loop().set_default_executor(threads)
    loops = [
        asyncio.create_task(every(1.0, Watcher().tick)),
        asyncio.create_task(every(1.0, sweep)),
        asyncio.create_task(every(1.0, place)),
        asyncio.create_task(every(1.0, rights.sweep)),
        asyncio.create_task(every(1.0, end_expired)),
        asyncio.create_task(every(1.0, members.end_lapsed)),
        asyncio.create_task(every(2.0, requests.end_waiting)),
        asyncio.create_task(every(2.0, presence.look)),
        asyncio.create_task(every(15.0, look_at_loads)),
        asyncio.create_task(every(30.0, sweep_lifetimes)),
        asyncio.create_task(every(600.0, forget_old_tickets)),
        asyncio.create_task(every(5.0, read_catalogues)),
        asyncio.create_task(every(30.0, hand_over_lost_mail)),
        asyncio.create_task(every(60.0, make_digests)),
    ]
    consumers = Consumers()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    connector = app.connector
    assert isinstance(connector, DjangoConnector)
    worker_app = app.with_connector(connector.get_worker_connector())
    async with worker_app.open_async():
        # A queue each: a mail server that does not answer holds up mails alone.
        workers = [
            asyncio.create_task(
                worker_app.run_worker_async(
                    queues=[queue],
                    concurrency=at_once,
                    wait=True,
                    install_signal_handlers=False,
                    delete_jobs="always",
                    shutdown_graceful_timeout=10,
                    fetch_job_polling_interval=2.0,
                )
            )
            for queue, at_once in (("reconcile", concurrency), ("mail", MAILS))
        ]
        await asyncio.wait({*workers, asyncio.create_task(stopping.wait())}, return_when=asyncio.FIRST_COMPLETED)
        consumers.stop()
        for task in (*workers, *loops):
            task.cancel()
        await asyncio.gather(*workers, *loops, return_exceptions=True)
        consumers.join()


async def every(seconds: float, work: Callable[[], Any]) -> None:
    """`work` again and again, in a thread, a little irregularly so that replicas do not march in step."""
    name = f"{work.__module__}.{work.__qualname__}"  # several are called sweep
    LOOPS.began(name, seconds)
    while True:
        try:
            await sync_to_async(_clean(work), thread_sensitive=False)()
            LOOPS.done(name)
        except Exception:
            log.exception("%s failed; it is tried again", name)
        await asyncio.sleep(seconds * random.uniform(0.8, 1.2))  # noqa: S311


def _clean(work: Callable[[], Any]) -> Callable[[], Any]:
    def with_fresh_connections() -> None:
        close_old_connections()
        try:
            work()
        finally:
            close_old_connections()

    return with_fresh_connections
