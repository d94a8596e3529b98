"""Laws of flows: each way undoes the other, and log |det| is that of the Jacobian."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad, jacrev, vjp, vmap

from jensen.core import keys, trees
from jensen.core.bijections import Positive, UnitInterval
from jensen.core.contracts import Bijection, Flow, PushesScore
from jensen.core.flows import Conditional
from jensen.laws._law import Subject, law, spoiled
from jensen.laws.transforms import compiled


class Stretch(NamedTuple):
    """z' = e^log_scale z, field (d,): a flow for planted bugs."""

    log_scale: Tensor

    def forward(self, z: Tensor, context: Tensor | None = None, /) -> tuple[Tensor, Tensor]:
        return self.log_scale.exp() * z, self.log_scale.sum() + torch.zeros_like(z[..., 0])

    def inverse(self, z: Tensor, context: Tensor | None = None, /) -> tuple[Tensor, Tensor]:
        return z / self.log_scale.exp(), -self.log_scale.sum() + torch.zeros_like(z[..., 0])


STRETCH = Stretch(torch.tensor([0.5, -0.2, 0.1], dtype=torch.float64))
Z = keys.normal(keys.key(22), (4, 2, 3), torch.float64)


def of(**methods) -> list[Subject]:
    return [Subject(spoiled(STRETCH, **methods), Z)]


def half(q: Stretch, z: Tensor) -> tuple[Tensor, Tensor]:
    there, log_det = Stretch.forward(q, z)
    return there, log_det / 2


@law("flow", planted=lambda: of(inverse=Stretch.forward))
def inverse_undoes_forward(flow: Flow, z: Tensor) -> None:
    """inverse(forward(z)) = z, forward of that the same image, and their log |det| are opposite."""
    image, log_det = flow.forward(z)
    again, opposite = flow.inverse(image)
    torch.testing.assert_close(again, z, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(flow.forward(again)[0], image, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(log_det, -opposite, rtol=1e-8, atol=1e-8)


@law("flow", planted=lambda: [*of(forward=half), *of(inverse=lambda q, z: (Stretch.inverse(q, z)[0], z[..., 0] * 0))])
def log_det_is_that_of_the_jacobian(flow: Flow, z: Tensor) -> None:
    """log_det (s, n) = log |det d z' / d z| by autograd, and minus that on the way back.

    Where z' has more components than z, as on a simplex, of the first that are independent of each other.
    """
    image, log_det = flow.forward(z)
    _, opposite = flow.inverse(image)
    assert log_det.shape == z.shape[:2], f"expected log_det {tuple(z.shape[:2])}, got {tuple(log_det.shape)}"
    jacobian = jacrev(lambda z: flow.forward(z)[0].flatten(2).sum((0, 1)))(z)  # samples and data do not meet
    square = jacobian.movedim(0, -2)[:, :, _independent(jacobian[:, 0, 0])]
    exact = torch.linalg.slogdet(square).logabsdet
    torch.testing.assert_close(log_det, exact, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(opposite, -exact, rtol=1e-8, atol=1e-8)


def _steep_at_zero(q: Stretch, z: Tensor) -> tuple[Tensor, Tensor]:
    """The right values, with a gradient of NaN."""
    found, log_det = Stretch.inverse(q, z)
    return found + (0 * z).sqrt(), log_det


@law(
    "flow",
    planted=lambda: [
        *of(inverse=lambda q, z: Stretch.inverse(q, z.detach())),
        *of(inverse=_steep_at_zero),
    ],
)
def derivatives_undo_each_other(flow: Flow, z: Tensor) -> None:
    """The derivative of inverse at an image is the inverse of that of forward, and finite."""
    weights = torch.linspace(-1, 2, z.numel(), dtype=z.dtype).reshape(z.shape)
    (image, _), there, *_ = vjp(flow.forward, z)
    (_, log_det), back, *_ = vjp(flow.inverse, image)
    (at_image,) = back((weights, torch.zeros_like(log_det)))
    (again,) = there((at_image, torch.zeros_like(log_det)))
    torch.testing.assert_close(again, weights, rtol=1e-8, atol=1e-8)


@law("flow", needs=PushesScore, planted=lambda: [Subject(spoiled(STRETCH, push_score=_unscaled), Z)])
def a_pushed_score_is_the_gradient(flow: PushesScore, z: Tensor) -> None:
    """push_score(z, score) = grad log q'(z'), log q' = log q(inverse(z')) + log |det|, to 1e-12 of its size."""
    score = torch.linspace(-1, 2, z.numel(), dtype=z.dtype).reshape(z.shape)

    def log_q(image: Tensor) -> Tensor:
        back, log_det = flow.inverse(image)
        return (score * back).sum() + log_det.sum()

    exact = grad(log_q)(flow.forward(z)[0])
    pushed = flow.push_score(z, score)
    assert (pushed - exact).abs().max() <= 1e-12 * exact.abs().max(), (pushed - exact).abs().max()


@law("flow", planted=lambda: of(forward=lambda q, z: (z - z.mean(0), Stretch.forward(q, z)[1] * 0)))
def samples_do_not_mix(flow: Flow, z: Tensor) -> None:
    """The image of a sample is the one that it has alone, both ways."""
    for way, start in ((flow.forward, z), (flow.inverse, flow.forward(z)[0])):
        for whole, alone in zip(way(start), way(start[:1]), strict=True):
            torch.testing.assert_close(whole[:1], alone, rtol=1e-9, atol=1e-9)


@law("flow", planted=lambda: of(inverse=lambda q, z: (Stretch.inverse(q, z)[0] + 1e-9, Stretch.inverse(q, z)[1])))
def images_come_back_to_themselves(flow: Flow, z: Tensor) -> None:
    """|forward(inverse(y)) - y| <= 1e-10 in float64 and 1e-5 in float32, where images have the size of 1."""
    for dtype, most in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        cast = trees.map(lambda t, dtype=dtype: t.to(dtype) if t.is_floating_point() else t, flow)
        image, _ = cast.forward(z.to(dtype))
        again, _ = cast.forward(cast.inverse(image)[0])
        assert again.dtype == image.dtype == dtype, f"expected {dtype}, got {image.dtype} and {again.dtype}"
        worst = ((again - image).abs() / image.abs().clamp_min(1)).max()
        assert worst <= most, f"expected {most} in {dtype}, got {worst}"


@law("flow", planted=lambda: of(forward=lambda q, z: Stretch.forward(trees.stop(q), z)))
def every_field_has_a_gradient(flow: Flow, z: Tensor) -> None:
    """Image and log det depend on each of the flow's tensors."""

    def both(flow: Flow) -> Tensor:
        image, log_det = flow.forward(z)
        return image.sin().sum() + log_det.cos().sum()

    for path, slope in trees.paths(grad(both)(flow)).items():
        assert slope.isfinite().all(), f"{path} has a gradient that is not finite"
        assert slope.numel() == 0 or (slope != 0).any(), f"{path} has no gradient"


@law("flow", needs=Conditional, planted=lambda: [Subject(Conditional((STRETCH,), Z[0]), Z)])
def each_datum_has_its_own_context(flow: Conditional, z: Tensor) -> None:
    """Another context of the last datum moves its images, both ways, and no other datum's."""
    other = flow._replace(context=torch.cat([flow.context[:-1], flow.context[-1:] + 0.5]))
    for way in ("forward", "inverse"):
        one, two = getattr(flow, way)(z), getattr(other, way)(z)
        assert (one[0][:, -1] != two[0][:, -1]).any(), f"the context has no part in {way}"
        for a, b in zip(one, two, strict=True):
            torch.testing.assert_close(a[:, :-1], b[:, :-1], rtol=0, atol=1e-12)


def _unscaled(q: Stretch, z: Tensor, score: Tensor, context: Tensor | None = None, /) -> Tensor:
    return score


def _branches(q: Stretch, z: Tensor) -> tuple[Tensor, Tensor]:
    return Stretch.forward(q, z) if z.sum() > 0 else Stretch.forward(q, 1 * z)


@law("flow", planted=lambda: of(forward=_branches))
def flows_transform(flow: Flow, z: Tensor) -> None:
    """vmap(grad) in fields and z is a loop, and compiled as one graph it is the eager one."""
    leaves = [t for t in trees.leaves(flow) if t.is_floating_point()]
    vector, unravel = trees.ravel(flow) if leaves else (z.new_zeros(0), lambda v: flow)

    def both(v: Tensor, z: Tensor, image: Tensor) -> Tensor:
        there, log_det = unravel(v).forward(z)
        back, opposite = unravel(v).inverse(image)
        return there.sin().sum() + back.sin().sum() + (log_det * opposite.cos()).sum()

    gradient = grad(both, (0, 1))
    batch = torch.stack([z, z.flip(0)])
    images = torch.stack([flow.forward(each)[0] for each in batch])
    eager = [gradient(vector, *each) for each in zip(batch, images, strict=True)]
    for mapped, one, other in zip(vmap(gradient, (None, 0, 0))(vector, batch, images), *eager, strict=True):
        torch.testing.assert_close(mapped, torch.stack([one, other]), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(compiled(gradient)(vector, z, images[0]), eager[0], rtol=1e-8, atol=1e-8)


@law("flow", needs=Bijection, planted=lambda: [Subject(spoiled(Positive(), contains=_anything), Z)])
def its_set_is_the_image(bijection: Bijection, z: Tensor) -> None:
    """`contains` is true of every image, and false of NaN and of what has no inverse."""
    image, _ = bijection.forward(z)
    assert bijection.contains(image).all()
    assert not bijection.contains(image * torch.nan).any()
    for moved in (image + 7.3, image - 7.3):
        back, _ = bijection.inverse(moved)
        assert not (bijection.contains(moved) & ~back.isfinite().flatten(2).all(-1)).any()


@law("flow", needs=Bijection, planted=lambda: [Subject(spoiled(UnitInterval(), forward=_by_its_value), Z)])
def log_det_is_right_in_single_precision(bijection: Bijection, z: Tensor) -> None:
    """At scales up to 40 the log det of float32 is that of float64 to 1e-6 of its size."""
    narrow = trees.map(lambda t: t.float(), bijection)
    for scale in (1.0, 5.0, 40.0):
        exact = bijection.forward((scale * z).float().double())[1]
        single = narrow.forward((scale * z).float())[1].double()
        assert ((single - exact).abs() <= 1e-6 * scale * (1 + z.shape[-1])).all(), (single - exact).abs().max()


def _anything(q: Positive, value: Tensor) -> Tensor:
    return (value > -torch.inf).all(-1)


def _by_its_value(q: UnitInterval, z: Tensor) -> tuple[Tensor, Tensor]:
    value, _ = UnitInterval.forward(q, z)
    return value, (value * (1 - value)).log().sum(-1)


def _independent(rows: Tensor) -> list[int]:
    """The first rows (event, m) that are linearly independent, as many as there are columns."""
    chosen: list[int] = []
    for i in range(len(rows)):
        if torch.linalg.matrix_rank(rows[[*chosen, i]]) > len(chosen):
            chosen.append(i)
    return chosen
