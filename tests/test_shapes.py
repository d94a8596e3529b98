"""The shapes in public signatures are what the functions take and give: checked at run time by beartype."""

import subprocess
import sys

CODE = """
from functools import partial
from pathlib import Path
from jaxtyping import install_import_hook

import jensen.core
import jensen.estimators

PROTOCOLS = "contracts"  # they speak of Self, which the hook cannot check in methods by themselves

def modules(package):
    root = Path(package.__path__[0])
    for path in root.rglob("*.py"):
        if path.stem != "__init__" and path.parent.name != PROTOCOLS:
            yield ".".join((package.__name__, *path.relative_to(root).with_suffix("").parts))

with install_import_hook([*modules(jensen.core), *modules(jensen.estimators)], "beartype.beartype"):
    from jensen.core import bijections, bounds, divergences, exponential, flows, keys, minibatch, objectives, ops
    from jensen.core.distributions import (
        Bernoulli, Beta, Categorical, ContinuousBernoulli, DiagNormal, Dirichlet, FullNormal, Gamma, Hierarchical,
        Pushforward,
    )
    from jensen.core.exponential.table import FAMILIES
    from jensen.core.models.latent import likelihoods, posteriors, priors, sbn, vae
    from jensen.core.models.latent import gp, longitudinal, ode
    from jensen.core.models.latent import bottleneck, linear_normal, multimodal, poisson, reptile
    from jensen.core.models.latent.series import AtTimes, Series
    from jensen.core.models import quantised
    from jensen.core.models import bayes, classifier
    from jensen.core.models.adversarial import duality, gan
    from jensen.core.models.adversarial.patches import Patches
    from jensen.core.models.autoregressive import codes as code_priors
    from jensen.core.models.autoregressive import made, pixel_cnn, recurrent, sampling, transformer
    from jensen.core.models.transport import diffusion, energies, fields, flow_matching, langevin, noise_levels
    from jensen.core.models.transport import diffusion_posterior, normalising, probability_flow, score_matching
    from jensen.core.models.transport import variational_flow_matching as variational
    from jensen.core.models.transport import choices, dit, guidance, latent_diffusion, mixed, pixel_diffusion
    from jensen.core.models.transport import variational_diffusion, weightings
    from jensen.core.nn import batch_norm, conv, convnet, dropout, group_norm, layer_norm, pooling, residual, rms_norm
    from jensen.core.nn import mlp, windows
    from jensen.estimators import diagnostics, evidence, inference
    from jensen.estimators.evidence import importance
    from jensen.estimators import gradients as g
    from jensen.estimators.diagnostics import quality
    from jensen.estimators.inference import iterative, semi_amortised
    from jensen.estimators.gradients import analytic_kl, baselines, pathwise
    from jensen.laws import bayesian, families
    from jensen.laws import conjugate as conjugates

import torch

key = keys.key(0)
x = (keys.uniform(key, (5, 64)) < 0.5).float()
for model in (
    vae.mlp(64, (6,), 3), vae.conv((1, 8, 8), (2,), 3),
    *(vae.mlp(64, (6,), 3, likelihood=likelihoods.LIKELIHOODS[name]) for name in ("gaussian", "continuous-bernoulli")),
):
    params = model.init(key, x)
    q = model.posterior(params, x)
    log_p = partial(model.log_joint, params, x)
    pathwise(log_p, q, q.noise(key, 4), bound=bounds.iwae)
    likelihood = lambda z: model.likelihood(params, z).log_prob(x)
    analytic_kl(likelihood, q, q.noise(key, 4), prior=model.prior(params, 5))
    importance(log_p, q, key, 10, chunk=3), importance(log_p, q, key, 10)
    for estimate in (g.stl, g.dreg, g.vargrad, g.wake_theta, g.measure_valued):
        assert estimate(log_p, q, q.noise(key, 4)).shape == (5,)
    for estimate in (g.wake, g.wake_phi):
        assert estimate(log_p, q, q.noise(key, 4), bound=bounds.iwae).shape == (5,)
for prior in priors.PRIORS.values():
    model = vae.mlp(64, (6,), 3, prior=prior)
    params = model.init(key, x.repeat(10, 1))
    p = model.prior(params, 5)
    assert model.log_joint(params, x, p.sample(p.noise(key, 4))).shape == (4, 5)
for posterior in posteriors.POSTERIORS.values():
    model = vae.mlp(64, (6,), 3, posterior=posterior)
    params = model.init(key, x)
    q, outputs = model.posterior(params, x), model.encoded(params, x)
    log_p, build = partial(model.log_joint, params, x), partial(model.posterior_of, params)
    pathwise(log_p, q, q.noise(key, 4))
    units = model.units(outputs)
    assert semi_amortised.refine(log_p, build, outputs, key, 1, 2, units=units).shape == outputs.shape
network = iterative.init(key, outputs.shape[1], (4,))
assert iterative.refine(network, log_p, build, outputs, key, 1, 2).shape == outputs.shape
for layers in (1, 2):
    model = sbn.build(64, 4, layers)
    params = model.init(key, x)
    q = model.posterior(params, x)
    log_p = partial(model.log_joint, params, x)
    for baseline in (baselines.none, baselines.leave_one_out, baselines.vimco, baselines.Learned(torch.zeros(5))):
        assert g.score(log_p, q, q.noise(key, 4), bound=bounds.iwae, baseline=baseline).shape == (5,)
    for estimate in (
        g.muprop, g.rebar, g.concrete, g.straight_through, g.gumbel_straight_through, g.arm, g.disarm, g.measure_valued,
        partial(g.sum_and_sample, top=3), partial(g.relax, control=lambda t: t.sum(-1)),
        partial(g.second_moment, control=lambda t: t.sum(-1)), partial(g.score, baseline=baselines.optimal),
    ) if layers == 1 else ():
        assert estimate(log_p, q, q.noise(key, 4)).shape == (5,)
vectors = keys.normal(key, (5, 4, 3))
for quantiser in (
    quantised.Vq(6), quantised.Vq(6, path="rotation", start="draw"), quantised.GradientVq(6), quantised.Fsq((4, 3, 2)),
    quantised.ResidualVq(quantised.Vq(6), 2), quantised.Lfq(3), quantised.SoftVq(6, 0.5), quantised.GumbelVq(6),
    quantised.Projected(quantised.Fsq((4, 3)), 2),
):
    params, state = quantiser.init(key, vectors)
    quantiser.quantise(params, state, vectors, key).objective(torch.zeros(5))
    codes = quantiser.encode(params, state, vectors)
    assert quantiser.decode(params, state, codes).shape == vectors.shape
    quantised.usage.perplexity(codes, quantiser.size), quantised.usage.used(codes, quantiser.size)
for model in (
    quantised.autoencoder.mlp(64, (6,), 2, 3, quantised.ResidualVq(quantised.Vq(4), 2)),
    quantised.autoencoder.conv((1, 8, 8), (2,), 3, quantised.Fsq((4, 3, 2))),
    quantised.two_maps.conv((1, 8, 8), (2,), (2,), 3, quantised.Vq(4), quantised.Lfq(3)),
):
    params, state = model.init(key, x)
    step = model.step(params, state, x, key)
    codes = model.codes(params, state, x)
    model.decode_codes(params, state, codes), model.independent(x)
    for of, own in zip(model.maps, codes if isinstance(codes, tuple) else (codes,)):
        quantised.usage.follow(quantised.usage.start(of), of, own, 5).used(5)
    prior = code_priors.build(model.maps, 4, 1, 2)
    params = prior.init(key)
    assert prior.log_prob(params, prior.sequences(codes), key).shape == (5,)
    prior.sequences(prior.sample(params, key, 2, sampling.Choice(temperature=0.5)))
coder, critic = quantised.autoencoder.conv((1, 8, 8), (2,), 3, quantised.Vq(4)), Patches((1, 8, 8), (2,))
adversarial = quantised.VqGan(coder, critic, lambda x: x[:, :3])
params, state = adversarial.init(key, x)
step = adversarial.coder_step(params, state, x, key, torch.ones(()))
assert step.loss.shape == adversarial.critic_loss(params, state, x).shape == (5,)
minibatch.log_joint(lambda z: z.sum(-1), lambda z: z.expand(-1, 3, 2).sum(-1), 9)(torch.zeros(4, 1, 2))
g.exact(log_p, Bernoulli(torch.zeros(5, 8)))
g.arsm(lambda z: z.sum((-2, -1)), Categorical(torch.zeros(2, 3, 4)), torch.full((3, 2, 3, 4), 0.5))
g.local_reparameterisation(x, torch.zeros(3, 64), torch.zeros(3, 64), torch.zeros(2, 5, 3))
quality(lambda key: {"a": keys.normal(key, (3,))}, keys.split(key, 5))
bounds.derivatives(bounds.TailAdaptive(), torch.zeros(3, 2)), bounds.Renyi(0.5)(torch.zeros(3, 2))
for bound in (
    bounds.vr_max, bounds.Cubo(), bounds.Tvo(bounds.log_betas(3)), bounds.Miwae(2, 3), bounds.Ciwae(0.5),
    bounds.Jackknife(), bounds.Sumo(), bounds.Csiszar(divergences.generators.jensen_shannon),
):
    assert bound(torch.zeros(6, 2)).shape == (2,)
bounds.piwae(torch.zeros(6, 2), torch.zeros(6, 2), 2, 3), bounds.free_bits(torch.ones(5, 3), 0.5, (1, 2))
bounds.Sumo()(torch.zeros(300, 2), bounds.Sumo().draw(key, 2))
normal = DiagNormal(torch.zeros(5, 3), torch.zeros(5, 3))
for q in (Bernoulli(torch.zeros(5, 3)), Categorical(torch.zeros(5, 2, 3)), normal):
    for divergence in (divergences.chi2, divergences.forward_kl, divergences.squared_wasserstein2):
        assert divergence(q, q).shape == (5,)
    divergences.renyi(q, q, 0.5), divergences.alpha_divergence(q, q, 0.5)
divergences.jensen_shannon(Bernoulli(torch.zeros(5, 3)), Bernoulli(torch.zeros(5, 3)))
divergences.squared_mmd(torch.zeros(4, 5, 3), torch.ones(6, 5, 3))
divergences.squared_mmd(torch.zeros(4, 5, 3), torch.ones(6, 5, 3), 2.0)
parts = objectives.decompose(normal, normal, normal.sample(normal.noise(key, 2)), 9)
zero = torch.zeros(5)
objectives.beta_tc(zero, parts, 2.0), objectives.beta(zero, zero, 2.0), objectives.capacity(zero, zero, 2.0, 1.0)
objectives.free_bits(zero, torch.zeros(5, 3), 0.1), objectives.committed(normal, 0.1)
objectives.factor(zero, zero, zero, 2.0), objectives.permuted(key, torch.zeros(2, 5, 3))
objectives.discrimination(torch.zeros(2, 5), torch.zeros(2, 5))
multiplier = objectives.Multiplier.start(zero)
objectives.geco(zero, zero, multiplier.update(zero, -1.0), -1.0)
z = normal.sample(normal.noise(key, 2))
for objective in (
    objectives.Beta(2.0), objectives.Capacity(2.0, 1.0), objectives.FreeBits(0.1), objectives.Geco(-1.0),
    objectives.Committed(0.1), objectives.BetaTc(2.0),
):
    q = objective.posterior(normal)
    terms, _ = objective(zero, q, normal, z, data=9, weights={}, state=objective.start(zero))
    assert terms.objective.shape == (5,)
for q in (
    Bernoulli(torch.zeros(2, 3)), ContinuousBernoulli(torch.zeros(2, 3)), Categorical(torch.zeros(2, 3, 4)),
    DiagNormal(torch.zeros(2, 3), torch.zeros(2, 3)), Gamma(torch.ones(2, 3), torch.ones(2, 3)),
    Beta(torch.ones(2, 3), torch.ones(2, 3)), Dirichlet(torch.ones(2, 3)),
    FullNormal.from_diagonal(DiagNormal(torch.zeros(2, 3), torch.zeros(2, 3))),
):
    z = q.sample(q.noise(keys.split(key)[0], 6))
    q.log_prob(z), q.entropy(), q.kl(q), q.mean()
for q in families.FAMILIES.values():
    z = q.sample(q.noise(keys.split(key)[0], 6))
    q.log_prob(z)
    for name in {"entropy", "mean", "bijection", "log_masses", "support", "normal", "full"} & {*dir(q)}:
        getattr(q, name)()
    for name in {"kl", "kl_per_dimension"} & {*dir(q)}:
        getattr(q, name)(q)
    if hasattr(q, "cdf"):
        q.quantile(q.cdf(z))
    if hasattr(q, "characteristic"):
        q.characteristic(z)
    if hasattr(q, "log_mgf"):
        q.log_mgf(z)
    if hasattr(q, "tempered"):
        q.tempered(0.9), q.tempered(torch.ones(len(q[0])))
    if hasattr(q, "strata"):
        q.strata(q.noise(key, 6))
for q in (normal, Bernoulli(torch.zeros(5, 3)), Gamma(torch.ones(5, 3), torch.ones(5, 3)), *families.FAMILIES.values()):
    if type(q) in FAMILIES:
        family = exponential.family(q)
        eta, z = family.natural(q), q.sample(q.noise(key, 50))
        family.from_natural(eta), family.from_mean(exponential.mean_parameters(family, eta))
        exponential.log_prob(family, eta, z), exponential.covariance(family, eta), exponential.bregman(family, eta, eta)
        exponential.natural_gradient(family, eta, eta), exponential.maximum_likelihood(family, z)
        exponential.Conjugate.around(family, q, torch.ones(len(z[0])).to(z)).posterior(z).log_density(eta)
        exponential.score_information(q, key, 3)
for pair in (
    exponential.BetaBernoulli(Beta(torch.ones(5, 3), torch.ones(5, 3))),
    exponential.GammaPoisson(Gamma(torch.ones(5, 3), torch.ones(5, 3))),
    exponential.NormalNormal(normal, torch.zeros(5, 3)), exponential.NormalInverseGamma(*torch.ones(4, 5, 3)),
    exponential.NormalWishart(torch.zeros(5, 3), torch.ones(5), torch.full((5,), 4.0), torch.eye(3).expand(5, 3, 3)),
):
    seen = pair.predictive().sample(pair.predictive().noise(key, 4))
    assert pair.posterior(seen).log_evidence(seen).shape == (5,)
seen = torch.nn.functional.one_hot(torch.zeros(4, 5, 2, dtype=torch.int64), 3).float()
exponential.DirichletCategorical(Dirichlet(torch.ones(5, 2, 3))).posterior(seen).log_evidence(seen)
exponential.cramer_rao(exponential.fisher_information(normal), torch.ones(5, 1, 6))
exponential.observed_information(lambda q: q.log_prob(torch.zeros(5, 3)).sum(), normal)
full = FullNormal.from_diagonal(normal)
full.marginal([0, 2]), full.condition(1, torch.zeros(5, 1)).condition_number()
inference.maximum_likelihood(normal.log_prob, torch.ones(5, 3)).verdict()
wide = DiagNormal(torch.zeros(5, 3), torch.full((5, 3), 0.1))
for q in (wide, Pushforward(wide, flows.real_nvp(key, 3, n=5))):
    annealed = evidence.annealed_importance(normal.log_prob, q, key, 4, evidence.linear(2))
    evidence.bdmc(normal.log_prob, q, normal.sample(normal.noise(key, 1)), key, 4, evidence.sigmoidal(2))
    evidence.smc(normal.log_prob, q, key, 40)
for q in (wide, FullNormal.from_diagonal(wide), Pushforward(wide, flows.real_nvp(key, 3, n=5))):
    draws = q.sample(q.noise(key, 40))
    evidence.bridge(normal.log_prob, q, draws, key, 40), evidence.harmonic(normal.log_prob, q, draws)
    diagnostics.inference_gaps(normal.log_prob, q, torch.zeros(5), key, steps=2, samples=4).verdict()
evidence.laplace(normal.log_prob, evidence.find_mode(normal.log_prob, torch.ones(5, 3)).z)
evidence.bayes_factor(annealed, annealed), evidence.posterior_probabilities([annealed, annealed])
log_w = keys.normal(key, (100, 5))
evidence.fit_pareto(log_w.exp().sort(0, descending=True).values)
diagnostics.amortisation(log_w[:, 0], log_w[:, 1], log_w[:, 2]).verdict()
diagnostics.psis(log_w).verdict(), diagnostics.ess(log_w), bounds.leave_one_out_iwae(log_w)
diagnostics.active_units(normal), diagnostics.collapse(normal, wide)
diagnostics.aggregate_information(wide, normal, key)
ranks = torch.randint(0, 100, (50, 2))
diagnostics.calibration(ranks, 99).verdict(), diagnostics.coverage(ranks, 99).verdict()
quiet, one = {"steps": 9, "warm_up": 9}, DiagNormal(torch.zeros(1, 3), torch.zeros(1, 3))
inference.hmc.fit(key, one.log_prob, torch.ones(4, 3), **quiet)[0].verdict()
inference.metropolis.fit(key, one.log_prob, torch.ones(4, 3), **quiet)[0].mixing().verdict()
cloud = keys.normal(key, (30, 2))
for kind in ("full", "tied", "diagonal", "spherical"):
    mixture = inference.em.fit(key, cloud, 2, kind, steps=2)[0]
    mixture.responsibilities(cloud), mixture.distribution(), mixture.verdict()
for name, model in conjugates.CONJUGATE.items():
    inference.cavi.fit(key, model, conjugates.EXAMPLES[name], steps=2)[1].fall()
    inference.svi.fit(key, model, conjugates.EXAMPLES[name], 4, epochs=1)
two = inference.advi.Adam(steps=2)
found, _ = inference.advi.fit(key, one.log_prob, torch.zeros(1, 3), adam=two, rounds=1, samples=30)
found.draws(key, 9), found.verdict(), found.gap
inference.natural.fit(key, one.log_prob, torch.zeros(1, 3), rounds=1, steps=2, samples=30)[0].verdict()
inference.pathfinder.fit(key, one.log_prob, torch.ones(2, 3), steps=2, samples=9)[0].verdict()
inference.laplace.fit(key, one.log_prob, torch.zeros(1, 3), samples=30)[0].verdict()
perceptron, network = mlp.init(key, (3, 4, 2)), inference.network_laplace
for structure in network.STRUCTURES:
    for likelihood, y in (
        (inference.curvature.Gaussian(), torch.zeros(5, 2)), (inference.curvature.Bernoulli(), torch.ones(5, 2)),
        (inference.curvature.Categorical(), torch.zeros(5, dtype=torch.int64)),
    ):
        found, _ = network.fit(mlp.apply, perceptron, torch.ones(5, 3), y, likelihood, structure)
        found.log_prob(found.draws(key, 4)), found.predict(torch.ones(5, 3)), found.predict(torch.ones(5, 3), key, 9)
        found.verdict()
inference.ep.fit(key, torch.ones(3, 2), torch.ones(3), steps=2, samples=9)[0].verdict()
plane = DiagNormal(torch.zeros(1, 2), torch.zeros(1, 2))
on_grid, _ = inference.grid.fit(key, plane.log_prob, torch.zeros(1, 2), points=21)
on_grid.draws(key, 9), on_grid.mean, on_grid.covariance, on_grid.verdict()
toss = inference.Simulator(
    {"z": bayes.real(2)}, lambda key, s: {"z": keys.normal(key, (s, 1, 2))}, lambda key, t: t["z"].repeat(2)
)
for summary in (inference.summaries.Perceptron(3), inference.summaries.Exchangeable(3)):
    found, _ = inference.npe.fit(key, toss, 40, 0.5, summary=summary, epochs=1)
    found.draws(key, torch.ones(2, 4), 3), found.verdict(torch.ones(2, 4)), found.constrained(torch.ones(3, 2, 2))
found, _ = inference.tsnpe.fit(key, toss, torch.zeros(1, 4), 40, 2, 0.1, inference.Learning(0.5, epochs=1), 0.0)
found.draws(key, 3), found.given(), found.verdict(), found.constrained(torch.ones(3, 1, 2))
codes, factors = keys.normal(key, (60, 4)), torch.randint(0, 3, (60, 2))
for score in (diagnostics.mig, diagnostics.sap, diagnostics.dci):
    score(codes, factors).verdict()
diagnostics.two_sample(codes[:30], codes[30:], key).verdict()
for compare in (diagnostics.frechet, diagnostics.kernel_distance, diagnostics.precision_recall):
    compare(codes[:30], codes[30:]).verdict()
diagnostics.inception_score(codes.log_softmax(-1)).verdict()
diagnostics.predictive_check(lambda x: x.mean(), codes, codes.expand(40, 60, 4)).verdict()
divergences.f_divergence(divergences.generators.hellinger, Bernoulli(torch.zeros(5, 3)), Bernoulli(torch.zeros(5, 3)))
context = torch.zeros(5, 2)
for layers in (
    *(build(key, 3) for build in (flows.real_nvp, flows.spline_couplings, flows.iaf, flows.maf)),
    *(build(key, 3, n=5) for build in (flows.real_nvp, flows.spline_couplings, flows.iaf, flows.maf)),
    (flows.Planar.identity(key, 3), flows.Radial.identity(key, 3)),
    (flows.Triangular.of(torch.zeros(3), torch.eye(3)),),
    (flows.Actnorm.identity(3), flows.PLU.rotation(key, 3), flows.Continuous.identity(key, 3, probes=2)),
    (flows.Sylvester.orthogonal(key, 3, 2), flows.Sylvester.householder(key, 3, 2), flows.Permutation.random(key, 3)),
    (flows.Conditional((*flows.real_nvp(key, 3, context=2), *flows.maf(key, 3, context=2)), context),),
    (flows.Conditional((flows.Hypernetwork.of(key, flows.Planar.identity(key, 3), 2),), context),),
    (bijections.Simplex(),), (bijections.CorrelationCholesky(),),
):
    q = Pushforward(normal, layers)
    q.log_prob(q.sample(q.noise(key, 4))), q.draw(key, 4), q.sample_and_log_prob(q.noise(key, 4))
    q.sample_and_score(q.noise(key, 4))
flows.normalised((flows.Actnorm.identity(3),), z)
images, series, vectors = keys.normal(key, (5, 2, 8, 8)), keys.normal(key, (5, 2, 8)), keys.normal(key, (5, 8))
for kernel, inputs in ((3, images), ((3, 1), images), ((3,), series)):
    conv.apply(conv.init(key, 2, 4, kernel, groups=2), inputs, stride=2, padding=1, groups=2)
    conv.apply_transposed(conv.init_transposed(key, 2, 4, kernel), inputs, stride=2)
    residual.apply_conv(residual.init_conv(key, 2, 4, kernel), inputs, groups=2)
pooling.max_pool(images, 2), pooling.mean_pool(series, (3,), 2, (1,)), windows.receptive_field([windows.Window(3)] * 3)
for inputs in (images, series, vectors[:, :2]):
    params, state = batch_norm.init(2, inputs.ndim - 2)
    y, state = batch_norm.apply(params, state, inputs, training=True)
    batch_norm.apply(params, state, y, training=False), group_norm.apply(group_norm.init(2, inputs.ndim - 2), inputs)
for ours in (layer_norm, rms_norm):
    ours.apply(ours.init(8), vectors)
residual.apply(residual.init(key, 8, 4), vectors), dropout.apply(key, images, 0.1), dropout.apply(None, vectors)
seen = Series(keys.uniform(key, (1, 5, 3))[0], keys.normal(key, (1, 5, 3, 2))[0], torch.ones(5, 3, dtype=torch.bool))
for model in (ode.build(2, 2, 1.0, 2), longitudinal.build(2, 2)):
    params = model.init(key, seen)
    q, log_p = model.posterior(params, seen), partial(model.log_joint, params, seen)
    importance(log_p, q, key, 10), pathwise(log_p, q, q.noise(key, 4)), model.infer(params, seen, key, 4)
    at_times = AtTimes(model, (0.1, 0.5, 0.9))
    at_times.log_joint(params, seen.values.flatten(1), q.sample(q.noise(key, 4))), at_times.prior(params, 5)
model = gp.build(2, 2, 1.0, 4)
model.infer(model.init(key, seen), seen, key, 4)
counts = poisson.build(64, 3)
params = counts.init(key, x)
q = counts.posterior(params, x)
assert counts.reconstruction(params, x).shape == q.kl(counts.prior(params, 5)).shape == (5,)
assert g.score(partial(counts.log_joint, params, x), q, q.noise(key, 4)).shape == (5,)
assert counts.dictionary(params).shape == (3, 64)
for experts in multimodal.EXPERTS:
    model = multimodal.build((60, 4), (4,), 2, experts)
    params = model.init(key, x)
    q = model.given(params, [x[:, :60], None])
    z = q.sample(q.noise(key, 4))
    assert model.decode(params, z, 1).log_prob(x[:, 60:]).shape == model.log_joint(params, x, z).shape == (4, 5)
narrow, labels = bottleneck.build(64, (4,), classifier.mlp(2, (), 3)), torch.tensor([0, 1, 2, 0, 1])
params = narrow.init(key)
noise = narrow.posterior(params, x).noise(key, 4)
for values in (*narrow.terms(params, x, labels, noise), narrow.log_prob(params, x, labels, noise),
               narrow.correct(params, x, labels, noise)):
    assert values.shape == (5,)
assert bottleneck.label_entropy(labels, 3).shape == ()
encoder, task = reptile.build(64, (4,), 2), linear_normal.LinearNormal(torch.ones(64, 2), torch.zeros(()))
params = encoder.init(key)
bound = lambda params, step: -task.elbo(encoder.posterior(params, x), x).mean()
assert reptile.pull(params, reptile.adapted(bound, params, 2, 0.01)).shape == ()
assert task.log_evidence(x).shape == (5,)
for model in (classifier.mlp(64, (4,), 3), classifier.conv((1, 8, 8), (2,), (), 3)):
    params, labels = model.init(key), torch.zeros(5, dtype=torch.int64)
    model.log_prob(params, x, labels), model.loss(params, x, labels), model.correct(params, x, labels)
texts = torch.zeros(2, 4, dtype=torch.int64)
cells = [recurrent.build(3, 4, 1, cell) for cell in ("rnn", "gru", "gru-before", "lstm")]
for model in (transformer.build(3, 8, 1, 2, 9), *cells):
    params = model.init(key)
    model.log_prob(params, texts, key), sampling.draw(model, params, key, 2, 3, texts)
plane, field = keys.normal(key, (1, 5, 2))[0], fields.mlp(2, (4,))
noising, flow = diffusion.build(field, noise_levels.cosine(3)), flow_matching.build(field)
params = field.init(key)
noising.bound(params, plane, key).elbo, noising.loss(params, plane, key), noising.sample(params, key, 3)
flow.loss(params, plane, key, plane), flow.log_prob(params, plane, 2), flow.straightness(params, plane, 2)
probability_flow.build(noising).log_prob(params, plane, 2)
for own in (dit.vector(2, 3, 4, 1, 2), dit.image((1, 1, 2), 1, 4, 1, 2), mixed.build(field, noise_levels.cosine(3))):
    of_tokens = diffusion.build(own, noise_levels.cosine(3))
    moved = of_tokens.init(key)
    of_tokens.loss(moved, plane, key), of_tokens.bound(moved, plane, key), of_tokens.sample(moved, key, 4)
two = vae.mlp(64, (6,), 2)
stage, meeting = two.init(key, x), latent_diffusion.build(two, of_tokens)
first = meeting.first(stage, x, key)
meeting.loss(moved, first, x, key), meeting.bound(moved, first, x, key), meeting.sample(moved, first, key, 3)
shaded = pixel_diffusion.build(fields.mlp(2, (4,)), noise_levels.cosine(3), 3)
shaded.bound(shaded.init(key), plane.sign(), key), pixel_diffusion.log_mass(plane.sign(), plane, 0.5, 3)
chosen = choices.build(choices.mlp(2, 3, (4,)), noise_levels.cosine(3), 3)
of_bound = pixel_diffusion.build(chosen, noise_levels.cosine(3), 3, "small", weightings.BOUND)
of_bound.loss(of_bound.init(key), plane.sign(), key), weightings.min_snr(4.0), weightings.p2(1.0, 2.0)
for continuous in (variational_diffusion.build(field), variational_diffusion.build(chosen.logits, 3)):
    ends, signs = continuous.init(key), plane.sign()
    continuous.loss(ends, signs, key), continuous.bound(ends, signs, key, 3), continuous.sample(ends, key, 2, 3)
guided, labels = guidance.build(fields.mlp(5, (4,), outputs=2), 3), torch.tensor([0, 2, -1, 1, 0])
pushed = diffusion.build(guided.of(guidance.dropped(labels, key, 0.5), 2.0), noise_levels.cosine(3))
pushed.loss(pushed.init(key), plane, key), pushed.bound(pushed.init(key), plane, key)
posterior = diffusion_posterior.build(fields.mlp(2, (4,), outputs=1), noise_levels.cosine(3), context=1)
posterior.draw(posterior.init(key), key, 4, plane[:, :1]), variational.build(field).loss(params, plane, key)
hot, choosing = torch.eye(4)[:, [0, 1, 2, 3]], variational.build(fields.mlp(4, (4,)), variational.Choices(2))
choosing.loss(choosing.init(key), torch.cat([hot[:, :2], 1 - hot[:, :2]], 1)[:2], key)
score_matching.implicit(torch.neg, plane), score_matching.sliced(torch.neg, plane, key, 3)
score_matching.denoising(torch.neg, plane, key, 0.5)
slope = energies.mlp(2, (4,))
slope(slope.init(key), plane, plane[:, 0])
langevin.unadjusted(torch.neg, plane, key, 2, 0.1), langevin.adjusted(lambda x: x.square().sum(-1), plane, key, 2, 0.1)
for transform in (flows.Affine(), flows.RationalQuadratic(3, 2.0)):
    density = normalising.build(2, transform, 2, (4,))
    params = density.init(key, plane)
    assert density.log_prob(params, density.sample(params, key, 4)).shape == (4,)
levels = torch.zeros(5, 4, dtype=torch.int64)
for density in (made.build(4, 2, (4,)), pixel_cnn.build((2, 2), 2, 3, 1)):
    params = density.init(key, levels)
    assert density.log_prob(params, density.sample(params, key, 4)).shape == (4,)
adversary = gan.mlp(2, 3, (4,))
params, state = adversary.init(key)
adversary.critic_loss(params, state, plane, key), adversary.generator_loss(params, state, plane, key)
duality.lower_bound(lambda x: adversary.value(params, state, x), plane, adversary.sample(params, key, 4))
for known in bayesian.POSTERIORS.values():
    z = known.starts(key, 3)[:, None]
    assert known(z).shape == (3, 1) and known.flat(z).shape == (3, 1, len(known.flat_names))
    assert known.unconstrained(known.constrained(z)).shape == z.shape
bayes.check(known, key), known.prior().log_prob(known.prior().noise(key, 2)), known.minibatch(torch.arange(2))(z)
bayes.exact_regression({"x": plane, "y": plane[:, 0]})
chosen = torch.zeros(5, dtype=torch.uint8)
ops.categorical_log_prob(chosen, torch.zeros(2, 5, 3))
Categorical(torch.zeros(5, 2, 3)).log_prob(chosen[:, None].expand(4, 5, 2))
ops.linear_categorical_log_prob(chosen, torch.zeros(2, 5, 4), torch.zeros(3, 4), torch.zeros(3))
keys.fold_in(key, torch.arange(4)), keys.at(key, datum=torch.arange(4)), keys.permutation(key, 9)
print("right shapes pass")

wrong = {
    "a vector of log weights": lambda: bounds.iwae(torch.zeros(3)),
    "event axes that differ": lambda: ops.normal_log_prob(torch.zeros(2, 3), torch.zeros(4), torch.zeros(4)),
    "integers for logits": lambda: ops.bernoulli_log_prob(torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64)),
    "a float key": lambda: keys.normal(torch.zeros(3), (2, 3)),
}
for name, call in wrong.items():
    try:
        call()
    except Exception as error:
        assert type(error).__name__ == "TypeCheckError", (name, error)
    else:
        raise SystemExit(f"{name} passed")
print("wrong shapes raise")
"""


def test_signatures_hold_at_run_time():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split("\n")[:2] == ["right shapes pass", "wrong shapes raise"]
