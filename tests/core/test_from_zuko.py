"""zuko's flows as values: the laws of flows, and zuko's own densities and samples."""

import math

import pytest
import torch
from torch.func import grad

from jensen import laws
from jensen.core import flows, keys, trees
from jensen.core.distributions import DiagNormal, Pushforward
from jensen.estimators.gradients import pathwise, stl

zuko = pytest.importorskip("zuko")
F64, KEY = torch.float64, keys.key(71)
ANGLES = math.pi * (2 * keys.uniform(KEY, (4, 2, 3), F64) - 1)
NAMES = ("MAF", "NICE", "RealNVP", "NSF", "NCSF")
COMPILED = {"flows_transform": "zuko builds its transforms as it goes, and torch.compile breaks the graph there"}


def made(name, features=3, context=0):
    """zuko's flow, its parameters from keys."""
    flow = getattr(zuko.flows, name)(features, context, transforms=2, hidden_features=(6,)).double()
    for i, p in enumerate(flow.parameters()):
        p.data = 0.5 * keys.normal(keys.fold_in(KEY, i), p.shape, F64)
    return flow


FLOWS = {name: flows.from_zuko(made(name)) for name in NAMES}
GIVEN = {
    f"{name} of a context": flows.Conditional((flows.from_zuko(made(name, 3, 2)),), keys.normal(KEY, (2, 2), F64))
    for name in ("NSF", "NICE")
}


@laws.parametrize(
    {**FLOWS, **GIVEN},
    examples=dict.fromkeys((*FLOWS, *GIVEN), ANGLES),
    expected_failures=dict.fromkeys((*FLOWS, *GIVEN), COMPILED),
)
def test_laws(value, law):
    law(value)


@pytest.mark.parametrize("name", ["MAF", "NICE", "NSF"])
def test_densities_and_samples_are_those_of_zuko(name):
    theirs, given = made(name, 3, 2), keys.normal(KEY, (4, 2), F64)
    base = DiagNormal(torch.zeros(4, 3, dtype=F64), torch.zeros(4, 3, dtype=F64))
    q = Pushforward(base, (flows.Conditional((flows.from_zuko(theirs),), given),))
    z, log_q = q.sample_and_log_prob(q.noise(KEY, 5))
    with torch.no_grad():
        torch.testing.assert_close(log_q, theirs(given).log_prob(z))
        torch.testing.assert_close(z, theirs(given).transform.inv(q.noise(KEY, 5)))


@pytest.mark.parametrize("name", NAMES)
def test_transforms_take_it(name):
    """A map of gradients in both directions is a loop, and the score of a sample is the gradient of its density."""
    flow, both = FLOWS[name], torch.stack([ANGLES, ANGLES.flip(0)])
    for way in ("forward", "inverse"):
        gradient = grad(lambda f, z, way=way: getattr(f, way)(z)[0].sin().sum() + getattr(f, way)(z)[1].sum())
        mapped = torch.func.vmap(gradient, (None, 0))(flow, both)
        for i in range(2):
            one = gradient(flow, both[i])
            torch.testing.assert_close(trees.map(lambda t, i=i: t[i], mapped.parameters), one.parameters)
    if name != "NCSF":
        q = Pushforward(DiagNormal(torch.zeros(2, 3, dtype=F64), torch.zeros(2, 3, dtype=F64)), (flow,))
        noise = q.noise(KEY, 3)
        value = [estimate(lambda z: -z.square().sum(-1), q, noise) for estimate in (pathwise, stl)]
        torch.testing.assert_close(*value)


def test_it_has_parameters_of_its_own_that_are_saved_and_loaded(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    theirs = made("NSF")
    flow = flows.from_zuko(theirs)
    before = flow.forward(ANGLES)[0]
    safetensors.save_file(trees.paths(flow), tmp_path / "flow.safetensors")
    for p in theirs.parameters():
        p.data = p.data * 0
    assert torch.equal(flow.forward(ANGLES)[0], before)
    loaded = trees.from_paths(safetensors.load_file(tmp_path / "flow.safetensors"), like=flows.from_zuko(theirs))
    assert torch.equal(loaded.forward(ANGLES)[0], before)


def test_what_it_does_not_take():
    for name in ("BPF", "SOSPF", "NAF", "UNAF", "CNF", "GF", "GMM"):
        with pytest.raises(TypeError, match=f"expected a MAF, NICE, RealNVP, NSF or NCSF of zuko, got {name}"):
            flows.from_zuko(getattr(zuko.flows, name)(3))
    with pytest.raises(TypeError, match="expected flow, one of zuko's, got"):
        flows.from_zuko(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="expected a flow of 2 components or more, got 1"):
        flows.from_zuko(zuko.flows.NSF(1))
    with pytest.raises(ValueError, match=r"expected z \(\.\.\., 3\), got \(4, 2, 2\): the flow is of 3 components"):
        FLOWS["NSF"].forward(ANGLES[..., :2])
    with pytest.raises(TypeError, match=r"expected context \(n, 2\), got None"):
        flows.from_zuko(made("NICE", 3, 2)).forward(ANGLES)
    with pytest.raises(TypeError, match="float32"):
        FLOWS["NSF"].forward(ANGLES.float())
