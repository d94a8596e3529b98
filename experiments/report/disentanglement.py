"""Whether latent dimensions are the factors that images were drawn from: MIG, SAP and DCI of posterior means."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core.contracts import LatentModel
from jensen.core.trees import Params
from jensen.estimators.diagnostics import dci, mig, sap
from jensen.experiments.report.chunks import posterior_means
from jensen.experiments.report.drawing import panels
from jensen.experiments.run.program import Finding


@torch.no_grad()
def disentanglement(model: LatentModel, params: Params, x: Tensor, factors: Mapping[str, Tensor]) -> Finding:
    """Scores of the codes of x (n, D), whose factors (n,) have names: their means first, then a row for each factor."""
    codes, classes = posterior_means(model, params, x).cpu(), torch.stack(list(factors.values()), 1).cpu()
    if codes.shape[1] < 2:
        return Finding("disentanglement", [], "one latent dimension: MIG, SAP and DCI compare two or more\n")
    gap, accuracy, parts = mig(codes, classes), sap(codes, classes), dci(codes, classes)
    scores = {"mig": gap.score, "sap": accuracy.score, "disentanglement": parts.disentanglement,
              "completeness": parts.completeness, "informativeness": parts.informativeness.mean()}  # fmt: skip
    by_factor = {"mig": gap.gap, "sap": accuracy.gap, "informativeness": parts.informativeness}
    rows = [{"of": "all factors", **{name: t.item() for name, t in scores.items()}}]
    rows += [
        {"of": name, "best": int(gap.information[:, i].argmax()), **{s: t[i].item() for s, t in by_factor.items()}}
        for i, name in enumerate(factors)
    ]
    return Finding("disentanglement", rows, table(rows), information(parts.importance, list(factors)))


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """One line for all factors, and one for each."""
    names = ("mig", "sap", "disentanglement", "completeness", "informativeness")
    lines = [f"{'known factors, in [0, 1]':<28}" + "".join(f"{name.upper() if len(name) == 3 else name:>16}"
                                                              for name in names)]  # fmt: skip
    for row in rows:
        place = f"{row['of']}, best in z[{row['best']}]" if "best" in row else str(row["of"])
        lines.append(f"{place:<28}" + "".join(f"{row[name]:>16.3f}" if name in row else f"{'':>16}" for name in names))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def information(shares: Tensor, factors: Sequence[str]) -> Figure:
    """The share of each factor's entropy that each dimension has, (d, f), 0 where that may be chance."""
    figure, axes = panels(1, 1, 1.5 + 0.35 * len(shares), 2.5)
    drawn = axes[0, 0].imshow(shares.T.numpy(), vmin=0, vmax=1, cmap="Blues", aspect="auto")
    axes[0, 0].set_yticks(range(len(factors)), factors)
    axes[0, 0].set_xticks(range(len(shares)), [f"z[{j}]" for j in range(len(shares))], fontsize=7)
    axes[0, 0].set_title("Share of a factor's entropy that a dimension has", fontsize=9)
    figure.colorbar(drawn, ax=axes[0, 0])
    return figure
