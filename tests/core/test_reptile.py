"""Reptile on bounds that are quadratic in the encoder: steps and update in closed form; and the linear normal model."""

import pytest
import torch
from scipy import stats
from torch.func import grad, hessian, vmap

from jensen.core import keys, trees
from jensen.core.distributions import DiagNormal
from jensen.core.models.latent import reptile
from jensen.core.models.latent.linear_normal import LinearNormal
from jensen.laws import mean_is_exact

KEY = keys.key(62)
TASKS = LinearNormal(keys.normal(KEY, (3, 5, 2), torch.float64), torch.full((3,), -0.2, dtype=torch.float64))
X = keys.normal(keys.key(63), (3, 7, 5), torch.float64)
TASK = trees.map(lambda t: t[0], TASKS)
MODEL = reptile.build(5, (), 2)
PARAMS = {"weight": 0.1 * keys.normal(keys.key(64), (2, 5), torch.float64)}
SIZE, STEPS = 0.01, 4


def loss(weight, task, x):
    """Minus the mean bound of q = N(weight x, 0.3^2): quadratic in the weight."""
    loc = x @ weight.T
    return -task.elbo(DiagNormal(loc, torch.full_like(loc, 0.3).log()), x).mean()


def closed_form(task, x):
    """phi_k = c + (I - size H)^k (phi - c), with H and the minimum c of the loss."""
    start = PARAMS["weight"].flatten()
    of = lambda flat: loss(flat.reshape(2, 5), task, x)  # noqa: E731
    curvature = hessian(of)(start)
    least = start - torch.linalg.solve(curvature, grad(of)(start))
    shrinks = torch.linalg.matrix_power(torch.eye(10, dtype=torch.float64) - SIZE * curvature, STEPS)
    return (least + shrinks @ (start - least)).reshape(2, 5)


def led_to(params, task, x):
    return reptile.adapted(lambda p, i: loss(p["weight"], task, x), params, STEPS, SIZE)


def test_steps_lead_where_the_closed_form_says():
    found = led_to(PARAMS, TASK, X[0])["weight"]
    torch.testing.assert_close(found, closed_form(TASK, X[0]), rtol=1e-9, atol=1e-9)
    assert (found - PARAMS["weight"]).norm() > 0.1


def test_the_update_is_the_mean_of_the_ways_back_over_tasks():
    """Under vmap over tasks and grad, as a trainer has them; no derivative of the steps is in it."""

    def outer(params):
        return vmap(lambda task, x: reptile.pull(params, led_to(params, task, x)))(TASKS, X).mean()

    expected = torch.stack([closed_form(trees.map(lambda t, i=i: t[i], TASKS), X[i]) for i in range(3)])
    found = grad(outer)(PARAMS)["weight"]
    torch.testing.assert_close(found, (PARAMS["weight"] - expected).mean(0), rtol=1e-9, atol=1e-9)
    assert outer(PARAMS) == 0
    through = grad(lambda p: loss(led_to_attached(p)["weight"], TASK, X[0]))(PARAMS)["weight"]
    assert (found - through).norm() > 0.1 * found.norm()  # a planted bug: MAML's gradient is another


def led_to_attached(params):
    """The same steps with their derivative."""
    for _ in range(STEPS):
        slope = grad(lambda p: loss(p["weight"], TASK, X[0]))(params)
        params = trees.map(lambda t, g: t - SIZE * g, params, slope)
    return params


def test_one_step_is_gradient_descent_on_the_mean_loss():
    def outer(params):
        def one(task, x):
            return reptile.pull(params, reptile.adapted(lambda p, i: loss(p["weight"], task, x), params, 1, SIZE))

        return vmap(one)(TASKS, X).mean()

    joint = grad(lambda p: vmap(lambda task, x: loss(p["weight"], task, x))(TASKS, X).mean())(PARAMS)
    torch.testing.assert_close(grad(outer)(PARAMS)["weight"], SIZE * joint["weight"])


def test_the_bound_is_the_mean_over_samples_and_the_evidence_scipys():
    q = DiagNormal(X[0] @ PARAMS["weight"].T, torch.full((7, 2), -1.0, dtype=torch.float64))
    prior = DiagNormal(torch.zeros_like(q.loc), torch.zeros_like(q.loc))

    def draw(key, s):
        z = q.sample(q.noise(key, s))
        loc = z @ TASK.weight.T
        density = DiagNormal(loc, TASK.log_scale.expand_as(loc)).log_prob(X[0])
        return density + prior.log_prob(z) - q.log_prob(z)

    mean_is_exact(draw, TASK.elbo(q, X[0]), KEY)
    covariance = TASK.weight @ TASK.weight.T + torch.exp(2 * TASK.log_scale) * torch.eye(5)
    expected = stats.multivariate_normal(torch.zeros(5).numpy(), covariance.numpy()).logpdf(X[0].numpy())
    torch.testing.assert_close(TASK.log_evidence(X[0]), torch.from_numpy(expected))
    assert (TASK.elbo(q, X[0]) < TASK.log_evidence(X[0])).all()


def test_an_encoder_starts_at_the_prior():
    model = reptile.build(5, (4,), 2)
    q = model.posterior(model.init(KEY, torch.float64), X[0])
    torch.testing.assert_close(q.loc, torch.zeros(7, 2).double())
    torch.testing.assert_close(q.log_scale, torch.zeros(7, 2).double())


def test_what_cannot_work_is_refused():
    with pytest.raises(TypeError, match="expected loss"):
        reptile.adapted(3.0, PARAMS, 1, SIZE)
    with pytest.raises(ValueError, match="step_size"):
        reptile.adapted(lambda p, i: p["weight"].sum(), PARAMS, 1, 0.0)
