"""Named recipes: functions that return the settings of a whole run, which the command line takes as commands."""

from jensen.experiments.data.images import ImageData
from jensen.experiments.data.points import PointData
from jensen.experiments.data.text import TextData
from jensen.experiments.programs import (
    Bottleneck,
    Cvae,
    Diffusion,
    Factor,
    Flow,
    Gan,
    Gp,
    Hvae,
    Lm,
    Longitudinal,
    Multimodal,
    Normalising,
    Ode,
    Pixels,
    Poisson,
    Reptile,
    Sbn,
    Semi,
    Vae,
    Vq,
    VqGan,
)
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
    """A VAE of digits with the VampPrior of 50 pseudo-inputs (Tomczak and Welling, 2018), about a minute; its floor are
    independent pixels."""
    return Vae(prior="vamp(50)", run=Run(steps=2000))


def ladder_digits() -> Hvae:
    """A ladder of two layers on digits (Sønderby et al., 2016), half a minute; its floor are independent pixels."""
    return Hvae(
        direction="top-down", estimation=Estimation(kl_warmup=500), run=Run(steps=1500, compile=False), evidence_k=200
    )


def factor_sprites() -> Factor:
    """FactorVAE of sprites, whose factors are known (Kim and Mnih, 2018), about a minute: MIG above 0.2,
    where a VAE's is below 0.1."""
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


def oscillations() -> Ode:
    """A latent ODE of irregular oscillations, half a minute: gaps and futures better than by the last value seen."""
    return Ode()


def progression() -> Longitudinal:
    """A longitudinal VAE of subjects' visits, half a minute: the next visit better than by the last one seen."""
    return Longitudinal()


def films() -> Gp:
    """A Gaussian-process VAE of films of a ball, half a minute: missing frames better than by the last one seen."""
    return Gp()


def vq_digits() -> Vq:
    """512 codes at each of 8 positions of digits, which restart below 0.3 of an equal share, about half a minute.

    Its floors are the mean image and independent pixels, as those of fsq-digits.
    """
    return Vq(quantiser="vq(512, least=0.3)", run=Run(epochs=300, compile=False))


def fsq_digits() -> Vq:
    """The same with as many codes of finite scalar quantisation, which uses nearly all of them."""
    return Vq(quantiser="fsq(8, 8, 8)", run=Run(epochs=300, compile=False))


def vqgan_digits() -> VqGan:
    """64 codes at each of 4 x 4 positions of digits, against a critic of patches (Esser et al., 2021), about half a
    minute; its floors are those of vq-digits."""
    return VqGan(quantiser="vq(64)", run=Run(steps=1200, compile=False))


def bottleneck_digits() -> Bottleneck:
    """Latents of digits that keep 13 nats of the image at most, and 2.2 of the 2.3 of the label, in half a minute."""
    return Bottleneck()


def semi_digits() -> Semi:
    """M2 of digits of which three of each class have labels, about half a minute; its floor are these labels alone."""
    return Semi(
        images=ImageData(pixels="grey"), likelihood="soft-bernoulli", labels=3, classifier=(100,),
        hidden=(100,), latent=4, run=Run(steps=2500),
    )  # fmt: skip


def reptile_sinusoids() -> Reptile:
    """The start of an encoder, over 1,000 tasks, in about a minute; its floor is a start that has learned nothing."""
    return Reptile()


def cvae_digits() -> Cvae:
    """Digits given their labels, about a minute; its floor are independent pixels."""
    return Cvae(run=Run(epochs=100))


def multimodal_digits() -> Multimodal:
    """Halves of grey digits, a product of experts, about half a minute; its floor is chance at finding one by the
    other, 5 of 360 among the first five."""
    return Multimodal(
        images=ImageData(pixels="grey"), likelihood="gaussian", latent=16, estimation=Estimation(kl_warmup=700),
        optimiser=Optimiser(lr=3e-3), run=Run(steps=1500, compile=False),
    )  # fmt: skip


def ring_wgan_gp() -> Gan:
    """WGAN-GP on eight normals (Gulrajani et al., 2017), in 90 s: all of them, 90 % of the points within 4 deviations
    of one, W1 below 0.1; its floor is the minimax game, which leaves modes out."""
    return Gan(game="wasserstein", smooth="gradient-penalty", strength=0.1, latent=8)


def ring_r3gan() -> Gan:
    """R3GAN on the same (Huang et al., 2024): the same of it in as long."""
    return Gan(game="relativistic", smooth="r1-r2", strength=0.3)


def grid_r3gan() -> Gan:
    """R3GAN on 25 normals: all of them, 90 % of the points within 4 deviations of one, in 90 s."""
    return Gan(points=PointData(data="grid"), game="relativistic", smooth="r1-r2", strength=0.02, critics=1)


def digits_r3gan() -> Gan:
    """R3GAN of digits, about a minute: W1 a tenth above that of other data, where shuffled pixels have half as much
    again."""
    return Gan(
        points=PointData(data="digits"), game="relativistic", smooth="r1-r2", strength=0.1, latent=16,
        hidden=(256, 256), critics=1, optimiser=Optimiser(lr=1e-3, beta1=0.0, beta2=0.99),
        run=Run(steps=4000, batch=128),
    )  # fmt: skip


def mnist_wgan_gp() -> Gan:
    """WGAN-GP of MNIST's pixels by perceptrons, 100-256-512-784 and 784-512-256-1, 20 epochs of steps: minutes."""
    return Gan(
        points=PointData(data="mnist"), strength=10.0, latent=100, hidden=(256, 512), activation="relu",
        critic_activation="leaky_relu", leak=0.2, critics=5, generator_average=0.0,
        optimiser=Optimiser(lr=1e-4, beta1=0.5, beta2=0.9), run=Run(epochs=20, batch=64, lr_final=1.0),
    )  # fmt: skip


def moons_diffusion() -> Diffusion:
    """A diffusion of 200 cosine levels on two moons, about a minute: a test of 2,000 draws beside data sees no
    difference, where it does after a hundred steps."""
    return Diffusion(levels="cosine", optimiser=Optimiser(lr=5e-3))


def moons_flow() -> Flow:
    """Flow matching on two moons, about half a minute, by the same test."""
    return Flow()


def moons_splines() -> Normalising:
    """Spline couplings on two moons, about a minute: log p as high as of kernels at all 20,000 training points; its
    floor is a normal, nearly a nat lower."""
    return Normalising()


def digits_made() -> Pixels:
    """MADE of binary digits, about half a minute: exact NLL 5 nats below independent pixels, which are its floor."""
    return Pixels(model="made", hidden=(512,), run=Run(epochs=200, compile=False))


def digits_pixel_cnn() -> Pixels:
    """A PixelCNN of the same, about a minute, with the same floor."""
    return Pixels(run=Run(epochs=40, compile=False))


def lm_pydoc() -> Lm:
    """A transformer of bytes on CPython's documentation, about a minute; its floor are counts of pairs of bytes."""
    return Lm(width=64, layers=2, context=64, run=Run(steps=1200, batch=16, lr_warmup=100, clip=1.0))


def lm_pairs() -> Lm:
    """The same of 512 byte pairs, which reads further back at the same cost; its floor are counts of pairs of these."""
    return Lm(
        data=TextData(tokenizer="bpe", vocabulary=512), width=64, layers=2, context=64,
        run=Run(steps=1000, batch=16, lr_warmup=100, clip=1.0),
    )  # fmt: skip


def lm_lstm() -> Lm:
    """An LSTM of bytes on the same text, about a minute; its floor are counts of pairs of bytes."""
    return Lm(network="lstm", layers=1, context=64, tied=False, run=Run(steps=1200, batch=16, lr_warmup=100, clip=1.0))


RECIPES = {
    "lm-pydoc": lm_pydoc,
    "lm-pairs": lm_pairs,
    "lm-lstm": lm_lstm,
    "moons-splines": moons_splines,
    "digits-made": digits_made,
    "digits-pixel-cnn": digits_pixel_cnn,
    "moons-diffusion": moons_diffusion,
    "moons-flow": moons_flow,
    "ring-wgan-gp": ring_wgan_gp,
    "ring-r3gan": ring_r3gan,
    "grid-r3gan": grid_r3gan,
    "digits-r3gan": digits_r3gan,
    "mnist-wgan-gp": mnist_wgan_gp,
    "cvae-digits": cvae_digits,
    "multimodal-digits": multimodal_digits,
    "semi-digits": semi_digits,
    "mnist-vae": mnist_vae,
    "mnist-iwae": mnist_iwae,
    "delta-vae": delta_vae,
    "vamp-digits": vamp_digits,
    "ladder-digits": ladder_digits,
    "factor-sprites": factor_sprites,
    "static-sbn": static_sbn,
    "poisson-patches": poisson_patches,
    "vq-digits": vq_digits,
    "fsq-digits": fsq_digits,
    "vqgan-digits": vqgan_digits,
    "oscillations": oscillations,
    "progression": progression,
    "films": films,
    "bottleneck-digits": bottleneck_digits,
    "reptile-sinusoids": reptile_sinusoids,
}
