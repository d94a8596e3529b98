"""What a training run is: the options of the command line, and how a run folder keeps them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

Estimator = Literal[
    "auto", "analytic-kl", "pathwise", "stl", "dreg", "score", "muprop", "straight-through", "concrete",
    "gumbel-straight-through", "rebar", "relax", "arm", "disarm", "wake",
]  # fmt: skip

FREE = ("data_dir", "on_nan", "log_every", "checkpoint_every", "evidence_k")  # may change when a run goes on


class InputError(ValueError):
    """Something the user gave cannot work; the message is one line that says what to do instead."""


@dataclass(frozen=True)
class Settings:
    """Train a latent-variable model and report its test bound, evidence and posterior."""

    model: Literal["vae", "sbn"] = "vae"
    """A variational autoencoder, or a sigmoid belief net of binary latents."""
    data: Literal["digits", "mnist", "mnist-static"] = "digits"
    """digits ships with scikit-learn (1,797 images of 8 x 8); mnist is downloaded, or read from --data-dir.
    mnist-static, which is binarised once and for all, is read from there."""
    data_dir: Path | None = None
    """Folder of the four MNIST idx files, plain or .gz; for mnist-static, of binarized_mnist.npz."""
    pixels: Literal["auto", "dynamic", "static", "grey"] = "auto"
    """dynamic: binary, drawn anew at each step; static: binary, drawn once; grey: in [0, 1] as they are.
    auto: dynamic, or static for mnist-static."""
    likelihood: Literal["bernoulli", "continuous-bernoulli", "gaussian", "soft-bernoulli"] = "bernoulli"
    """p(x | z); soft-bernoulli is the cross-entropy to grey pixels, which is no density."""
    network: Literal["mlp", "conv"] = "mlp"
    """Encoder and decoder (vae)."""
    hidden: tuple[int, ...] | None = None
    """Widths of the mlp's hidden layers. Unless given, 200 200 for the vae, and none for the sbn, which is linear."""
    channels: tuple[int, ...] = (32, 64)
    """Channels of the conv network's levels, each of which halves the image."""
    activation: Literal["relu", "sigmoid", "tanh", "leaky_relu", "gelu"] = "tanh"
    """Between layers (vae)."""
    latent: int = 16
    """Latent dimensions (vae)."""
    units: int = 200
    """Latent units of each layer (sbn)."""
    layers: Literal[1, 2] = 1
    """Layers of units (sbn)."""
    bound: Literal["elbo", "iwae"] = "elbo"
    """What is maximised."""
    k: int = 1
    """Samples per datum and step."""
    estimator: Estimator = "auto"
    """Of the bound's gradient. auto: analytic-kl (vae, elbo), pathwise (vae, iwae) or score (sbn)."""
    baseline: Literal["auto", "none", "leave-one-out", "vimco", "nvil"] = "auto"
    """What score subtracts; nvil learns a network. auto: leave-one-out, or none for --k 1."""
    temperature: float = 0.5
    """Of concrete, gumbel-straight-through and rebar, and where that of relax starts."""
    kl_weight: float = 1.0
    """The KL's weight in the objective (beta); analytic-kl and pathwise only."""
    kl_warmup: int = 0
    """Steps over which that weight rises linearly from 0."""
    free_bits: float = 0.0
    """Nats per latent dimension that cost nothing (analytic-kl only)."""
    lr: float = 1e-3
    """Adam's peak learning rate."""
    lr_final: float = 0.1
    """What the cosine decays to, as a fraction of the peak; 1 keeps it constant."""
    lr_warmup: int = 0
    """Steps over which the learning rate rises linearly from 0."""
    clip: float | None = None
    """The largest gradient norm; larger gradients are scaled down to it."""
    batch: int = 100
    """Data per step; each epoch is a new order, and its last incomplete batch is left out."""
    epochs: int = 200
    """Passes over the training data, unless --steps is given."""
    steps: int | None = None
    """Steps, instead of epochs."""
    patience: int | None = None
    """Stop after this many epochs without a better bound on held-out data (the last tenth of the training data)."""
    seed: int = 0
    """Everything random follows from it."""
    compile: bool = True
    """Compile the step and the evaluation with torch.compile."""
    device: str = "cpu"
    """A torch device."""
    dtype: Literal["float32", "float64", "bfloat16"] = "float32"
    """Of parameters and data."""
    on_nan: Literal["raise", "skip"] = "raise"
    """At a step whose bound or gradient is not finite: stop, or skip the update, count it and go on."""
    log_every: int = 50
    """Steps per row of metrics.jsonl; a row is their mean."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    evidence_k: int = 1000
    """Importance samples per test datum for the NLL."""
    out: Path | None = None
    """The run folder; runs/<time>-<model>-<data> unless given. It must not hold a run."""
    resume: Path | None = None
    """Go on with the run in this folder, with the settings it was started with."""

    def config(self) -> dict[str, Any]:
        """What decides the trained parameters, as JSON values: what --resume must find unchanged."""
        return {name: value for name, value in self.saved().items() if name not in FREE}

    def saved(self) -> dict[str, Any]:
        """Everything but the run's own place, as JSON values, for a later run to start from."""
        values = {name: getattr(self, name) for name in field_names() if name not in ("out", "resume")}
        values["data_dir"] = str(self.data_dir.resolve()) if self.data_dir else None
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_saved(cls, saved: dict[str, Any]) -> "Settings":
        """The inverse of `saved`. InputError for what another version wrote, ValueError for values of other types."""
        if not isinstance(saved, dict):
            raise ValueError(f"expected an object of settings, got {saved!r}")
        odd = sorted(set(saved) ^ (set(field_names()) - {"out", "resume"}))
        if odd:
            raise InputError(f"it is of another version, which differs in {', '.join(odd)}: start a new run")
        check_types(cls, saved)
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()}
        values["data_dir"] = Path(saved["data_dir"]) if saved["data_dir"] else None
        return cls(**values)

    @property
    def weighting(self) -> str:
        """How the objective differs from the bound, in words; "" where it does not."""
        parts = {
            f"KL weight {self.kl_weight:g}": self.kl_weight != 1,
            f"warm-up over {self.kl_warmup} steps": self.kl_warmup,
            f"free bits {self.free_bits:g} nats per dimension": self.free_bits,
        }
        return ", ".join(part for part, differs in parts.items() if differs)

    @property
    def effective_pixels(self) -> str:
        automatic = "static" if self.data == "mnist-static" else "dynamic"
        return automatic if self.pixels == "auto" else self.pixels

    @property
    def effective_hidden(self) -> tuple[int, ...]:
        automatic = (200, 200) if self.model == "vae" else ()
        return automatic if self.hidden is None else self.hidden

    @property
    def effective_estimator(self) -> str:
        automatic = "score" if self.model == "sbn" else "analytic-kl" if self.bound == "elbo" else "pathwise"
        return automatic if self.estimator == "auto" else self.estimator

    @property
    def effective_baseline(self) -> str:
        automatic = "leave-one-out" if self.k > 1 else "none"
        return automatic if self.baseline == "auto" else self.baseline


def check_types(cls: type, values: Mapping[str, Any]) -> None:
    """ValueError for the first JSON value that its field's annotation does not allow."""
    for name, kind in get_type_hints(cls).items():
        if name in values and not fits(values[name], kind):
            expected = " or ".join(map(repr, get_args(kind))) if get_origin(kind) is Literal else kind
            expected = expected.__name__ if isinstance(expected, type) else expected
            raise ValueError(f"expected {name} of {expected}, got {values[name]!r}")


def fits(value: Any, kind: Any) -> bool:
    """Whether a JSON value is of an annotation: whole numbers are floats too, true and false are no numbers."""
    of = get_args(kind)
    if get_origin(kind) is Literal:
        return any(type(value) is type(each) and value == each for each in of)
    if get_origin(kind) is UnionType:
        return any(fits(value, each) for each in of)
    if get_origin(kind) in (tuple, list):
        return isinstance(value, list) and all(fits(each, of[0]) for each in value)
    return type(value) in {float: (float, int), Path: (str,)}.get(kind, (kind,))


def field_names() -> list[str]:
    return [field.name for field in dataclasses.fields(Settings)]


def option(name: str) -> str:
    return "--" + name.replace("_", "-")
