"""The command line of the service: models, where it listens, its tokens and its limits."""

import ipaddress
import logging
import os
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from jensen.experiments.deployment.rooms import room
from jensen.experiments.run import files
from jensen.experiments.run.cluster import check_address, check_installed
from jensen.experiments.run.errors import InputError, reason, shown
from jensen.experiments.service import stopping
from jensen.experiments.service.administration import MOST
from jensen.experiments.service.application import Service
from jensen.experiments.service.engines import Engine
from jensen.experiments.service.engines.processes import Processes
from jensen.experiments.service.engines.replicas import Replicas
from jensen.experiments.service.engines.threads import Threads
from jensen.experiments.service.exports import exported
from jensen.experiments.service.models import Models, Version
from jensen.experiments.service.observed import Log, Metrics, Records
from jensen.experiments.service.server import Server
from jensen.experiments.service.settings import Limits

NAME = "model"


@dataclass(frozen=True)
class Settings:
    """Answer requests over HTTP with the functions of exports; a run's folder is exported first."""

    models: Annotated[tuple[str, ...], tyro.conf.Positional]
    """FOLDER, NAME=FOLDER or NAME@VERSION=FOLDER, of experiments.export or of a run; the first is called model."""
    host: str = "127.0.0.1"
    """Address to listen on; one that other machines reach takes a token."""
    port: int = 8000
    """0 takes a free one, which the log says."""
    token_file: Path | None = None
    """File with a token for each client, a line each; requests bring one, as `authorization: Bearer TOKEN`."""
    engine: Literal["thread", "process", "ray"] = "thread"
    """Where batches are computed: in this process, or in others, which are replaced when they end or hang."""
    workers: int = 2
    """Processes that compute, of --engine process or ray."""
    address: str | None = None
    """Cluster of Ray that this machine is of, HOST:PORT or auto, of --engine ray; one of its own unless given."""
    threads: int = 1
    """torch's threads in a batch."""
    drain: float = 10.0
    """Seconds that requests under way have after SIGTERM."""
    limits: Annotated[Limits, tyro.conf.arg(name="")] = Limits()  # noqa: RUF009, for it is frozen

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        self.limits.check()
        if not self.models:
            raise InputError("expected a folder to serve, got none: pass one of experiments.export, or a run's")
        if not 0 <= self.port < 2**16:
            raise InputError(f"expected --port from 0 to 65535, got {self.port}: leave it out for 8000")
        if not 1 <= self.threads <= 1024:
            raise InputError(f"expected --threads from 1 to 1024, got {self.threads}: leave it out for 1")
        if not 1 <= self.workers <= 1024:
            raise InputError(f"expected --workers from 1 to 1024, got {self.workers}: leave it out for 2")
        if self.address is not None and self.engine != "ray":
            raise InputError("--address is of a cluster of Ray: pass --engine ray too, or leave it out")
        if self.address is not None:
            check_address(self.address)
        if self.engine == "ray":
            check_installed("--engine ray")
        if not 0 < self.drain < 2**20:
            raise InputError(f"expected --drain above 0, got {self.drain}: leave it out for 10")
        if self.token_file is None and not _loopback(self.host):
            raise InputError(f"{shown(self.host)} is reached by other machines: pass --token-file, or leave --host out")

    @property
    def folders(self) -> dict[Version, Path]:
        """By name and version. InputError for a name that is no part of a path, or is given twice."""
        found: dict[Version, Path] = {}
        for i, each in enumerate(self.models):
            named, equals, folder = each.partition("=")
            if not equals:
                named, folder = NAME if i == 0 else Path(each).name, each
            name, at, number = named.partition("@")
            if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or not name.isascii():
                raise InputError(f"expected NAME=FOLDER of letters and digits, got {shown(each)}: name it so")
            if at and not (number.isascii() and number.isdigit() and 1 <= int(number[:20]) < MOST):
                raise InputError(
                    f"expected NAME@VERSION=FOLDER of a whole number from 1, got {shown(each)}: name it so"
                )
            version = Version(name, int(number or 1))
            if version in found:
                raise InputError(f"two models are called {version}: pass NAME=FOLDER, or NAME@2=FOLDER")
            found[version] = Path(folder)
        return found

    @property
    def tokens(self) -> tuple[str, ...]:
        """InputError for a file that holds none."""
        if self.token_file is None:
            return ()
        lines = files.read(self.token_file, lambda content: content.decode().split("\n"), "write a token to it")
        tokens = tuple(line.strip() for line in lines if line.strip())
        if not tokens or not all(len(token) >= 16 and token.isascii() for token in tokens):
            raise InputError(f"expected tokens of 16 characters or more in {self.token_file}, a line each: write one")
        return tokens


def parse(args: list[str]) -> Settings:
    settings = tyro.cli(Settings, args=args, prog="python -m jensen.experiments.serve")
    settings.check()
    return settings


def run(settings: Settings) -> None:
    """Serves until SIGTERM or Ctrl-C, and answers what is under way then."""
    folders, tokens = settings.folders, settings.tokens
    torch.set_num_threads(settings.threads)
    with room() as place:
        exports = {version: exported(folder, place / str(version)) for version, folder in folders.items()}
        stopping.run(lambda: _serve(exports, tokens, settings))


async def _serve(exports: Mapping[Version, Path], tokens: tuple[str, ...], settings: Settings) -> None:
    limits, metrics, log = settings.limits, Metrics(), Log()
    logging.basicConfig(handlers=[Records(log)])
    with ExitStack() as answered:
        engine = _engine(settings, log)
        await engine.start()
        try:
            models = Models(engine, limits, metrics)
            await models.load(exports)
            service = Service(models, limits, metrics, log, tokens)
            listening = _listening(settings.host, settings.port)
            server = Server(service, settings.host, settings.port, settings.drain)
            answered.enter_context(server.answering_signals())
            try:
                await server.serve([listening])
            finally:
                models.close()
                service.close()
        finally:
            await engine.close()


def _engine(settings: Settings, log: Log) -> Engine:
    limits = settings.limits
    if settings.engine == "process":
        return Processes(limits.width, settings.workers, settings.threads, limits.stall, log.write)
    if settings.engine == "ray":
        return Replicas(limits.width, settings.workers, settings.threads, limits.stall, log.write, settings.address)
    return Threads(limits.width)


def _listening(host: str, port: int) -> socket.socket:
    """InputError for an address that cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(os.name == "posix"))
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"{shown(host)}:{port} cannot be listened on ({reason(error)}): choose another --port"
        ) from error
    return listening


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
