"""The fork server and its workers: one process loads every export, and a worker is a fork of it.

A fork is ready in milliseconds and shares the memory of libraries and parameters, where a process of its own would
import them for seconds. The server has one thread, for a fork copies no other; it computes with one.

    front -> server    the exports                  server -> front    loaded, or why not
    front -> server    a byte, and a socket         worker -> front    on that socket: its process id
    front -> worker    a batch                      worker -> front    its outputs, or what was raised
"""

import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import torch

from jensen.experiments.deployment.loading import Function
from jensen.experiments.run.errors import InputError, reason
from jensen.experiments.service.engines.frames import opened, saved
from jensen.experiments.service.engines.reading import compute, read
from jensen.experiments.service.messages import packed, received

Table = dict[str, dict[str, Function]]  # functions by an export's key


def main(descriptor: int) -> None:
    """The server: it leads a group of processes, and ends all of it when the front has ended."""
    torch.set_num_threads(1)
    front = socket.socket(fileno=descriptor)
    try:
        table, threads = _loaded(front)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system forgets a worker that ends
        while True:
            asked, given, _, _ = socket.recv_fds(front, 1, 1)
            if not asked:
                raise EOFError
            if os.fork() == 0:
                front.close()
                _work(socket.socket(fileno=given[0]), table, threads)
            os.close(given[0])
    except (EOFError, OSError):
        os.killpg(0, signal.SIGKILL)


def _loaded(front: socket.socket) -> tuple[Table, int]:
    """What the front asks for; EOFError after it was told of a folder that is no sound export."""
    asked, _ = received(front)
    table: Table = {}
    for key, folder in asked["folders"].items():
        try:
            digest, table[key] = read(Path(folder), asked["width"])
            if digest != asked["digests"][key]:
                raise InputError(f"{folder} is being changed: serve it when it is whole")
        except (InputError, OSError, ValueError) as error:
            front.sendall(packed({"error": reason(error)}))
            raise EOFError from error
    gc.collect()
    gc.freeze()  # a collector that marks shared objects would copy their pages
    front.sendall(packed({}))
    return table, asked["threads"]


def _work(front: socket.socket, table: Mapping[str, Mapping[str, Function]], threads: int) -> NoReturn:
    """A worker: one batch after another, until the front closes its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if threads > 1:
        torch.set_num_threads(threads)
    try:
        front.sendall(packed({"pid": os.getpid()}))
        while True:
            head, arrays = received(front)
            try:
                reply = packed({}, saved(compute(table[head["key"]], head["function"], opened(arrays))))
            except Exception as error:  # of the function, of whatever kind: the worker goes on
                reply = packed({"error": reason(error)})
            front.sendall(reply)
    except (EOFError, OSError):
        os._exit(0)
    except BaseException:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
