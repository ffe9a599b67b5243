"""A RabbitMQ of our own: a private node on loopback, and a wire to it that a test can cut.

Debian's package `rabbitmq-server`; neither its service nor its files outside the test's folder are touched.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pika
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pika.adapters.blocking_connection import BlockingConnection

BIN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
USER, PASSWORD = "guest", "guest"
"""RabbitMQ's own, which it lets in from this machine only."""
BASIC_ACK = (60).to_bytes(2, "big") + (80).to_bytes(2, "big")


class Rabbit:
    """`port` is where AMQP is spoken. What is durable outlives `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port, self.tls_port, self._dist, self._names = (free_port() for _ in range(4))
        self.ca = folder / "ca.pem"
        """Who vouches for `tls_port`."""
        self._epmd: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self._folder / "home").mkdir(parents=True)
        (self._folder / "nothing").touch()
        (self._folder / "plugins").write_text("[].\n")
        certify(self.ca, self._folder / "key.pem")
        settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "listeners.ssl.1": f"127.0.0.1:{self.tls_port}",
            "ssl_options.cacertfile": self.ca,
            "ssl_options.certfile": self.ca,
            "ssl_options.keyfile": self._folder / "key.pem",
            "log.file": "false",
            "log.console": "true",
        }
        (self._folder / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        # Started here, or the node would start one that outlives it and listens everywhere.
        epmd = ["epmd", "-address", "127.0.0.1", "-port", str(self._names)]
        self._epmd = subprocess.Popen(epmd, env=self._environment())
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        if self._epmd:
            self._epmd.terminate()
            self._epmd.wait(10)

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._node = subprocess.Popen(
                [str(BIN)],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert self._node.poll() is None, (self._folder / "log").read_text()[-2000:]
            assert time.monotonic() < deadline, "RabbitMQ does not answer"
            time.sleep(0.1)

    def kill(self) -> None:
        """At once, as by a power cut."""
        if self._node:
            os.killpg(self._node.pid, signal.SIGKILL)
            self._node.wait(10)
            self._node = None
            # Erlang's port helpers are in sessions of their own and go when their node is gone.

    def connect(self) -> BlockingConnection:
        credentials = pika.PlainCredentials(USER, PASSWORD)
        return BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port, credentials=credentials))

    def control(self, *arguments: str) -> None:
        """`rabbitmqctl`, towards this node."""
        subprocess.run(
            [str(BIN.with_name("rabbitmqctl")), "--quiet", *arguments],
            env=self._environment(),
            check=True,
            timeout=60,
            capture_output=True,
        )

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(folder / "home"),
            "ERL_CRASH_DUMP": str(folder / "erl_crash.dump"),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._names),
            "RABBITMQ_NODENAME": f"visa-{os.getpid()}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CONF_ENV_FILE": str(folder / "nothing"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_LOGS": "-",
        }


class Publisher:
    """As User Office does it: fanout, persistent, `type` and a timestamp in milliseconds, routing key empty."""

    def __init__(self, rabbit: Rabbit, exchange: str) -> None:
        self._exchange = exchange
        self.connection = rabbit.connect()
        self.reopen()

    def __call__(
        self, event: str, message: Any, *, at: int | None = None, raw: bytes | None = None, **more: Any
    ) -> int:
        """The timestamp that it was given."""
        stamp = int(time.time() * 1000) if at is None else at
        properties = pika.BasicProperties(type=event, delivery_mode=2, timestamp=stamp or None, **more)
        body = json.dumps(message).encode() if raw is None else raw
        self._channel.basic_publish(self._exchange, "", body, properties)
        return stamp

    def reopen(self) -> None:
        """The broker closes a channel that asked for something that is not there."""
        self._channel = self.connection.channel()
        self._channel.exchange_declare(self._exchange, "fanout", durable=True)
        self._channel.confirm_delivery()

    def waiting(self, queue: str) -> int:
        count: int = self._channel.queue_declare(queue, passive=True).method.message_count
        return count

    def listeners(self, queue: str) -> int:
        """Consumers come last: once there is one, the queue is bound too."""
        count: int = self._channel.queue_declare(queue, passive=True).method.consumer_count
        return count


class Cutter:
    """A wire to the broker that is cut, once, instead of carrying a client's first acknowledgement."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.cuts = 0
        self.armed = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client, server, self._is_ack), daemon=True).start()
            threading.Thread(target=self._carry, args=(server, client, lambda data: False), daemon=True).start()

    def _is_ack(self, data: bytes) -> bool:
        # A method frame: type 1, channel, size 13, class and method, delivery tag, multiple, end.
        return self.armed and data[:1] == b"\x01" and data[7:11] == BASIC_ACK

    def _carry(self, source: socket.socket, target: socket.socket, cuts: Callable[[bytes], bool]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if cuts(data):
                    self.armed = False
                    self.cuts += 1
                    break
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def certify(certificate: Path, key: Path) -> None:
    """Signed by itself, for localhost, for a day."""
    private, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    certificate.write_bytes(signed.public_bytes(encoding))
    key.write_bytes(private.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
