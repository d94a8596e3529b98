"""Normalising flows, and generators against critics."""

from jensen.core import flows, keys
from jensen.core.models.adversarial import duality, gan
from jensen.core.models.transport import normalising

KEY = keys.key(0)
X = keys.normal(KEY, (1, 5, 2))[0]


def normalising_flows():
    for transform in (flows.Affine(), flows.RationalQuadratic(3, 2.0)):
        model = normalising.build(2, transform, 2, (4,))
        params = model.init(KEY, X)
        assert model.log_prob(params, model.sample(params, KEY, 4)).shape == (4,)


def gans():
    model = gan.mlp(2, 3, (4,))
    params, state = model.init(KEY)
    model.critic_loss(params, state, X, KEY), model.generator_loss(params, state, X, KEY)
    duality.lower_bound(lambda x: model.value(params, state, x), X, model.sample(params, KEY, 4))
