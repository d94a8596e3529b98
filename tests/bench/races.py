"""Every race on a CPU, in the order in which they are run; each is a function of the device."""

from tests.bench import deployment, evidence, flows, gradients, iwae, loop, mixtures, sequences, steps

RACES = (
    steps.elbo, steps.vae_step, iwae.step, gradients.paths, gradients.apart, gradients.scores,
    flows.step, flows.coupling, mixtures.step, mixtures.em_sweep, mixtures.cavi_sweep,
    *(sequences.gradients(cell) for cell in sequences.MODULES), sequences.step, sequences.generation,
    sequences.lengths, evidence.thousand, evidence.five_thousand, loop.loop,
    deployment.decoder,
)  # fmt: skip
