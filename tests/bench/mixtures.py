"""What a mixture costs: a pathwise step by the implicit gradient, and sweeps of EM and of coordinate ascent.

The step is of eight components, beside one component's; the sweeps are over many data, beside scikit-learn's.
"""

from functools import partial

import torch
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from torch import Tensor
from torch.func import grad_and_value

from jensen.core import keys
from jensen.core.distributions import DiagNormal, Laplace, Mixture
from jensen.core.models import conjugate
from jensen.estimators.gradients import pathwise
from jensen.estimators.inference import cavi, em
from jensen.experiments.run.compilation import compiled
from tests.bench.race import Call, Race

KEY = keys.key(0)
DATA, COMPONENTS, DIMENSIONS = 100, 8, 2
MANY, K, D = 100_000, 10, 10  # of the sweeps


def step(device: str) -> Race:
    """K = 1, 100 data, a banana in two dimensions; compiled, with the same eager at the end."""
    key = KEY.to(device)

    def log_p(z: Tensor) -> Tensor:
        first, second = z.unbind(-1)
        return -0.5 * (first.square() + (second - first.square()).square())

    def loss(q: Mixture | DiagNormal | Laplace, key: Tensor) -> Tensor:
        return -pathwise(log_p, q, q.noise(key, 1)).mean()

    def candidate(kind: type[DiagNormal | Laplace], *components: int, fused: bool = True) -> Call:
        loc, log_scale = (keys.normal(keys.fold_in(key, i), (DATA, *components, DIMENSIONS)) for i in range(2))
        one = kind(loc, 0.3 * log_scale)
        q = Mixture(torch.zeros(DATA, *components, device=device), one) if components else one
        gradient = grad_and_value(loss)
        return partial(compiled(gradient) if fused else gradient, q, key)

    candidates = {
        "normal": candidate(DiagNormal),
        "8 normals": candidate(DiagNormal, COMPONENTS),
        "8 Laplaces": candidate(Laplace, COMPONENTS),
        "normal, eager": candidate(DiagNormal, fused=False),
        "8 normals, eager": candidate(DiagNormal, COMPONENTS, fused=False),
    }
    return Race("pathwise step of a mixture, 100 data, 2 dimensions", "normal", candidates)


def em_sweep(device: str) -> Race:
    """10 full covariances, 100,000 data in 10 dimensions, float64: one E step and one M step."""
    x = clusters()
    data = em.prepare(x)
    state = em.init(KEY, data, K)
    return sweeps("EM", GaussianMixture(K, max_iter=1), x, lambda: em.update(state, data))


def cavi_sweep(device: str) -> Race:
    """The same of normal-Wishart components and Dirichlet weights, with the ELBO."""
    x = clusters()
    model = conjugate.Mixture(conjugate.Shares(torch.full((K,), 1 / K, dtype=x.dtype)), conjugate.normals(x))
    data = cavi.prepare(model, x)
    state = cavi.init(KEY, model, data)
    peer = BayesianGaussianMixture(n_components=K, max_iter=1)
    return sweeps("coordinate ascent", peer, x, lambda: cavi.update(state, model, data))


def sweeps(name: str, peer: GaussianMixture | BayesianGaussianMixture, x: Tensor, sweep: Call) -> Race:
    """One of ours beside one of scikit-learn's."""
    data, shares = x.numpy(), torch.softmax(keys.normal(KEY, (MANY, K), x.dtype), 1).numpy()
    peer._check_parameters(data)
    peer._initialize(data, shares)

    def theirs() -> None:
        peer._m_step(data, peer._e_step(data)[1])

    group = f"sweep of {name}, {K} components, {MANY:,} data, {D} dimensions"
    return Race(group, "scikit-learn", {"scikit-learn": theirs, "jensen": sweep}, rounds=7, calls=1, warm=1)


def clusters() -> Tensor:
    """Some standard deviations apart."""
    places = 3 * keys.normal(keys.fold_in(KEY, 1), (K, D), torch.float64)
    return keys.normal(KEY, (MANY, D), torch.float64) + places[torch.arange(MANY) % K]
