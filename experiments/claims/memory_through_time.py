"""How far back a recurrent network's gradient reaches: |d state_t / d state_k| against t - k, by cell.

Claim    a tanh network that random inputs drive forgets exponentially at spectral radius 0.5, 1 and 1.5, since what
         saturates a unit takes its slope; an LSTM's cell has a direct path whose derivative is the product of its
         forget gates, so that open gates remember, and so are a GRU's update gates. Backpropagation through time is
         the double sum over when a loss is felt and when the weight was used (Werbos, 1990; Pascanu et al., 2013)
Command  python -m jensen.experiments.claims.memory_through_time
"""

if __name__ == "__main__":  # before the imports, in which Ctrl-C is then one line too
    from jensen.experiments.reproduce import launch

    launch(__file__)

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from matplotlib.figure import Figure
from torch import Tensor

from jensen.core import keys
from jensen.core.contracts import Key
from jensen.core.nn import linear, recurrent
from jensen.core.nn.recurrent import State
from jensen.core.trees import Params
from jensen.experiments.claims import computed
from jensen.experiments.claims.checked import check_at_least, check_seed
from jensen.experiments.claims.computed import Row
from jensen.experiments.report.drawing import line as curve
from jensen.experiments.report.drawing import panels, png
from jensen.experiments.run import files
from jensen.experiments.run.command import command

RADII = (0.5, 1.0, 1.5)  # of a tanh network's recurrent weight
FORGET = (0.0, 1.0, 3.0)  # biases of an LSTM's forget gates, and of a GRU's update gates
DOUBLE = torch.float64


@dataclass(frozen=True)
class Settings:
    """Differentiate states of recurrent networks at their start by earlier ones: a table, a figure and JSON lines."""

    out: Path = Path("runs/memory-through-time")
    """Folder of rows.jsonl and the figure; what it holds of these is replaced."""
    features: int = 24
    """Units of a network, and inputs."""
    steps: int = 40
    """Of a sequence of standard normal inputs."""
    networks: int = 5
    """Of each kind."""
    seed: int = 0
    """Everything random follows from it."""

    def check(self) -> None:
        """Raises an InputError for what cannot work."""
        check_at_least(self, features=2, steps=4, networks=2)
        check_seed(self.seed)


class Memory(NamedTuple):
    """Of networks of one kind: the geometric mean of the Jacobian's largest singular value, by distance."""

    cell: str
    setting: str
    norms: list[float]  # at 1, 2, ... steps

    @property
    def per_step(self) -> float:
        """What a step multiplies it by, over the second half of the distances."""
        half = len(self.norms) // 2
        return (self.norms[-1] / self.norms[half]) ** (1 / (len(self.norms) - 1 - half))


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    with command("run it again", "--features or --steps"):
        settings = tyro.cli(Settings, args=argv, prog="python -m jensen.experiments.claims.memory_through_time")
        settings.check()
        memories, exact = run(settings)
        print(f"{table(memories)}\n\n{computed.table(exact)}\n\nrows and figure in {settings.out}")


def run(settings: Settings) -> tuple[list[Memory], list[Row]]:
    """Measures, and leaves rows and the figure in the folder."""
    files.make(settings.out)
    memories = [remembered("rnn", f"radius {radius}", radius, settings) for radius in RADII]
    for cell in ("lstm", "gru"):
        memories += [remembered(cell, f"gate bias {bias:g}", bias, settings) for bias in FORGET]
    exact = [*identities(settings), *bounded(settings)]
    files.write_atomically(settings.out / "memory.png", png(draw(memories)))
    rows = [*(row._asdict() for row in memories), *({**row._asdict(), "holds": row.holds} for row in exact)]
    files.write_rows(settings.out / "rows.jsonl", rows)
    return memories, exact


def network(cell: str, setting: float, features: int, key: Key) -> Params:
    """Xavier's weights: a tanh network's scaled to a spectral radius, others' with a bias of what keeps the state."""
    params = recurrent.init(key, cell, features, features, dtype=DOUBLE)
    if cell == "rnn":
        weight = params["hidden"]["weight"]
        params["hidden"]["weight"] = weight * (setting / torch.linalg.eigvals(weight).abs().max())
    else:
        params["inputs"]["bias"][features : 2 * features] = setting  # the second gate: forget, or update
    return params


def jacobians(cell: str, params: Params, inputs: Tensor) -> list[Tensor]:
    """d state_t / d state_(t-1) at each step of inputs (t, i), states side by side, from a state of zeros."""
    features, parts = inputs.shape[1], recurrent.CELLS[cell].states
    state, found = torch.zeros(parts * features, dtype=DOUBLE), []
    for x in inputs:

        def after(state: Tensor, x: Tensor = x) -> tuple[Tensor, Tensor]:
            given: State = tuple(part[None] for part in state.chunk(parts))
            new = torch.cat(recurrent.apply(params, x[None, None], cell, given)[1], -1)[0]
            return new, new

        jacobian, state = torch.func.jacrev(after, has_aux=True)(state)
        found.append(jacobian)
    return found


def remembered(cell: str, name: str, setting: float, settings: Settings) -> Memory:
    """Norms of products of Jacobians that end at the last step, over networks; of an LSTM its cell's."""
    logs = []
    for key in keys.split(keys.key(settings.seed), settings.networks):
        steps = jacobians(cell, *drawn(cell, setting, settings, key))
        product, norms = torch.eye(len(steps[0]), dtype=DOUBLE), []
        for step in reversed(steps):
            product = product @ step
            own = product[settings.features :, settings.features :] if cell == "lstm" else product
            norms.append(torch.linalg.matrix_norm(own, 2))
        logs.append(torch.stack(norms).log())
    return Memory(cell, name, torch.stack(logs).mean(0).exp().tolist())


def drawn(cell: str, setting: float, settings: Settings, key: Key) -> tuple[Params, Tensor]:
    """A network and inputs for it."""
    init_key, data_key = keys.split(key)
    inputs = keys.normal(data_key, (1, settings.steps, settings.features), DOUBLE)[0]
    return network(cell, setting, settings.features, init_key), inputs


def identities(settings: Settings) -> list[Row]:
    """An LSTM's direct path is its forget gates' product, and autograd's gradient of a weight the double sum."""
    params, inputs = drawn("lstm", 1.0, settings, keys.key(settings.seed))
    features = settings.features
    h, c = (torch.zeros(1, features, dtype=DOUBLE) for _ in range(2))
    gates, direct = torch.ones(features, dtype=DOUBLE), torch.eye(features, dtype=DOUBLE)
    for x, step in zip(inputs, jacobians("lstm", params, inputs), strict=True):
        a = linear.apply(params["inputs"], x[None]) + linear.apply(params["hidden"], h)
        gates = gates * torch.sigmoid(a[0, features : 2 * features])
        direct = step[features:, features:] @ direct  # c's own path: through h it would leave the cell
        h, c = recurrent.apply(params, x[None, None], "lstm", (h, c))[1]
    off = (direct - torch.diag(gates)).abs().max().item()
    return [
        Row("LSTM", "1 + |direct path - product of the forget gates|", 1 + off, 1.0),
        Row("tanh network", "|double sum| / |autograd's gradient of the weight|", *double_sum(settings)),
    ]


def double_sum(settings: Settings) -> tuple[float, float]:
    """|sum_t sum_{k <= t} d loss_t / d h_t d h_t / d h_k d h_k / d W| over |d loss / d W|, and 1 where they are equal.

    The loss at each step is the sum of the states; where they are not equal the distance is added to the ratio.
    """
    params, inputs = drawn("rnn", 1.0, settings, keys.key(settings.seed))
    steps, states = jacobians("rnn", params, inputs), [torch.zeros(settings.features, dtype=DOUBLE)]
    for x in inputs:
        states.append(recurrent.apply(params, x[None, None], "rnn", (states[-1][None],))[1][0][0])

    def loss(weight: Tensor) -> Tensor:
        own = {**params, "hidden": {**params["hidden"], "weight": weight}}
        return recurrent.apply(own, inputs[None], "rnn")[0].sum()

    total = torch.zeros_like(params["hidden"]["weight"])
    for t in range(len(inputs)):
        felt = torch.ones(settings.features, dtype=DOUBLE)  # d loss_t / d h_k, from k = t down
        for k in range(t, -1, -1):
            total += torch.outer(felt * (1 - states[k + 1].square()), states[k])
            felt = felt @ steps[k]
    exact = torch.func.grad(loss)(params["hidden"]["weight"])
    return 1 + ((total - exact).norm() / exact.norm()).item(), 1.0


def bounded(settings: Settings) -> list[Row]:
    """No product of a tanh network's Jacobians is above the power of its weight's largest singular value."""
    found = []
    for radius in RADII:
        params, inputs = drawn("rnn", radius, settings, keys.key(settings.seed))
        largest = torch.linalg.matrix_norm(params["hidden"]["weight"], 2)
        product, worst = torch.eye(settings.features, dtype=DOUBLE), 0.0
        for distance, step in enumerate(reversed(jacobians("rnn", params, inputs)), 1):
            product = product @ step
            worst = max(worst, (torch.linalg.matrix_norm(product, 2) / largest**distance).item())
        found.append(Row("tanh network's bound", f"radius {radius}: |product| / |W|^(t - k)", worst, 1.0, relation="≤"))
    return found


def table(memories: Sequence[Memory]) -> str:
    """The norm after some steps, and what a step multiplies it by."""
    length = len(memories[0].norms)
    shown = sorted({1, 5, 10, length // 2, length} & set(range(1, length + 1)))
    lines = [f"{'|d state_t / d state_k|, t - k =':<36}{''.join(f'{n:>11}' for n in shown)}{'by step':>11}"]
    for row in memories:
        cells = "".join(f"{row.norms[n - 1]:>11.2g}" for n in shown)
        lines.append(f"  {f'{row.cell}, {row.setting}':<34}{cells}{row.per_step:>11.3f}")
    return "\n".join(lines)


def draw(memories: Sequence[Memory]) -> Figure:
    """A panel per cell: the norm against distance."""
    cells = list(dict.fromkeys(row.cell for row in memories))
    figure, axes = panels(1, len(cells), 11, 3.6)
    for axis, cell in zip(axes[0], cells, strict=True):
        for style, row in enumerate(each for each in memories if each.cell == cell):
            curve(axis, list(range(1, len(row.norms) + 1)), row.norms, row.setting, style)
        axis.set(yscale="log", title=cell, xlabel="t - k", ylabel="|d state_t / d state_k|")
        axis.grid(alpha=0.25)
        axis.legend(fontsize=8)
    return figure
