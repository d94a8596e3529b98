from dataclasses import replace

import torch
from torch.func import grad, vmap

from jensen import laws
from jensen.core import keys
from jensen.core.models.quantised import GumbelVq, SoftVq

KEY = keys.key(8)


def soft(temperature, z=None, size=6):
    z = keys.normal(KEY, (9, 2, 3), torch.float64) if z is None else z
    quantiser = SoftVq(size, temperature)
    params, state = quantiser.init(KEY, z)
    return quantiser.quantise(params, state, z, KEY).z, quantiser, params, z


def test_soft_quantisation_tends_to_the_nearest_vectors_and_to_their_mean():
    gaps = []
    for temperature in (1.0, 0.1, 0.01, 1e-4):
        means, quantiser, params, z = soft(temperature)
        gaps.append((means - quantiser.decode(params, {}, quantiser.encode(params, {}, z))).abs().max().item())
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-6 < gaps[0]
    means, _, params, z = soft(1e9)
    torch.testing.assert_close(means, params["vectors"].mean(0).expand_as(z), rtol=1e-6, atol=1e-6)


def test_drawn_codes_have_the_mean_and_the_kl_of_their_masses():
    z = keys.normal(KEY, (2, 2, 3), torch.float64)
    quantiser = GumbelVq(4, 0.5)
    params, _ = quantiser.init(KEY, z)
    p = torch.softmax(-(z[..., None, :] - params["vectors"]).square().sum(-1), -1)
    drawn = vmap(lambda key: quantiser.quantise(params, {}, z, key).z)(keys.split(KEY, 800))
    laws.mean_is(drawn, p @ params["vectors"])
    q = quantiser.quantise(params, {}, z, KEY)
    torch.testing.assert_close(q.kl, (p * (p * 4).log()).sum((1, 2)))
    torch.testing.assert_close(q.z, quantiser.decode(params, {}, q.codes))


def test_drawn_codes_have_the_gradient_of_the_relaxed_ones():
    z = keys.normal(KEY, (2, 2, 3), torch.float64)
    params, _ = GumbelVq(4).init(KEY, z)

    def relaxed(z, vectors, temperature):
        logits = -(z[..., None, :] - vectors).square().sum(-1)
        gumbel = -torch.log(-torch.log1p(-keys.uniform(KEY, (1, 2, 2, 4), z.dtype)[0]))
        return torch.softmax((logits + gumbel) / temperature, -1) @ params["vectors"]

    for temperature in (2.0, torch.tensor(0.3)):
        quantiser = replace(GumbelVq(4), temperature=temperature)
        found = grad(lambda z, quantiser=quantiser: quantiser.quantise(params, {}, z, KEY).z.sin().sum())(z)
        weight = quantiser.quantise(params, {}, z, KEY).z.cos()
        exact = grad(lambda z, t=temperature, w=weight: (relaxed(z, params["vectors"], t) * w).sum())(z)
        torch.testing.assert_close(found, exact)


def test_a_temperature_is_annealed_in_compiled_code():
    z = keys.normal(KEY, (3, 2, 2))
    params, _ = SoftVq(3).init(KEY, z)

    def means(z, temperature):
        return replace(SoftVq(3), temperature=temperature).quantise(params, {}, z, KEY).z

    torch._dynamo.reset()
    step = torch.compile(means, fullgraph=True, backend="eager")
    with torch.compiler.set_stance("default"):
        step(z, torch.tensor(1.0))
    with torch.compiler.set_stance("fail_on_recompile"):
        torch.testing.assert_close(step(z, torch.tensor(0.2)), means(z, torch.tensor(0.2)))
