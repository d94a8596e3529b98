"""Models of images with latents as functions of rows: encode, decode, reconstruct, sample and score."""

import math
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from jensen.core import bounds, distributions, keys
from jensen.core.contracts import ClosedForm, Distribution, Key, can
from jensen.core.distributions import DiagNormal
from jensen.core.numerics import bounded
from jensen.core.trees import Params, Tree
from jensen.experiments.deployment.functions import KEY, Functions, Rows, by_row, dtype_of
from jensen.experiments.deployment.manifest import Argument
from jensen.experiments.programs.adapted import ImageModel
from jensen.experiments.programs.finished import FinishedRun, of_latents
from jensen.experiments.report.chunks import Averaged

NO_MEAN = "p(x | z) has no mean in closed form"


@runtime_checkable
class Conditional(Protocol):
    """A model of data given a condition, whose rows have both side by side."""

    def given(self, params: Params, z: Tensor, c: Tensor, /) -> Distribution: ...
    def parts(self, x: Tensor, /) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Latents:
    """A run of such a model; a score takes k samples."""

    run: FinishedRun
    k: int

    @property
    def model(self) -> ImageModel:
        return of_latents(self.run).model

    @property
    def conditional(self) -> Conditional | None:
        plain = self.run.prepared.program.model
        return plain if can(plain, Conditional) else None

    def params(self, tree: Tree) -> Params:
        """The model's."""
        return of_latents(self.run._replace(**tree)).params

    def posterior(self, tree: Tree, x: Tensor) -> Distribution:
        return self.model.posterior(self.params(tree), x)

    def mean(self, tree: Tree, z: Tensor, *c: Tensor) -> Tensor:
        """Of p(x | z), or p(x | z, c): z (n, d) and c (n, C) -> (n, D). TypeError where it has none."""
        params, z = self.params(tree), z[None]
        p = self.model.likelihood(params, z) if self.conditional is None else self.conditional.given(params, z, *c)
        if not can(p, Averaged):
            raise TypeError(NO_MEAN)
        return p.mean()[0]

    def encode_normal(self, tree: Tree, x: Tensor) -> tuple[Tensor, Tensor]:
        q = self.posterior(tree, x)
        assert isinstance(q, DiagNormal)
        return q.loc, bounded(q.log_scale)

    def encode_mean(self, tree: Tree, x: Tensor) -> Tensor:
        q = self.posterior(tree, x)
        assert can(q, ClosedForm)
        return q.mean()

    def reconstruct(self, tree: Tree, x: Tensor) -> Tensor:
        c = () if self.conditional is None else self.conditional.parts(x)[1:]
        return self.mean(tree, self.encode_mean(tree, x), *c)

    def sample(self, tree: Tree, key: Key, *c: Tensor) -> Tensor:
        """Of one row."""
        p = self.model.prior(self.params(tree), 1)
        return self.mean(tree, p.sample(p.noise(key, 1))[0], *(each[None] for each in c))[0]

    def score(self, tree: Tree, x: Tensor, key: Key) -> tuple[Tensor, Tensor, Tensor]:
        """Of one row: with w_k = p(x, z_k) / q(z_k | x), mean log w, log mean w, and the error of that."""
        z, log_q = distributions.draw(self.posterior(tree, x[None]), key, self.k)
        log_w = self.model.log_joint(self.params(tree), x[None], z) - log_q
        share = torch.softmax(log_w, 0) * self.k  # w over its mean
        return bounds.elbo(log_w)[0], bounds.iwae(log_w)[0], share.std(0)[0] / math.sqrt(self.k)


def functions(run: FinishedRun, k: int) -> Functions:
    """Of a model whose latents are a tensor, all that its posterior and its likelihood allow."""
    of, tree = Latents(run, k), {"params": run.params, "state": run.state}
    images = run.prepared.data.train[:2]
    x = images if _takes_grey(of, tree, images) else images.round()
    q = of.posterior(tree, x)
    z = q.sample(q.noise(keys.key(0, x.device), 1))
    pixels = _pixels(x, binary=x is not images)
    about = f"the ELBO and log p(x) by importance, of {k} samples of q, in nats"
    named = (("elbo", "mean log w"), ("log_p", "log mean w"), ("standard_error", "of log_p"))
    rows = {"score": Rows(about, by_row(of.score), (pixels, KEY), named)}
    left_out: dict[str, str] = {}
    if not isinstance(z, Tensor) or z.ndim != 3:
        return Functions(
            tree, rows, _without("its latents are no vectors", "encode", "decode", "reconstruct", "sample")
        )
    latent = Argument("z", dtype_of(z), tuple(z.shape[2:]), "a row of latents per datum")
    given = () if of.conditional is None else (_condition(of.conditional.parts(x)[1]),)
    try:
        of.mean(tree, z[0], *(x[:, -each.shape[0] :] for each in given))
    except TypeError as error:
        return Functions(tree, rows, _without(str(error), "decode", "reconstruct", "sample"))
    mean = (("mean", "of p(x | z), in the data's units"),)
    rows["decode"] = Rows("the mean of data given latents", of.mean, (latent, *given), mean)
    rows["sample"] = Rows("the mean of data at a draw of the prior", by_row(of.sample), (KEY, *given), mean)
    if can(q, ClosedForm):
        rows["reconstruct"] = Rows("the mean of data at the mean of q(z | x)", of.reconstruct, (pixels,), mean)
        normal, moments = (("loc", "mean of q(z | x)"), ("log_scale", "log of its scale")), (("mean", "of q(z | x)"),)
        rows["encode"] = (
            Rows("q(z | x), a diagonal normal", of.encode_normal, (pixels,), normal)
            if isinstance(q, DiagNormal)
            else Rows("the mean of q(z | x)", of.encode_mean, (pixels,), moments)
        )
    else:
        left_out = _without(f"q(z | x), {type(q).__name__}, has no mean in closed form", "encode", "reconstruct")
    return Functions(tree, rows, left_out)


def _without(why: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, why)


def _takes_grey(of: Latents, tree: Tree, x: Tensor) -> bool:
    """Whether the model refuses pixels between 0 and 1."""
    grey = x.clone()
    grey[:, 0] = 0.5
    try:
        of.posterior(tree, grey)
    except ValueError:
        return False
    return True


def _pixels(x: Tensor, binary: bool) -> Argument:
    plain = Argument(
        "x", dtype_of(x), tuple(x.shape[1:]), "a row of pixels per datum, with its condition if it has one"
    )
    return replace(plain, low=0.0, high=1.0, whole=True) if binary else plain


def _condition(c: Tensor) -> Argument:
    return Argument("c", dtype_of(c), tuple(c.shape[1:]), "a row of the condition per datum")
