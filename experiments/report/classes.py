"""What a model of images makes of each class: one row per draw of the other latents, one column per class."""

import torch
from matplotlib.figure import Figure
from torch.nn import functional as F

from jensen.core.contracts import Key
from jensen.core.models.latent.semi import M2, Stacked
from jensen.core.trees import Params
from jensen.experiments.report.images import Images, expected, grid


@torch.no_grad()
def by_class(model: M2 | Stacked, params: Params, images: Images, key: Key, rows: int = 8) -> Figure:
    """Mean images of each class at the same draws of z."""
    above, own = (model, params) if isinstance(model, M2) else (model.second, params["second"])
    p = above.prior(own, 1)
    z = p.sample(p.noise(key, rows))["z"].expand(-1, above.classes, -1)
    y = F.one_hot(torch.arange(above.classes, device=z.device), above.classes).to(z)[:, None].expand(rows, -1, -1, -1)
    latents = {"y": y, "z": z}
    if not isinstance(model, M2):
        latents["features"] = expected(above, own, latents)
    pictures = expected(model, params, latents)
    return grid(list(pictures), images, [""] * rows, "One draw of z per row, one class per column (means)")
