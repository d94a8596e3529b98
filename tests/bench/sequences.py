"""What sequences cost: recurrent gradients beside torch.nn's, a transformer's step, generation with a cache."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import grad, grad_and_value
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.contracts import Key
from jensen.core.models.autoregressive import sampling, transformer
from jensen.core.models.autoregressive.sampling import Choice
from jensen.core.models.autoregressive.transformer import Transformer
from jensen.core.nn import recurrent
from jensen.core.trees import Params
from jensen.experiments.run.compilation import compiled
from tests.bench.race import Call, Race

KEY = keys.key(0)
BATCH, LENGTH, INPUTS, FEATURES = 32, 64, 64, 128
ROWS, CONTEXT, WIDTH, LAYERS, HEADS, SYMBOLS = 16, 128, 128, 4, 4, 256
DRAWN = 512
MODULES: dict[str, Callable[..., nn.Module]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def gradients(cell: str) -> Callable[[str], Race]:
    """The gradient of a layer's weights, length 64, batch 32, width 128."""

    def race(device: str) -> Race:
        key = KEY.to(device)
        x, target = (keys.normal(keys.fold_in(key, i), (BATCH, LENGTH, d)) for i, d in enumerate((INPUTS, FEATURES)))
        params = recurrent.init(key, cell, INPUTS, FEATURES)
        module = MODULES[cell](INPUTS, FEATURES, batch_first=True).to(device)

        def loss(params: trees.Params) -> Tensor:
            return (recurrent.apply(params, x, cell)[0] - target).square().mean()

        def torchs() -> None:
            module.zero_grad()
            (module(x)[0] - target).square().mean().backward()

        gradient, fast = grad(loss), compiled(grad(loss))
        candidates: dict[str, Call] = {
            "torch.nn": torchs, "eager": lambda: gradient(params), "compiled": lambda: fast(params),
        }  # fmt: skip
        return Race(f"gradient of a {cell}, length 64, batch 32, width 128", "torch.nn", candidates)

    return race


class Encoder(nn.Module):
    """The same transformer of torch.nn's layers, with learned positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(SYMBOLS, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        """The mean negative log p of each symbol given those before."""
        places = torch.arange(CONTEXT - 1, device=x.device)
        future = nn.Transformer.generate_square_subsequent_mask(CONTEXT - 1, device=x.device)
        h = self.blocks(self.embedding(x[:, :-1]) + self.positions(places), mask=future, is_causal=True)
        return F.cross_entropy((h @ self.embedding.weight.T).flatten(0, 1), x[:, 1:].flatten())


def step(device: str) -> Race:
    """4 layers, 128 wide, context 128, batch 16, with fused AdamW."""
    x = keys.bits(KEY.to(device), (ROWS, CONTEXT)) % SYMBOLS
    model = transformer.build(SYMBOLS, WIDTH, LAYERS, HEADS, CONTEXT, positions="learned")
    params, module = model.init(KEY.to(device)), Encoder().to(device)
    gradient = compiled(grad_and_value(lambda p, x: -model.log_probs(p, x).mean()))
    own = torch.optim.AdamW(trees.leaves(params), fused=True)
    theirs, forward = torch.optim.AdamW(module.parameters(), fused=True), torch.compile(module)

    def ours() -> None:
        slopes, _ = gradient(params, x)
        for leaf, slope in zip(trees.leaves(params), trees.leaves(slopes), strict=True):
            leaf.grad = slope
        own.step()

    def torchs() -> None:
        theirs.zero_grad()
        forward(x).backward()
        theirs.step()

    name = "step of a transformer, 4 x 128, context 128, batch 16"
    return Race(
        name, "nn.TransformerEncoder, compiled", {"nn.TransformerEncoder, compiled": torchs, "jensen": ours}, calls=5
    )


def generation(device: str) -> Race:
    """512 symbols of one sequence, the likeliest after each other, beside reading all of them again for each."""
    model, params, key = drawer(device)

    @torch.no_grad()
    def uncached() -> None:
        inputs = params["start"].expand(1, 1, -1)
        for _ in range(DRAWN):
            features, _ = model.read(params, inputs, None)
            symbols = model.output(params, features[:, -1:]).argmax(-1)
            inputs = torch.cat([inputs, params["embedding"][symbols]], 1)

    def cached() -> None:
        sampling.draw(model, params, key, 1, DRAWN, choice=Choice(temperature=0.0))

    return Race(
        "512 symbols of a transformer, 4 x 128", "cached", {"cached": cached, "uncached": uncached},
        rounds=5, calls=1, warm=1,
    )  # fmt: skip


def lengths(device: str) -> Race:
    """Whether generation is linear in length: as many symbols in one sequence and in two, one after another."""
    model, params, key = drawer(device)

    def drawn(times: int) -> Callable[[], None]:
        def call() -> None:
            for _ in range(times):
                sampling.draw(model, params, key, 1, DRAWN // times)

        return call

    candidates: dict[str, Call] = {"two of 256": drawn(2), "one of 512": drawn(1)}
    return Race("512 symbols of a transformer, in one sequence and in two", "two of 256", candidates, rounds=5, calls=1)


def drawer(device: str) -> tuple[Transformer, Params, Key]:
    """What draws, untrained."""
    model, key = transformer.build(SYMBOLS, WIDTH, LAYERS, HEADS, DRAWN), KEY.to(device)
    return model, model.init(key), key
