"""How one symbol is drawn of logits, by settings that are tensors: `sampling.Choice` in a program."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import vmap

from jensen.core import keys
from jensen.core.models.autoregressive import sampling
from jensen.core.numerics import at_least_float32
from jensen.experiments.deployment.functions import KEY
from jensen.experiments.deployment.manifest import Argument

CHOICE = (
    Argument("temperature", "float32", (), "what logits are divided by; 0 takes the likeliest symbol", 0, 1e6),
    Argument("top_k", "int64", (), "only so many of the likeliest symbols; 2^20 takes all", 1, 2**20),
    Argument("nucleus", "float32", (), "only the fewest likeliest symbols of this probability; 1 takes all", 1e-6, 1),
    Argument("min_p", "float32", (), "only those of this share of the likeliest's probability; 0 takes all", 0, 1),
)
EVERYTHING = {"temperature": 1.0, "top_k": 2**20, "nucleus": 1.0, "min_p": 0.0}  # the model's own distribution
DRAWN_BY = (KEY, *CHOICE)


def drawn(
    logits: Float[Tensor, "n v"], position: Int[Tensor, " n"], key: Int[Tensor, "n 3"],
    temperature: Float[Tensor, " n"], top_k: Int[Tensor, " n"], nucleus: Float[Tensor, " n"],
    min_p: Float[Tensor, " n"],
) -> Int[Tensor, " n"]:  # fmt: skip
    """The symbols at positions that `sampling.stream` draws by the keys."""
    logits, likeliest = at_least_float32(logits), temperature == 0
    ranked, order = torch.sort(logits / torch.where(likeliest, 1, temperature)[:, None], descending=True)
    p, rank = torch.softmax(ranked, -1), torch.arange(ranked.shape[1], device=ranked.device)
    kept = rank < torch.where(likeliest, 1, top_k)[:, None]
    kept = kept & ((p.cumsum(-1) - p < nucleus[:, None]) | (nucleus >= 1)[:, None])
    kept = kept & (torch.exp(ranked - ranked[:, :1]) >= min_p[:, None])
    noise = vmap(lambda key, at: sampling.gumbel(keys.at(key, particle=at), rank.shape, ranked.dtype))(key, position)
    best = (torch.where(kept, ranked, -torch.inf) + noise.gather(-1, order)).argmax(-1, keepdim=True)
    return order.gather(-1, best)[:, 0]
