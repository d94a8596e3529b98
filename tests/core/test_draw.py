import pytest
import torch
from torch.func import grad

from jensen.core import keys
from jensen.core.contracts import Drawable
from jensen.core.distributions import Bernoulli, DiagNormal, FullNormal, draw

KEY = keys.at(keys.key(3), particle=4, datum=2)
LOC = keys.normal(keys.key(1), (5, 3), torch.float64)
SCALE = 0.5 * keys.normal(keys.key(2), (5, 3), torch.float64)
VALUES = {
    "DiagNormal": DiagNormal(LOC, SCALE),
    "FullNormal": FullNormal(LOC, SCALE, torch.ones(5, 3, 3).double()),
    "Bernoulli": Bernoulli(LOC),
}


@pytest.mark.parametrize("name", VALUES)
def test_draws_are_samples_of_the_noise_with_their_density(name):
    q = VALUES[name]
    z, log_q = draw(q, KEY, 4)
    expected = q.sample(q.noise(KEY, 4))
    torch.testing.assert_close(z, expected)
    torch.testing.assert_close(log_q, q.log_prob(expected))
    assert isinstance(q, Drawable) == (name == "DiagNormal")


def test_the_gradients_of_a_draw_are_those_of_its_parts():
    def value(f):
        def call(q):
            z, log_q = f(q)
            return (z.sin().sum(-1) * log_q).sum()

        return call

    def apart(q):
        z = q.sample(q.noise(KEY, 4))
        return z, q.log_prob(z)

    q = VALUES["DiagNormal"]
    torch.testing.assert_close(grad(value(lambda q: draw(q, KEY, 4)))(q), grad(value(apart))(q))
    compiled = torch.compile(grad(value(lambda q: draw(q, KEY, 4))), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(q), grad(value(apart))(q))


def test_a_draw_of_mismatched_fields_raises():
    with pytest.raises(ValueError, match="fields of one shape"):
        draw(DiagNormal(LOC, SCALE[:, :1]), KEY, 2)
    with pytest.raises(ValueError, match="expected s, a whole number >= 1, got 0"):
        draw(VALUES["DiagNormal"], KEY, 0)
