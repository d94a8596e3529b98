"""VQ-GAN and its critic of patches: gradients by hand on a linear decoder, routes of each loss, patches by Jacobian."""

import dataclasses

import pytest
import torch
from torch.func import grad, jacrev

from jensen.core import keys, trees
from jensen.core.models.adversarial.patches import Patches
from jensen.core.models.latent.likelihoods.squared_error import SquaredErrorLikelihood
from jensen.core.models.quantised import Fsq, GradientVq, Vq, autoencoder
from jensen.core.models.quantised.autoencoder import Autoencoder
from jensen.core.models.quantised.vqgan import HINGE, VqGan, ratio

KEY = keys.key(3)
DOUBLE = torch.float64
X = keys.uniform(keys.key(4), (6, 64), DOUBLE)
V = keys.normal(keys.key(5), (64,), DOUBLE)
PHI = keys.normal(keys.key(6), (64, 3), DOUBLE)


class Plane(Patches):
    """A critic of one patch, linear in x: its gradient is V everywhere."""

    def __call__(self, params, x, /):
        return (x @ V)[:, None, None]


@dataclasses.dataclass(frozen=True)
class Straight(SquaredErrorLikelihood):
    """Of means that are the outputs themselves."""

    def __call__(self, params, out, /):
        return self._around(out)


def linear_decoder():
    """y = z W of two codes' vectors, side by side, of a lattice."""

    def init(key, bias):
        return {
            "encoder": {"weight": keys.normal(key, (64, 4), DOUBLE)},
            "decoder": {"weight": PHI.new_ones(4, 64) / 9},
        }

    def encode(params, x):
        return (x @ params["weight"]).reshape(-1, 2, 2)

    def decode(params, z):
        return z.flatten(1) @ params["weight"]

    return Autoencoder(init, encode, decode, 64, (2,), Fsq((3, 4)), Straight(), last="weight")


LINEAR = VqGan(linear_decoder(), Plane((1, 8, 8), (2,)))
CONV = VqGan(
    autoencoder.conv((1, 8, 8), (3,), 2, GradientVq(6), torch.tanh), Patches((1, 8, 8), (3,)), lambda x: x @ PHI
)


def test_the_weight_is_the_ratio_of_gradients_by_hand():
    """|2/n z' (y - x)| / |z' 1 v' / n| for -log p = |x - y|² + const and G = -v y."""
    params, state = LINEAR.init(KEY, X)
    step = LINEAR.coder_step(params, state, X, KEY)
    own = params["model"]
    codes = LINEAR.coder.codes(own, state, X)
    z = LINEAR.coder.quantiser.decode({}, state, codes).flatten(1).to(DOUBLE)
    y = z @ own["decoder"]["weight"]
    of_data, of_game = 2 * z.T @ (y - X) / 6, -z.mean(0)[:, None] * V
    by_hand = of_data.norm() / (of_game.norm() + 1e-6)
    torch.testing.assert_close(step.weight, by_hand, rtol=1e-5, atol=0)  # codes' vectors are in float32
    torch.testing.assert_close(step.game, -(y @ V), rtol=1e-5, atol=1e-5)
    half = LINEAR.coder_step(params, state, X, KEY, torch.tensor(0.5, dtype=DOUBLE))
    torch.testing.assert_close(half.weight, 0.5 * step.weight)
    assert LINEAR.coder_step(params, state, X, KEY, 0.0).weight == 0


def test_the_weight_is_the_ratio_of_torch_autograd_at_the_last_layer():
    """The paper's own expression, with a perceptual part, of a network of convolutions."""
    params, state = CONV.init(KEY, X)
    step = CONV.coder_step(params, state, X, KEY)
    params = trees.map(lambda t: t.requires_grad_(), params)
    after = CONV.coder_step(params, state, X, KEY)
    last = params["model"]["decoder"]["up"]["levels"]["0"]["weight"]
    rest = (after.perceptual - after.coded.terms.reconstruction).mean()
    a, b = (torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (rest, after.game.mean()))
    torch.testing.assert_close(step.weight, (a / (b + 1e-6)).detach())
    other = params["model"]["decoder"]["up"]["stem"]["weight"]
    c, d = (torch.autograd.grad(loss, other, retain_graph=True)[0].norm() for loss in (rest, after.game.mean()))
    assert abs(c / d / step.weight - 1) > 0.01  # another layer's ratio is another


def test_the_ratio_is_bounded_and_has_no_gradient():
    assert ratio(lambda w: (w.sum(), 0 * w.sum()), torch.ones(3)) == 1e4
    assert ratio(lambda w: (0 * w.sum(), w.sum()), torch.ones(3)) == 0
    assert not grad(lambda w: ratio(lambda w: (w.square().sum(), w.sum()), w))(torch.ones(3)).any()


def test_the_coders_gradient_has_the_weight_as_a_constant():
    """As autograd has it with lambda a number."""
    params, state = CONV.init(KEY, X)
    weight = CONV.coder_step(params, state, X, KEY).weight

    def fixed(own):
        step = CONV.coder_step({**params, "model": own}, state, X, KEY)
        return (step.perceptual + weight * step.game - step.coded.terms.objective).mean()

    found = grad(lambda own: CONV.coder_step({**params, "model": own}, state, X, KEY).loss.mean())(params["model"])
    torch.testing.assert_close(found, grad(fixed)(params["model"]))


def routes(model, loss):
    """The parts of the parameters that a loss has a gradient in."""
    params, state = model.init(KEY, X)
    return {part for part, slope in grad(lambda p: loss(model, p, state))(params).items()
            if any(t.any() for t in trees.leaves(slope))}  # fmt: skip


def of_coder(model, params, state):
    return model.coder_step(params, state, X, KEY).loss.mean()


def of_critic(model, params, state):
    return model.critic_loss(params, state, X).mean()


class Attached(VqGan):
    """The planted bug: what is generated is not detached for the critic."""

    def critic_loss(self, params, state, x, /):
        q = self.coder.quantised(params["model"], state, x, KEY)
        y = self.coder.given(params["model"], q.z).mean()
        return HINGE.critic(self.critic(params["critic"], x), self.critic(params["critic"], y)).mean((1, 2))


def test_neither_loss_has_a_gradient_in_the_others_parameters():
    assert routes(CONV, of_coder) == {"model"}
    assert routes(CONV, of_critic) == {"critic"}
    assert routes(Attached(**vars(CONV)), of_critic) == {"model", "critic"}


def test_the_hinge_by_hand():
    a, b = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-2.0, 0.0, 3.0])
    assert HINGE.critic(a, b).tolist() == [0, 0.5 + 1, 2 + 4]
    assert HINGE.generator(a, b).tolist() == [2, 0, -3]
    params, state = CONV.init(KEY, X)
    y = CONV.coder.decode_codes(params["model"], state, CONV.coder.codes(params["model"], state, X))
    real, fake = (CONV.critic(params["critic"], each) for each in (X, y))
    by_hand = (1 - real).clamp_min(0).mean((1, 2)) + (1 + fake).clamp_min(0).mean((1, 2))
    torch.testing.assert_close(CONV.critic_loss(params, state, X), by_hand)


def test_features_are_compared_at_unit_length():
    """|a/|a| - b/|b||² = 2 - 2 cos, whatever the features' scale; a model without features has none."""
    params, state = CONV.init(KEY, X)
    step = CONV.coder_step(params, state, X, KEY)
    y = CONV.coder.decode_codes(params["model"], state, CONV.coder.codes(params["model"], state, X))
    cosine = torch.cosine_similarity(X @ PHI, y @ PHI)
    torch.testing.assert_close(step.perceptual, 10 * (2 - 2 * cosine))
    tenfold = dataclasses.replace(CONV, features=lambda x: 10 * x @ PHI)
    torch.testing.assert_close(tenfold.coder_step(params, state, X, KEY).perceptual, step.perceptual)
    assert not dataclasses.replace(CONV, features=None).coder_step(params, state, X, KEY).perceptual.any()


def test_a_step_is_the_coders_own_beside_the_rest():
    params, state = CONV.init(KEY, X)
    step, alone = CONV.coder_step(params, state, X, KEY), CONV.coder.step(params["model"], state, X, KEY)
    for found, expected in zip(*map(trees.leaves, (step.coded, alone)), strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(step.loss, step.perceptual + step.weight * step.game - alone.terms.objective)


class Everywhere(Patches):
    """The planted bug: a normalisation over the image, by which every value is of all of it."""

    def __call__(self, params, x, /):
        return super().__call__(params, x - x.mean(1, keepdim=True))


@pytest.mark.parametrize(("channels", "side"), [((2,), 8), ((2, 3), 18)])
def test_a_value_is_of_its_patch_alone(channels, side):
    """Pixels with a derivative in the middle value are a square of the side that is said, and of no other."""

    def seen(kind):
        critic = kind((1, 32, 32), channels)
        params = trees.map(torch.abs, critic.init(KEY, DOUBLE))
        x = 1 + keys.uniform(KEY, (1, 1024), DOUBLE)
        middle = 16 >> len(channels)
        slopes = jacrev(lambda x: critic(params, x)[0, middle, middle])(x).reshape(32, 32) != 0
        return [axis.nonzero()[:, 0] for axis in (slopes.any(0), slopes.any(1))], int(slopes.sum())

    assert Patches((1, 32, 32), channels).side == side
    axes, count = seen(Patches)
    assert [int(axis[-1] - axis[0] + 1) for axis in axes] == [side, side]
    assert count == side**2
    assert seen(Everywhere)[1] == 1024


@pytest.mark.slow
def test_a_step_compiles_with_its_gradient():
    model = VqGan(autoencoder.conv((1, 8, 8), (2,), 2, Vq(4)), Patches((1, 8, 8), (2,)), lambda x: x @ PHI)
    params, state = model.init(KEY, X)

    def loss(params, game):
        step = model.coder_step(params, state, X, KEY, game)
        return step.loss.mean(), step.coded.state

    game = torch.tensor(1.0, dtype=DOUBLE)
    compiled = torch.compile(grad(loss, has_aux=True), fullgraph=True, backend="aot_eager")(params, game)
    for found, expected in zip(*map(trees.leaves, (compiled, grad(loss, has_aux=True)(params, game))), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VqGan(Vq(4), CONV.critic), "expected coder, autoencoder.conv"),
        (lambda: VqGan(CONV.coder, Patches), "expected critic, Patches"),
        (lambda: VqGan(CONV.coder, CONV.critic, 3), "expected features"),
        (lambda: VqGan(CONV.coder, CONV.critic, perceptual=-1.0), "expected perceptual"),
        (lambda: VqGan(CONV.coder, Patches((1, 4, 4), (3,))), "expected a critic of 64 pixels, got one of 16"),
        (lambda: Patches((1, 7, 8), (3,)), "expected channels of one level or more"),
        (lambda: Patches((1, 8, 8), (0,)), "expected channels"),
        (lambda: CONV.critic(CONV.critic.init(KEY), X[:, :60]), r"expected x \(n, 64\), got \(6, 60\)"),
        (lambda: CONV.coder_step({"model": {}}, {}, X, KEY), "missing 'critic'"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((TypeError, ValueError, KeyError), match=message):
        call()
