"""What a multimodal model makes of one modality: the other's ranks among many, and pictures of it."""

from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core.contracts import Key
from jensen.core.models.latent.multimodal import Multimodal
from jensen.core.numerics import log_sum_exp
from jensen.core.trees import Params
from jensen.experiments.report.chunks import Averaged, Rows, over_data
from jensen.experiments.report.images import Images, grid, shades, spread
from jensen.experiments.run.program import Finding, Row

CANDIDATES = 1000  # test data to rank, at most
SAMPLES = 10  # of q(z) given a modality
QUERIES = 8  # at once: the density of every candidate is evaluated at every sample of each


class Direction(NamedTuple):
    """One modality given the other, by number."""

    given: int
    found: int


@torch.no_grad()
def ranks(model: Multimodal, params: Params, x: Tensor, key: Key, direction: Direction) -> Tensor:
    """Of each datum's own modality among all data's, from 1 on, (n,): by log p(x_found | x_given) - log p(x_found).

    Bayes' rule for which candidate belongs to a query, where all others are draws of their own. The first is the mean
    of p(x_found | z) over draws of q(z | x_given), the second its mean over all data's x_given. A datum whose score is
    no number, or equal to others', is ranked behind them.
    """
    candidates = model.parts(x)[direction.found]

    def scores(rows: Tensor, key: Key) -> Rows:
        q = model.given(params, only(model, rows, direction.given))
        p = model.decode(params, q.sample(q.noise(key, SAMPLES)), direction.found)
        every = candidates[:, None, None].expand(-1, SAMPLES, len(rows), -1)
        return (log_sum_exp(p.log_prob(every), 1).mT,)

    (given,) = over_data(scores, x, key, QUERIES)
    found = given - log_sum_exp(given, 0)
    return len(x) - (found < found.diagonal()[:, None]).sum(1)


def retrieval(model: Multimodal, params: Params, x: Tensor, key: Key, names: tuple[str, str]) -> Finding:
    """Shares of test data whose own modality is the first, or among the first five, given the other; and chance."""
    x = x[:CANDIDATES]
    n = len(x)
    lines = [f"{f'retrieval among {n} test data':<36}{'recall@1':>14}{'recall@5':>16}"]
    rows: list[Row] = []
    for direction in (Direction(0, 1), Direction(1, 0)):
        found = ranks(model, params, x, key, direction)
        row: Row = {"given": names[direction.given], "found": names[direction.found], "candidates": n}
        shown = ""
        for first in (1, 5):
            share = (found <= first).double().mean().item()
            error = (share * (1 - share) / n) ** 0.5
            row |= {f"recall_{first}": share, f"error_{first}": error, f"chance_{first}": min(first, n) / n}
            shown += f"{share:>9.3f} ± {error:.3f}"
        rows.append(row)
        lines.append(f"{f'{names[direction.found]} given {names[direction.given]}':<34}{shown}")
    lines.append(f"{'chance':<34}{1 / n:>9.3f}{'':8}{min(5, n) / n:>8.3f}")
    return Finding("retrieval", rows, "\n".join(lines) + "\n")


@torch.no_grad()
def completions(
    model: Multimodal, params: Params, images: Images, key: Key, names: tuple[str, str], count: int = 12, draws: int = 3
) -> Figure:
    """Test images, and each with one half as it is and the other as it is drawn given that one."""
    x = spread(images.test, count)
    whole, labels = [x], ["data"]
    for direction in (Direction(0, 1), Direction(1, 0)):
        q = model.given(params, only(model, x, direction.given))
        p = model.decode(params, q.sample(q.noise(key, draws)), direction.found)
        assert isinstance(p, Averaged)
        kept = model.parts(x)[direction.given]
        for drawn in p.mean():
            halves = {direction.given: kept, direction.found: drawn}
            whole.append(torch.cat([halves[0], halves[1]], -1))
            labels.append(f"given {names[direction.given]}")
    title = "Test images, and one half given the other (means at draws of z)"
    return grid(whole, images, labels, title, limits=shades(images.test))


def only(model: Multimodal, x: Tensor, modality: int) -> list[Tensor | None]:
    """The parts of rows but for all other modalities, which are missing."""
    return [part if i == modality else None for i, part in enumerate(model.parts(x))]
