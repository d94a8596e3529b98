"""Ray's cluster that work is given to: a new one of this process, or one that is there.

Who reaches Ray's ports may run code: its processes unpickle what they are sent. A new cluster listens on the loopback
address alone, asks for a token that only its own processes have, and ends with this process.
"""

import logging
import os
import secrets
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from jensen.experiments.run.errors import InputError, reason, shown

STORE = 128 * 2**20  # bytes of shared memory for what processes exchange
LOOPBACK, AUTO = "127.0.0.1", "auto"
REACHED = 5.0  # seconds until a cluster is given up that does not answer
PLAIN = {"worker_niceness": 0}  # as this process, which Ray's workers would let others pass
OWN = {
    # A cluster of one machine, as on those systems: else Ray takes the machine's own address, whatever it is given.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def check_address(address: str) -> None:
    """InputError for what is no address of a cluster: it takes a process of Ray on this machine."""
    _, colon, port = address.rpartition(":")
    if address != AUTO and ("//" in address or not colon or not port.isdecimal()):
        fix = f"join it with `ray start --address=HOST:PORT` on this machine, and pass {AUTO}"
        raise InputError(f"expected HOST:PORT of a cluster, or {AUTO}, got {shown(address)}: {fix}")


def check_installed(asked: str) -> None:
    """InputError where Ray is not; `asked` is the option that needs it."""
    try:
        found = find_spec("ray")
    except ValueError:
        found = None
    if found is None:
        raise InputError(f"{asked} needs Ray, which is not installed: pip install 'jensen[sweep]', or leave it out")


@contextmanager
def cluster(asked: str, address: str | None = None, **config: int) -> Iterator[Any]:
    """The module ray, connected.

    Args:
        asked: the option that needs it.
        address: of a cluster that this machine is of, HOST:PORT or "auto"; a new one unless given.
        config: settings of a new cluster's own.

    Raises:
        InputError: Ray is not installed, does not start, or there is no such cluster.
    """
    check_installed(asked)
    handler = signal.getsignal(signal.SIGTERM)
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp" if os.name == "posix" else None) as place:
        ray = _started(place, config) if address is None else _joined(address)
        try:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, handler)  # Ray's would end the process on the spot
            yield ray
        finally:
            ray.shutdown()


def _started(place: str, config: dict[str, int]) -> Any:
    for name, value in {**OWN, "RAY_AUTH_TOKEN": secrets.token_hex(32)}.items():
        os.environ.setdefault(name, value)
    ray = _imported()
    try:
        ray.init("local", include_dashboard=False, log_to_driver=False, configure_logging=False,
                 object_store_memory=STORE, _temp_dir=place, _system_config={**PLAIN, **config})  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"Ray does not start ({reason(error)}): mend that, or leave it out") from error
    if (own := ray.util.get_node_ip_address()) != LOOPBACK:
        ray.shutdown()
        fix = "unset RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER, and import ray in no module before"
        raise InputError(f"expected Ray at {LOOPBACK} alone, got {own}: {fix}")
    return ray


def _joined(address: str) -> Any:
    ray = _imported()
    host, _, port = address.rpartition(":")
    try:
        if address != AUTO:
            socket.create_connection((host, int(port)), REACHED).close()  # Ray would try for minutes
        ray.init(address, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"there is no cluster of Ray at {shown(address)} ({reason(error)}): start Ray here") from error
    return ray


def _imported() -> Any:
    import ray  # pyright: ignore[reportMissingImports]

    logging.getLogger("ray").setLevel(logging.ERROR)  # it warns of what is done on purpose here
    return ray
