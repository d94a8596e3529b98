"""Settings that cannot work, told before anything is made."""

import math
from collections.abc import Iterator

from jensen.experiments.settings import InputError, Settings, option

PATHS = ("analytic-kl", "pathwise", "stl", "dreg")  # differentiate through samples
RELAXED = ("concrete", "gumbel-straight-through", "rebar", "relax")  # have a temperature
UNITS = (  # of independent Bernoulli units alone
    "muprop", "straight-through", "concrete", "gumbel-straight-through", "rebar", "relax", "arm", "disarm",
)  # fmt: skip
ELBO_ONLY = ("analytic-kl", "stl", "muprop", "rebar", "relax", "arm", "disarm")
IWAE_ONLY = ("dreg", "wake")
TINY, HUGE = 2.0**-126, 2**31  # the least normal float32, below which a rate is 0; more than anything can count here


def check(settings: Settings) -> None:
    """Raises an InputError for the first setting that cannot work."""
    for problems in (numbers, data, model, estimator):
        for problem in problems(settings):
            raise InputError(problem)


def numbers(settings: Settings) -> Iterator[str]:
    least = {
        "k": 1, "latent": 1, "units": 1, "batch": 1, "epochs": 1, "log_every": 1, "checkpoint_every": 1,
        "evidence_k": 2, "kl_warmup": 0, "lr_warmup": 0, "steps": 1, "patience": 1,
    }  # fmt: skip
    for name, low in least.items():
        value = getattr(settings, name)
        if value is not None and not low <= value < HUGE:
            yield f"expected {option(name)} of at least {low}{'' if value < low else ' and below 2^31'}, got {value}"
    for name in ("lr", "clip", "temperature", "kl_weight", "free_bits", "lr_final"):
        value, positive = getattr(settings, name), name in ("lr", "clip", "temperature")
        if value is not None and not (math.isfinite(value) and (value > 0 if positive else value >= 0)):
            yield f"expected a {'positive' if positive else 'non-negative'} {option(name)}, got {value}"
        if value is not None and 0 < value < TINY:
            yield f"{option(name)} {value} is 0 in float32: pass at least {TINY:.0e}"
    if not 0 <= settings.seed < 2**63:
        yield f"expected --seed in [0, 2^63), got {settings.seed}"
    if settings.resume is not None and settings.out is not None:
        yield "--resume goes on in its own folder: leave out --out"
    if settings.lr_final > 1:
        yield f"expected --lr-final in [0, 1], a fraction of the peak, got {settings.lr_final}"
    if min((*settings.effective_hidden, *settings.channels), default=1) < 1:
        yield "expected positive --hidden widths and --channels"


def data(settings: Settings) -> Iterator[str]:
    if settings.data == "mnist-static" and settings.pixels not in ("auto", "static"):
        yield f"mnist-static is binary already, and --pixels {settings.pixels} cannot change that: leave it out"
    if settings.effective_pixels == "grey" and settings.likelihood == "bernoulli":
        yield (
            "a Bernoulli likelihood needs binary pixels and --pixels grey has none: binarise with --pixels dynamic "
            "or static, or choose --likelihood continuous-bernoulli, gaussian or soft-bernoulli"
        )
    if settings.effective_pixels != "grey" and settings.likelihood != "bernoulli":
        yield f"--likelihood {settings.likelihood} is for grey pixels: add --pixels grey"
    if settings.data == "digits" and settings.data_dir is not None:
        yield "--data-dir holds MNIST's files and digits needs none: use --data mnist, or drop it"
    if settings.data_dir is not None and not settings.data_dir.is_dir():
        yield f"--data-dir {settings.data_dir} is no folder"


def model(settings: Settings) -> Iterator[str]:
    if settings.model == "sbn" and settings.likelihood != "bernoulli":
        yield f"the sbn is a model of binary pixels: leave out --likelihood {settings.likelihood}, or use --model vae"
    theirs = {"sbn": ("latent", "channels", "activation"), "vae": ("units", "layers")}[settings.model]
    for name in theirs:
        if getattr(settings, name) != getattr(Settings, name):
            yield f"the {settings.model} has no {option(name)}: leave it out, or use another --model"
    if settings.model == "sbn" and settings.network != "mlp":
        yield f"the sbn has no --network {settings.network}: leave it out, or use --model vae"
    if settings.network == "conv" and settings.hidden is not None:
        yield "the conv network has no --hidden: leave it out, or use --network mlp"
    if settings.network == "mlp" and settings.channels != Settings.channels:
        yield "the mlp has no --channels: leave it out, or use --network conv"


def estimator(settings: Settings) -> Iterator[str]:
    """What the gradient's estimator does not go with."""
    name = settings.effective_estimator
    asked = f"--estimator {name}"
    if settings.bound == "iwae" and settings.free_bits:
        yield "--free-bits needs a KL of its own, and iwae has none: use --bound elbo"
    if settings.model == "sbn" and name in PATHS:
        yield f"{asked} needs a path through the samples, and the sbn's are discrete: use score or disarm"
    if settings.model == "vae" and name in UNITS:
        yield f"{asked} is for the sbn's Bernoulli units: use pathwise, stl or dreg, or add --model sbn"
    if settings.layers > 1 and name in UNITS:
        yield f"{asked} needs independent units, and those of two layers are not: use score or wake, or --layers 1"
    if settings.bound == "iwae" and name in ELBO_ONLY:
        instead = "dreg or pathwise" if name in PATHS else "score or wake"
        yield f"{asked} is an estimator for the ELBO: use {instead}, or --bound elbo"
    if settings.bound == "elbo" and name in IWAE_ONLY:
        instead = "stl" if name in PATHS else "score"
        yield f"{asked} is an estimator for --bound iwae: add that, or use {instead}"
    if settings.k < 2 and name in IWAE_ONLY:
        instead = "stl with --bound elbo" if name in PATHS else "score"
        yield f"{asked} needs --k of at least 2, got {settings.k}: draw more samples, or use {instead}"
    if settings.temperature != Settings.temperature and name not in RELAXED:
        yield f"--temperature is for --estimator {', '.join(RELAXED)}, and {name} has none: leave it out"
    if settings.baseline != "auto" and name != "score":
        yield f"--baseline {settings.baseline} is for --estimator score, and {name} takes none: leave one of them out"
    if settings.baseline in ("leave-one-out", "vimco") and settings.k < 2:
        yield (
            f"--baseline {settings.baseline} compares a sample with the others, and --k {settings.k} has none: "
            "draw more samples, or use --baseline nvil or none"
        )
    if name not in ("analytic-kl", "pathwise") and (settings.kl_weight != 1 or settings.kl_warmup):
        yield f"--kl-weight and --kl-warmup need --estimator analytic-kl or pathwise, got {name}: leave them out"
    if name != "analytic-kl" and settings.free_bits:
        yield f"--free-bits needs a KL in closed form, and {name} has none: use --estimator analytic-kl, or drop it"
