"""A cluster that is there already: replicas on each of its machines, and what is left when one is lost."""

import os
import subprocess
import sys

import pytest

from jensen.experiments.run.cluster import OWN
from jensen.experiments.run.errors import InputError
from tests.experiments.process import until
from tests.experiments.service.test_ray import Held, Z, right

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TOKEN = "0" * 64
CLUSTER = """
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
other = cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
input()
cluster.remove_node(other, allow_graceful=False)
print("removed", flush=True)
input()
cluster.shutdown()
"""


@pytest.fixture
def cluster(monkeypatch):
    """Two machines, which are raylets of this one, in another process; a line to it ends the second."""
    for name, value in {**OWN, "RAY_AUTH_TOKEN": os.environ.get("RAY_AUTH_TOKEN", TOKEN)}.items():
        monkeypatch.setenv(name, value)
    with subprocess.Popen([sys.executable, "-c", CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:  # fmt: skip
        yield process
        process.communicate("\n\n")


def test_a_machine_is_lost(cluster, exports):
    """One replica was there: the other answers, and nobody takes the seat, for there is no room."""
    address = next(line for line in cluster.stdout if line.startswith("127.0.0.1:")).strip()
    held = Held(workers=2, stall=60.0, address=address)
    try:
        (model,) = held(held.engine.load(exports[:1]))
        assert all(right(each) for each in held.together(8, model, Z))
        cluster.stdin.write("\n")
        cluster.stdin.flush()
        until(lambda: held.workers().count(None) == 1, 60)
        assert all(right(each) for each in held.together(8, model, Z))
    finally:
        held.close()


def test_no_cluster_is_one_line():
    with pytest.raises(InputError, match=r"there is no cluster of Ray at 127\.0\.0\.1:1 "):
        Held(workers=1, address="127.0.0.1:1")
