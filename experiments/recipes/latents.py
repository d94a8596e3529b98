"""Recipes of models with latents."""

from jensen.experiments.data.images import ImageData
from jensen.experiments.programs import Bottleneck, Cvae, Factor, Hvae, Multimodal, Poisson, Sbn, Semi, Vae
from jensen.experiments.programs.estimation import Estimation
from jensen.experiments.run.optimisers import Optimiser
from jensen.experiments.run.settings import Run


def mnist_vae() -> Vae:
    """784-200-200-50 on MNIST, 60 epochs: minutes on two CPU cores."""
    return Vae(images=ImageData(data="mnist"), latent=50, run=Run(epochs=60))


def mnist_iwae() -> Vae:
    """IWAE of 50 samples on MNIST, the networks, batch and Adam of Burda et al. (2016), 60 epochs of their 3,280."""
    return Vae(
        images=ImageData(data="mnist"), latent=50, estimation=Estimation(bound="iwae", k=50),
        optimiser=Optimiser(beta1=0.99, eps=1e-4), run=Run(epochs=60, batch=20),
    )  # fmt: skip


def delta_vae() -> Vae:
    """A VAE whose posterior cannot collapse: every dimension keeps 0.1 nats (Razavi et al., 2019)."""
    return Vae(estimation=Estimation(objective="committed(0.1)"))


def vamp_digits() -> Vae:
    """A VAE of digits with the VampPrior of 50 pseudo-inputs (Tomczak and Welling, 2018), about a minute.

    Its floor is independent pixels.
    """
    return Vae(prior="vamp(50)", run=Run(steps=2000))


def ladder_digits() -> Hvae:
    """A ladder of two layers on digits (Sønderby et al., 2016), half a minute; its floor are independent pixels."""
    return Hvae(
        direction="top-down", estimation=Estimation(kl_warmup=500), run=Run(steps=1500, compile=False), evidence_k=200
    )


def factor_sprites() -> Factor:
    """FactorVAE of sprites, whose factors are known (Kim and Mnih, 2018), about a minute.

    MIG is above 0.2, where a VAE's is below 0.1.
    """
    return Factor(
        images=ImageData(data="sprites", pixels="grey"), likelihood="soft-bernoulli", hidden=(128, 128),
        activation="relu", latent=6, beta=4.0, gamma=1.0, optimiser=Optimiser(lr=2e-3),
        run=Run(steps=3000, batch=64), evidence_k=100,
    )  # fmt: skip


def static_sbn() -> Sbn:
    """200 linear units on static MNIST by VIMCO, 20 epochs (Mnih and Rezende, 2016)."""
    estimation = Estimation(bound="iwae", k=4, baseline="vimco")
    return Sbn(images=ImageData(data="mnist-static"), estimation=estimation, run=Run(epochs=20))


def poisson_patches() -> Poisson:
    """Sparse coding of white patches by a Poisson VAE, about a minute; its floor are independent pixels."""
    return Poisson()


def cvae_digits() -> Cvae:
    """Digits given their labels, about a minute; its floor are independent pixels."""
    return Cvae(run=Run(epochs=100))


def multimodal_digits() -> Multimodal:
    """Halves of grey digits, a product of experts, about half a minute.

    Its floor is chance at finding one by the other, 5 of 360 among the first five.
    """
    return Multimodal(
        images=ImageData(pixels="grey"), likelihood="gaussian", latent=16, estimation=Estimation(kl_warmup=700),
        optimiser=Optimiser(lr=3e-3), run=Run(steps=1500, compile=False),
    )  # fmt: skip


def semi_digits() -> Semi:
    """M2 of digits of which three of each class have labels, about half a minute; its floor are these labels alone."""
    return Semi(
        images=ImageData(pixels="grey"), likelihood="soft-bernoulli", labels=3, classifier=(100,),
        hidden=(100,), latent=4, run=Run(steps=2500),
    )  # fmt: skip


def bottleneck_digits() -> Bottleneck:
    """Latents of digits that keep 13 nats of the image at most, and 2.2 of the 2.3 of the label, in half a minute."""
    return Bottleneck()


LATENTS = {
    "mnist-vae": mnist_vae,
    "mnist-iwae": mnist_iwae,
    "delta-vae": delta_vae,
    "vamp-digits": vamp_digits,
    "ladder-digits": ladder_digits,
    "factor-sprites": factor_sprites,
    "static-sbn": static_sbn,
    "poisson-patches": poisson_patches,
    "cvae-digits": cvae_digits,
    "multimodal-digits": multimodal_digits,
    "semi-digits": semi_digits,
    "bottleneck-digits": bottleneck_digits,
}
