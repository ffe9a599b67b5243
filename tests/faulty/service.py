"""`python -m tests.faulty.service`: the cloud behind its wire, with the faults that it is told to have.

What people call a cloud's API is below /servers and /capacity; /control is the tests' own way in, and never faulty.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from .cloud import IMAGES, Cloud, Refused, Server
from .faults import Fault, Plan, Storm, Verb

ERRORS = (500, 502, 503, 429)


class Service:
    def __init__(self, seed: int, delay: float, patience: float) -> None:
        self.cloud = Cloud(seed, delay)
        self.plan = Plan(seed)
        self.patience = patience
        """Seconds that clients wait for an answer."""
        self.history: list[dict[str, Any]] = []
        self._late: set[asyncio.Task[None]] = set()
        self._errors = random.Random(seed)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.add_routes(
            [
                web.get("/capacity", self.capacity),
                web.get("/servers", self.read),
                web.post("/servers", self.create),
                web.post("/servers/{reference}/rebuild", self.rebuild),
                web.post("/servers/{reference}/stop", self.stop),
                web.delete("/servers/{reference}", self.delete),
                web.get("/control", self.told),
                web.put("/control", self.control),
                web.get("/control/servers", self.truth),
                web.post("/control/servers", self.bulk),
                web.post("/control/changes", self.changes),
            ]
        )
        return app

    # The cloud's own API.

    async def capacity(self, request: web.Request) -> web.StreamResponse:
        many = {"cores": 100_000, "memory_mb": 400_000_000, "images": IMAGES}
        return await self._answer(request, Verb.CAPACITY, lambda: many)

    async def read(self, request: web.Request) -> web.StreamResponse:
        deployment, instance = request.query["deployment"], request.query.get("instance")
        if instance is None:
            return await self._answer(request, Verb.LIST, lambda: _shown(self.cloud.all(deployment)))
        return await self._answer(request, Verb.FIND, lambda: _shown(self.cloud.of(deployment, instance)))

    async def create(self, request: web.Request) -> web.StreamResponse:
        wanted = await request.json()
        return await self._answer(request, Verb.CREATE, lambda: self.cloud.create(wanted).shown(), wanted["instance"])

    async def rebuild(self, request: web.Request) -> web.StreamResponse:
        wanted = await request.json()
        return await self._change(request, Verb.REBUILD, lambda server: self.cloud.rebuild(server, wanted))

    async def stop(self, request: web.Request) -> web.StreamResponse:
        return await self._change(request, Verb.STOP, self.cloud.stop)

    async def delete(self, request: web.Request) -> web.StreamResponse:
        return await self._change(request, Verb.DELETE, self.cloud.delete)

    async def _change(self, request: web.Request, verb: Verb, effect: Callable[[Server], None]) -> web.StreamResponse:
        server = self.cloud.get(request.match_info["reference"])
        if server is None:
            self.plan.next(verb)
            raise web.HTTPNotFound
        return await self._answer(request, verb, lambda: effect(server), server.instance)

    async def _answer(
        self, request: web.Request, verb: Verb, effect: Callable[[], Any], instance: str = ""
    ) -> web.StreamResponse:
        """`effect` and its answer, or what the plan has made of it."""
        fault = self.plan.next(verb)
        if instance:
            self.history.append({"at": time.time(), "verb": verb, "instance": instance, "fault": fault})
        try:
            return await self._made(request, verb, effect, fault)
        except Refused as refused:
            return web.json_response({"error": str(refused)}, status=400)

    async def _made(
        self, request: web.Request, verb: Verb, effect: Callable[[], Any], fault: Fault | None
    ) -> web.StreamResponse:
        match fault:
            case Fault.BEFORE:
                return self._error()
            case Fault.AFTER:
                effect()
                return self._error()
            case Fault.ABSENT:
                if verb in (Verb.LIST, Verb.FIND):
                    return web.json_response([])
                raise web.HTTPNotFound
            case Fault.PARTIAL:
                return web.json_response([row for n, row in enumerate(effect()) if n % 3])
            case Fault.LOST:
                effect()
                return _broken_off(request)
            case Fault.HANG:
                await asyncio.sleep(3 * self.patience)
                return _broken_off(request)
            case Fault.LATE:
                task = asyncio.create_task(self._later(effect))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
                await asyncio.sleep(3 * self.patience)
                return _broken_off(request)
            case Fault.SLOW:
                await asyncio.sleep(0.7 * self.patience)
            case Fault.TWICE:
                effect()
        return web.json_response(effect())

    async def _later(self, effect: Callable[[], Any]) -> None:
        await asyncio.sleep(self._errors.uniform(1.5, 5) * self.patience)
        effect()

    def _error(self) -> web.Response:
        return web.json_response({"error": "It failed."}, status=self._errors.choice(ERRORS))

    # The tests' way in.

    async def told(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "calls": self.plan.calls,
                "faults": self.plan.faults,
                "late": len(self._late),
                "history": [one for one in self.history if one["instance"] == request.query.get("instance")],
            }
        )

    async def control(self, request: web.Request) -> web.Response:
        """Any of `shares` (of the faults), `storm`, and `reset` to count calls anew."""
        said = await request.json()
        if "shares" in said:
            self.plan.shares = {Fault(name): share for name, share in said["shares"].items()}
        if "storm" in said:
            self.plan.storm = Storm(said["storm"])
        if said.get("reset"):
            self.plan.calls.clear()
            self.plan.faults.clear()
        return web.json_response({})

    async def truth(self, request: web.Request) -> web.Response:
        return web.json_response(_shown(self.cloud.all()))

    async def bulk(self, request: web.Request) -> web.Response:
        return web.json_response([self.cloud.create(wanted).reference for wanted in await request.json()])

    async def changes(self, request: web.Request) -> web.Response:
        for instance, status in (await request.json()).items():
            self.cloud.change(instance, status)
        return web.json_response({})


def _shown(servers: list[Server]) -> list[dict[str, Any]]:
    return [server.shown() for server in servers]


def _broken_off(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()


async def serve(service: Service) -> None:
    """Until its input ends; says where it listens on its first line."""
    runner = web.AppRunner(service.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(json.dumps({"port": runner.addresses[0][1]}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--patience", type=float, default=1.0)
    chosen = parser.parse_args()
    asyncio.run(serve(Service(chosen.seed, chosen.delay, chosen.patience)))
