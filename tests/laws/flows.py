"""Laws of flows: each way undoes the other, and log |det| is that of the Jacobian."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

from jensen.core import keys, trees
from jensen.core.contracts import Flow
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
    """inverse(forward(z)) = z = forward(inverse(z)), and their log |det| are opposite."""
    for there, back in ((flow.forward, flow.inverse), (flow.inverse, flow.forward)):
        image, log_det = there(z)
        again, opposite = back(image)
        torch.testing.assert_close(again, z, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(log_det, -opposite, rtol=1e-8, atol=1e-8)


@law("flow", planted=lambda: [*of(forward=half), *of(inverse=lambda q, z: (Stretch.inverse(q, z)[0], z[..., 0] * 0))])
def log_det_is_that_of_the_jacobian(flow: Flow, z: Tensor) -> None:
    """log_det (s, n) = log |det d z' / d z| by autograd, both ways."""
    for way in (flow.forward, flow.inverse):
        _, log_det = way(z)
        assert log_det.shape == z.shape[:2], f"expected log_det {tuple(z.shape[:2])}, got {tuple(log_det.shape)}"
        jacobian = jacrev(lambda z, way=way: way(z)[0].sum((0, 1)))(z)  # samples and data do not meet
        exact = torch.linalg.slogdet(jacobian.movedim(0, -2)).logabsdet
        torch.testing.assert_close(log_det, exact, rtol=1e-8, atol=1e-8)


@law("flow", planted=lambda: of(forward=lambda q, z: (z - z.mean(0), Stretch.forward(q, z)[1] * 0)))
def samples_do_not_mix(flow: Flow, z: Tensor) -> None:
    """The image of a sample is the one that it has alone."""
    for way in (flow.forward, flow.inverse):
        for whole, alone in zip(way(z), way(z[:1]), strict=True):
            torch.testing.assert_close(whole[:1], alone, rtol=1e-9, atol=1e-9)


def _branches(q: Stretch, z: Tensor) -> tuple[Tensor, Tensor]:
    return Stretch.forward(q, z) if z.sum() > 0 else Stretch.forward(q, 1 * z)


@law("flow", planted=lambda: of(forward=_branches))
def flows_transform(flow: Flow, z: Tensor) -> None:
    """vmap(grad) in fields and z is a loop, and compiled as one graph it is the eager one."""
    leaves = [t for t in trees.leaves(flow) if t.is_floating_point()]
    vector, unravel = trees.ravel(flow) if leaves else (z.new_zeros(0), lambda v: flow)

    def both(v: Tensor, z: Tensor) -> Tensor:
        there, log_det = unravel(v).forward(z)
        back, opposite = unravel(v).inverse(z)
        return (there + back).sin().sum() + (log_det * opposite.cos()).sum()

    gradient = grad(both, (0, 1))
    batch = torch.stack([z, z.flip(0)])
    eager = [gradient(vector, each) for each in batch]
    for mapped, one, other in zip(vmap(gradient, (None, 0))(vector, batch), *eager, strict=True):
        torch.testing.assert_close(mapped, torch.stack([one, other]), rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(compiled(gradient)(vector, z), eager[0], rtol=1e-8, atol=1e-8)
