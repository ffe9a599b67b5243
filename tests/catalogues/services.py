"""ICAT+ and SciCat on real sockets, as far as a catalogue is read from them, and a wire on which a test can lie.

Written from the published contracts: the OpenAPI description of ICAT+ and SciCat's proposals controller. Rows are given
as the services give them; a test changes `rows` between or during reads.
"""

import abc
import json
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

Row = dict[str, Any]
USER, PASSWORD = "portal", "the portal's own secret"


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    announce: int | None = None
    """Content-Length, if it is to lie."""


Fault = Callable[["Service", int, Answer], Answer]
"""Given the service, the number of the page asked for (from 1, counting each request) and the true answer."""


def said(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode())


class Service(abc.ABC):
    """One of the two: what they share. `base` is its address; `sessions` those that hold now."""

    prefix = ""

    def __init__(self, port: int = 0) -> None:
        self.rows: list[Row] = []
        self.sessions: set[str] = set()
        self.logins = 0
        self.pages = 0
        self.asked: list[str] = []
        self.fault: Fault | None = None
        self.over = threading.Event()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                service.asked.append(f"{self.command} {self.path}")
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                bearer = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                path = parts.path.removeprefix(service.prefix)
                answer = service.answer(self.command, path, query, json.loads(body) if body else None, bearer)
                self.send_response(answer.status)
                headers = {"Content-Type": "application/json", **answer.headers}
                headers["Content-Length"] = str(len(answer.body) if answer.announce is None else answer.announce)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)
                if answer.announce is not None:
                    self.close_connection = True

            do_POST = do_DELETE = do_GET  # noqa: N815

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *args: Any) -> None:
                """A client that has given up is what some tests are about."""

        self._server = Server(("127.0.0.1", port), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_address[1]}{self.prefix}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    @abc.abstractmethod
    def answer(self, method: str, path: str, query: dict[str, str], body: Any, bearer: str) -> Answer: ...

    def begin(self) -> str:
        self.logins += 1
        session = secrets.token_hex(16)
        self.sessions.add(session)
        return session

    def page(self, answer: Answer) -> Answer:
        self.pages += 1
        return self.fault(self, self.pages, answer) if self.fault else answer


class IcatPlus(Service):
    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.scientists: list[Row] = []

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, bearer: str) -> Answer:
        if (method, path) == ("POST", "/session"):
            if body != {"plugin": "db", "username": USER, "password": PASSWORD}:
                return said({"message": "invalid credentials"}, 403)
            return said({"sessionId": self.begin(), "username": f"db/{USER}", "lifeTimeMinutes": 120})
        if found := re.fullmatch(r"/session/([^/]+)", path):
            self.sessions.discard(unquote(found[1]))
            return said({})
        found = re.fullmatch(r"/catalogue/([^/]+)/(investigation|instrumentscientist)", path)
        if not found or method != "GET":
            return said({"message": "no such resource"}, 404)
        valid = unquote(found[1]) in self.sessions
        if found[2] == "instrumentscientist":
            return said(self.scientists) if valid else said({"message": "session"}, 403)
        return self.page(self._investigations(query) if valid else said({"message": "session"}, 403))

    def _investigations(self, query: dict[str, str]) -> Answer:
        found = self._chosen(query)
        limit, skip, total = int(query["limit"]), int(query["skip"]), len(found)
        page = {"total": total, "totalPages": -(-total // limit), "currentPage": skip // limit + 1}
        return said([row | {"meta": {"page": page}} for row in found[skip : skip + limit]])

    def _chosen(self, query: dict[str, str]) -> list[Row]:
        if ids := query.get("ids"):
            return [row for row in self.rows if str(row["id"]) in ids.split(",")]
        start, end = query.get("startDate", ""), query.get("endDate", "9999")
        if "startDate" not in query and "endDate" not in query:
            return self.rows
        dated = [row for row in self.rows if row.get("startDate") and row.get("endDate")]
        return [row for row in dated if max(row["startDate"], row["endDate"]) > start and row["startDate"] < end]


class SciCat(Service):
    prefix = "/api/v3"

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, bearer: str) -> Answer:
        if (method, path) == ("POST", "/auth/login"):
            if body != {"username": USER, "password": PASSWORD}:
                return said({"message": "Unauthorized", "statusCode": 401}, 401)
            token = self.begin()
            return said({"access_token": token, "id": token, "expires_in": 3600, "ttl": 3600}, 201)
        if path not in ("/proposals", "/proposals/count") or method != "GET":
            return said({"message": f"Cannot {method} {path}", "error": "Not Found", "statusCode": 404}, 404)
        # Nobody is signed in: only what is published.
        valid = bearer in self.sessions
        if bearer and not valid:
            refusal = said({"message": "Unauthorized", "statusCode": 401}, 401)
            return self.page(refusal) if path == "/proposals" else refusal
        visible = [row for row in self.rows if valid or row.get("isPublished")]
        if path == "/proposals/count":
            return said({"count": len(visible)})
        filters = json.loads(query.get("filters", "{}"))
        visible = [row for row in visible if _fits(row, filters.get("where", {}))]
        limits = filters.get("limits", {})
        name, _, direction = limits.get("order", "_id:asc").partition(":")
        visible.sort(key=lambda row: row[name], reverse=direction == "desc")
        skip = limits.get("skip", 0)
        return self.page(said(visible[skip : skip + limits.get("limit", 100)]))


def _fits(row: Row, where: dict[str, Any]) -> bool:
    """The few of Mongo's conditions that are asked with."""
    if either := where.get("$or"):
        return any(_fits(row, each) for each in either)
    for name, condition in where.items():
        if "$gte" in condition:
            if datetime.fromisoformat(row[name]) < datetime.fromisoformat(condition["$gte"]):
                return False
        elif not set(row[name] if isinstance(row[name], list) else [row[name]]) & set(condition["$in"]):
            return False
    return True
