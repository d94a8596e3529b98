"""What the laws of flows and models are tried on, and the laws that rows break by design."""

from jensen.laws.instances._noise import noise
from jensen.laws.instances.codes import CODED, QUANTISERS
from jensen.laws.instances.flows import BIJECTIONS, FLOWS
from jensen.laws.instances.models import MODELS

PIXELS = (noise(30, 5, 6) > 0).double()
EXAMPLES: dict[str, object] = {
    **dict.fromkeys(FLOWS, noise(31, 4, 2, 3)),
    **dict.fromkeys(BIJECTIONS, noise(31, 4, 2, 3)),
    **dict.fromkeys(MODELS, PIXELS),
    **dict.fromkeys(("real nvp", "spline flow"), noise(37, 40, 3)),
    "made": (noise(38, 40, 6) > 0).long(),
    "pixel cnn": (noise(38, 40, 6) > 0).long() + (noise(39, 40, 6) > 0).long(),
    **dict.fromkeys(QUANTISERS, noise(34, 5, 4, 3)),
    **dict.fromkeys(CODED, noise(35, 5, 6).sigmoid()),
    "autoencoder of convolutions": noise(36, 5, 16).sigmoid(),
    "two maps": noise(36, 5, 64).sigmoid(),
    "vae of convolutions": (noise(33, 5, 16) > 0).double(),
    **dict.fromkeys(("vae, pathwise", "vae, geco", "sbn, nvil"), (noise(32, 12, 6) > 0).float()),
}
ABOVE = "at_most_the_log_mean_weight"
ORDER = "order_does_not_matter"
BIASED = "mean_gradient_is_exact"
EXPECTED: dict[str, dict[str, str]] = {
    "Between no ends": {"every_field_has_a_gradient": "infinite ends have none"},
    "vr_max": {ABOVE: "the largest weight is above the mean"},
    "Cubo": {ABOVE: "an upper bound"},
    "Tvo right": {ABOVE: "an upper sum"},
    "Jackknife": {ABOVE: "without IWAE's bias it may be on either side"},
    "Sumo": {ABOVE: "unbiased, on either side", ORDER: "its first samples are in every term"},
    "Miwae": {ORDER: "groups are of consecutive samples"},
    "SoftVq": {"quantised_vectors_are_those_of_the_codes": "means over codes, and no code's"},
    "straight_through": {BIASED: "right for theta alone"},
    "concrete": {BIASED: "right for theta, for phi as the temperature tends to 0"},
    "gumbel_straight_through": {BIASED: "right for theta alone"},
    "wake": {BIASED: "phi follows another divergence"},
    "wake_theta": {BIASED: "phi has no gradient"},
    "wake_phi": {BIASED: "theta has no gradient"},
}
