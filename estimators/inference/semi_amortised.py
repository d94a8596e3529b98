"""Semi-amortised inference (Kim et al., 2018): an encoder's q, and steps of each datum's own up the ELBO from there.

Approximates  the q of a family with the highest ELBO for each datum, to which q tends as steps are added
With          phi_t+1 = phi_t + step_size (1 - t / steps) units clip(units g_t), g_t the gradient of the ELBO in phi_t
              by `stl` at s samples of each step's own, the same for all data: the q of a datum depends on no other. No
              number moves by more than step_size units at once
Requires      a reparameterised q, built from a row of real numbers phi for each datum, as `posterior_of` builds a VAE's
Unbiased when as a bound always: q_T is a distribution, and its ELBO at fresh noise is at most log p(x) on average; the
              gradient of E ELBO(q_T) too, in all that log_p, build and start are made of, where the steps are
              `differentiable`. Where they are not, phi_T - phi_0 has no gradient, which leaves out how the steps follow
              theta and phi_0, less and less as q_T nears the best q
Cost          steps x s gradients of log_p per datum; about three times that where differentiable, and the memory of all
              steps. A flow is then inverted at each, which an inverse autoregressive one makes slow
Reference     Kim et al., 2018; Hjelm et al., 2016; without gradients of steps Krishnan et al., 2018
"""

import torch
from jaxtyping import Float
from torch import Tensor

from jensen.core import keys
from jensen.core.checks import check_count, check_floating, check_key, check_number
from jensen.core.contracts import Key, LogDensity
from jensen.estimators.inference._ascent import Build, checked, slope


def refine(
    log_p: LogDensity,
    build: Build,
    start: Float[Tensor, "n e"],
    key: Key,
    steps: int = 20,
    s: int = 5,
    step_size: float = 0.1,
    differentiable: bool = False,
    units: Float[Tensor, "n e"] | None = None,
) -> Float[Tensor, "n e"]:
    """phi_T, of which build(phi_T) is q_T: start itself after 0 steps.

        phi = semi_amortised.refine(log_p, partial(model.posterior_of, params), model.encoded(params, x), key)
        q = model.posterior_of(params, phi)

    `units`, 1 unless given, is what phi is measured in, such as q's standard deviations for a mean: steps of one size
    then suit posteriors of any width. The noise of later estimates must be another key's.
    """
    checked(log_p, build, start)
    if units is not None:
        check_floating("units", units, f"{len(start)} {start.shape[1]}", "one for each number of start")
    check_key(key)
    steps, s = check_count("steps", steps, 0), check_count("s", s)
    step_size = check_number("step_size", step_size, "[0, inf)")
    scale = torch.ones_like(start) if units is None else units
    phi = start
    for step in range(steps):
        gradient = slope(log_p, build, phi, keys.fold_in(key, step), s, differentiable)
        phi = phi + step_size * (1 - step / steps) * scale * (scale * gradient).clamp(-1, 1)
    return phi
