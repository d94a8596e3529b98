"""What the units of a Poisson VAE stand for: a linear decoder's dictionary, how seldom units fire, reconstructions."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core.models.latent.poisson import PoissonVAE
from jensen.core.trees import Params
from jensen.experiments.report.images import Images, compared, expected, grid, spread
from jensen.experiments.run.program import Finding

SMALL = 0.1  # rates below it are called silent
ACROSS = 16  # of the dictionary's figure


@torch.no_grad()
def sparse_figures(model: PoissonVAE, params: Params, images: Images) -> dict[str, Figure]:
    """Reconstructions at the rates of test data, and the dictionary of a linear decoder, by name."""
    x = spread(images.test, 12)
    at_rates = expected(model, params, model.posterior(params, x).rate[None].to(x.dtype))[0]
    found = {"reconstructions": compared(x, at_rates, images)}
    if model.linear:
        use = model.posterior(params, images.test).rate.mean(0)
        found["dictionary"] = dictionary(model.dictionary(params)[use.argsort(descending=True)], images)
    return found


def dictionary(atoms: Tensor, images: Images) -> Figure:
    """Atoms (d, D) as images in their order, each from minus its largest value, black, to that."""
    rows = (atoms / atoms.abs().amax(-1, keepdim=True).clamp_min(1e-12)).split(ACROSS)
    title = f"{len(atoms)} atoms, the most used first"
    return grid(rows, images, [""] * len(rows), title, "gray", (-1.0, 1.0))


@torch.no_grad()
def sparsity(model: PoissonVAE, params: Params, x: Tensor) -> Finding:
    """How much of q's rates is small, and how the prior's spread."""
    rate, prior = model.posterior(params, x).rate, model.prior(params, 1).rate
    row = {
        "share_below": (rate < SMALL).double().mean().item(),
        "threshold": SMALL,
        "mean_rate": rate.mean().item(),
        "counts": rate.sum(-1).mean().item(),
        "least_prior_rate": prior.min().item(),
        "largest_prior_rate": prior.max().item(),
    }
    lines = [
        f"{f'rates below {SMALL:g}':<28}{100 * row['share_below']:>9.1f} %",
        f"{'counts per datum':<28}{row['counts']:>9.2f} of {model.latent} units",
        f"{'rates of the prior':<28}{prior.mean().item():>9.3f}   {prior.min().item():.3f} … {prior.max().item():.3f}",
    ]
    return Finding("sparsity", [row], "\n".join(lines) + "\n")
