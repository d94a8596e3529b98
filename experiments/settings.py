"""What a training run is: the options of the command line, and the checks that need nothing but them."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

FREE = ("data_dir", "on_nan", "log_every", "checkpoint_every", "evidence_k")  # may change when a run goes on


class InputError(ValueError):
    """Something the user gave cannot work; the message is one line that says what to do instead."""


@dataclass(frozen=True)
class Settings:
    """Train a latent-variable model and report its test bound, evidence and posterior."""

    model: Literal["vae"] = "vae"
    """The model."""
    data: Literal["digits", "mnist"] = "digits"
    """digits ships with scikit-learn (1,797 images of 8 x 8); mnist is downloaded, or read from --data-dir."""
    data_dir: Path | None = None
    """Folder of the four MNIST idx files, plain or .gz."""
    pixels: Literal["dynamic", "static", "grey"] = "dynamic"
    """dynamic: binary, drawn anew at each step; static: binary, drawn once; grey: in [0, 1] as they are."""
    likelihood: Literal["bernoulli", "continuous-bernoulli", "gaussian", "soft-bernoulli"] = "bernoulli"
    """p(x | z); soft-bernoulli is the cross-entropy to grey pixels, which is no density."""
    network: Literal["mlp", "conv"] = "mlp"
    """Encoder and decoder."""
    hidden: tuple[int, ...] = (200, 200)
    """Widths of the mlp's hidden layers."""
    channels: tuple[int, ...] = (32, 64)
    """Channels of the conv network's levels, each of which halves the image."""
    activation: Literal["relu", "sigmoid", "tanh", "leaky_relu", "gelu"] = "tanh"
    """Between layers."""
    latent: int = 16
    """Latent dimensions."""
    bound: Literal["elbo", "iwae"] = "elbo"
    """What is maximised; elbo takes its KL in closed form."""
    k: int = 1
    """Samples per datum and step."""
    kl_weight: float = 1.0
    """The KL's weight in the objective (beta)."""
    kl_warmup: int = 0
    """Steps over which that weight rises linearly from 0."""
    free_bits: float = 0.0
    """Nats per latent dimension that cost nothing (elbo only)."""
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

    def check(self) -> None:
        """Raises an InputError for the first setting that cannot work."""
        least = {
            "k": 1, "latent": 1, "batch": 1, "epochs": 1, "log_every": 1, "checkpoint_every": 1, "evidence_k": 2,
            "kl_warmup": 0, "lr_warmup": 0, "steps": 1, "patience": 1,
        }  # fmt: skip
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"expected {option(name)} of at least {low}, got {value}")
        for name in ("lr", "clip", "kl_weight", "free_bits", "lr_final"):
            value, positive = getattr(self, name), name in ("lr", "clip")
            if value is not None and not (math.isfinite(value) and (value > 0 if positive else value >= 0)):
                raise InputError(f"expected a {'positive' if positive else 'non-negative'} {option(name)}, got {value}")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"expected --seed in [0, 2^63), got {self.seed}")
        if self.resume is not None and self.out is not None:
            raise InputError("--resume goes on in its own folder: leave out --out")
        if self.lr_final > 1:
            raise InputError(f"expected --lr-final in [0, 1], a fraction of the peak, got {self.lr_final}")
        if min((*self.hidden, *self.channels), default=1) < 1:
            raise InputError("expected positive --hidden widths and --channels")
        if self.pixels == "grey" and self.likelihood == "bernoulli":
            raise InputError(
                "a Bernoulli likelihood needs binary pixels and --pixels grey has none: binarise with --pixels dynamic "
                "or static, or choose --likelihood continuous-bernoulli, gaussian or soft-bernoulli"
            )
        if self.pixels != "grey" and self.likelihood != "bernoulli":
            raise InputError(f"--likelihood {self.likelihood} is for grey pixels: add --pixels grey")
        if self.bound == "iwae" and self.free_bits:
            raise InputError("--free-bits needs a KL of its own, and iwae has none: use --bound elbo")
        if self.data == "digits" and self.data_dir is not None:
            raise InputError("--data-dir holds MNIST's files and digits needs none: use --data mnist, or drop it")
        if self.data_dir is not None and not self.data_dir.is_dir():
            raise InputError(f"--data-dir {self.data_dir} is no folder")

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
        """The inverse of `saved`. InputError for what another version wrote, or for values of other types."""
        odd = sorted(set(saved) ^ (set(field_names()) - {"out", "resume"}))
        if odd:
            raise InputError(f"config.json is of another version, which differs in {', '.join(odd)}: start a new run")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()}
        values["data_dir"] = Path(saved["data_dir"]) if saved["data_dir"] else None
        settings = cls(**values)
        settings.check()
        return settings


def field_names() -> list[str]:
    return [field.name for field in dataclasses.fields(Settings)]


def option(name: str) -> str:
    return "--" + name.replace("_", "-")
