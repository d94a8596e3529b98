"""Training programs."""

from typing import TYPE_CHECKING

from jensen.core.models.latent import sbn, vae

if TYPE_CHECKING:
    from jensen.experiments.programs.adapted import ImageModel
    from jensen.experiments.programs.latent import LatentProgram


def programs() -> "dict[str, LatentProgram]":
    """Training programs: a pathwise one, one that learns a baseline, and one whose objective has a state."""
    from jensen.experiments.data.batches import Epochs
    from jensen.experiments.programs.estimation import Estimation
    from jensen.experiments.programs.latent import LatentProgram
    from jensen.experiments.run.optimisers import Optimiser

    def program(model: "ImageModel", name: str, estimation: Estimation) -> LatentProgram:
        batches, optimiser = Epochs(12, 4), Optimiser()
        return LatentProgram(model, estimation, name, False, batches, optimiser, 6, 5, False, "")

    return {
        "vae, pathwise": program(vae.mlp(6, (5,), 2), "pathwise", Estimation(k=2)),
        "vae, geco": program(vae.mlp(6, (5,), 2), "pathwise", Estimation(k=1, objective="geco(-2)")),
        "sbn, nvil": program(sbn.build(6, 3), "score", Estimation(k=2, baseline="nvil")),
    }
