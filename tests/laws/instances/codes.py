"""Quantisers, and models of codes."""

import torch

from jensen.core.models import quantised
from jensen.core.models.quantised import CodedModel, Quantiser

QUANTISERS: dict[str, Quantiser] = {
    "Vq": quantised.Vq(6),
    "Vq by rotation": quantised.Vq(6, path="rotation", start="draw"),
    "GradientVq": quantised.GradientVq(6),
    "ResidualVq": quantised.ResidualVq(quantised.Vq(4), 2),
    "Fsq": quantised.Fsq((4, 3, 2)),
    "Lfq": quantised.Lfq(3),
    "SoftVq": quantised.SoftVq(6),
    "GumbelVq": quantised.GumbelVq(6),
    "Projected": quantised.Projected(quantised.Fsq((5, 4)), 2),
}
CODED: dict[str, CodedModel] = {
    **{
        f"autoencoder of {name}": quantised.autoencoder.mlp(6, (5,), 3, width, quantiser, torch.tanh)
        for name, width, quantiser in (
            ("Vq", 2, quantised.Vq(6)),
            ("GradientVq", 2, quantised.GradientVq(6, path="rotation")),
            ("ResidualVq", 2, quantised.ResidualVq(quantised.Vq(3), 2)),
            ("Fsq", 3, quantised.Fsq((4, 3, 2))),
            ("Lfq", 3, quantised.Lfq(3)),
            ("Projected", 4, quantised.Projected(quantised.GumbelVq(4), 2)),
        )
    },
    "autoencoder of convolutions": quantised.autoencoder.conv((1, 4, 4), (2,), 2, quantised.Vq(4)),
    "two maps": quantised.two_maps.conv((1, 8, 8), (3,), (3,), 2, quantised.Vq(4), quantised.Fsq((3, 4))),
}
