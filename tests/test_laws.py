"""The laws of every part of the library: one case per instance of `jensen.laws.instances` and law it owes."""

import pytest
from hypothesis import settings

from jensen import laws
from jensen.core.exponential.table import FAMILIES
from jensen.core.models.latent.posteriors import POSTERIORS
from jensen.laws import bayesian, conjugate, families, instances, transforms

pytestmark = pytest.mark.law
EXAMPLES = max(12, settings().max_examples // 5)  # of the suite's profile 12, of `make laws` 400
COMPILED = (
    "transforms_agree", "flows_transform", "bounds_transform", "compiled_gradients_are_eager", "models_compile",
    "densities_compile", "quantisers_compile", "steps_of_codes_compile", "posteriors_compile",
    "sweeps_compile",
)  # fmt: skip
REPRESENTATIVES = {
    "distribution": "Gamma",
    "flow": "Coupling",
    "bound": "Cubo",
    "estimator": "measure_valued",
    "model": "vae, bernoulli",
    "density model": "made",
    "quantiser": "Fsq",
}
MEMBERS = {name: q for name, q in {**instances.DISTRIBUTIONS, **families.FAMILIES}.items() if type(q) in FAMILIES}
TABLES = {
    "distribution": instances.DISTRIBUTIONS,
    "exponential family": {name: FAMILIES[type(q)](q) for name, q in MEMBERS.items()},
    "flow": {**instances.FLOWS, **instances.BIJECTIONS},
    "bound": instances.BOUNDS,
    "estimator": instances.ESTIMATORS,
    "model": instances.MODELS,
    "density model": instances.DENSITIES,
    "quantiser": instances.QUANTISERS,
    "coded model": instances.CODED,
    "program": instances.programs(),
    "posterior": bayesian.POSTERIORS,
    "conjugate model": conjugate.CONJUGATE,
}


def of(kind):
    table = TABLES[kind]
    return laws.parametrize(
        table,
        kind=kind,
        examples={name: instances.EXAMPLES[name] for name in table if name in instances.EXAMPLES},
        expected_failures={name: instances.EXPECTED[name] for name in table if name in instances.EXPECTED},
        max_examples=EXAMPLES,
    )


def mostly_slow(mark, chosen, law=""):
    """The cases, or those of one law, slow but for those of a few instances."""
    names, cases = mark.args
    quick = [case.id.partition(":")[0] in chosen or law not in case.id for case in cases]
    marks = [() if each else pytest.mark.slow for each in quick]
    return pytest.mark.parametrize(
        names, [pytest.param(*case.values, id=case.id, marks=m) for case, m in zip(cases, marks, strict=True)]
    )


@of("distribution")
def test_distributions(value, law):
    law(value)


@mostly_slow(
    laws.parametrize(families.FAMILIES, expected_failures=families.EXPECTED, max_examples=EXAMPLES), families.QUICK
)
def test_families(value, law):
    law(value)


@mostly_slow(
    laws.parametrize(TABLES["exponential family"], kind="exponential family", examples=MEMBERS),
    ("Gamma", "Categorical", "FullNormal", "NegativeBinomial"),
)
def test_exponential_families(value, law):
    law(value)


def test_every_exponential_family_has_an_instance():
    assert {type(q) for q in MEMBERS.values()} == set(FAMILIES)


@of("flow")
def test_flows(value, law):
    law(value)


@of("bound")
def test_bounds(value, law):
    law(value)


@of("estimator")
def test_estimators(value, law):
    law(value)


SLOWLY_COMPILED = {
    *(f"vae, {part}" for part in (*POSTERIORS, "vamp")), "ladder", "cvae", "m2", "m1-m2", "poisson",
    *(name for name in TABLES["model"] if name.startswith("multimodal")),
}  # fmt: skip


@mostly_slow(of("model"), {*TABLES["model"]} - SLOWLY_COMPILED, "models_compile")
def test_models(value, law):
    law(value)


@mostly_slow(of("density model"), ("made",), "densities_compile")
def test_density_models(value, law):
    law(value)


@mostly_slow(of("quantiser"), ("Vq",), "quantisers_compile")
def test_quantisers(value, law):
    law(value)


@mostly_slow(of("coded model"), ("autoencoder of Vq",), "steps_of_codes_compile")
def test_coded_models(value, law):
    law(value)


@mostly_slow(of("posterior"), ("eight schools",), "posteriors_compile")
def test_posteriors(value, law):
    law(value)


@mostly_slow(laws.parametrize(conjugate.CONJUGATE, examples=conjugate.EXAMPLES), ("mixture",), "sweeps_compile")
def test_conjugate_models(value, law):
    law(value)


@of("program")
def test_programs(value, law):
    law(value)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, marks=() if REPRESENTATIVES[kind] == name else pytest.mark.slow, id=name)
        for kind in REPRESENTATIVES
        for name in TABLES[kind]
    ],
)
def test_graphs_survive_functionalisation(kind, name, monkeypatch):
    """The compiled law once more, by aot_eager: of one instance of each kind, and of all in `make laws`."""
    monkeypatch.setattr(transforms, "BACKEND", "aot_eager")
    (law,) = (law for law in laws.laws_for(TABLES[kind][name], kind=kind) if law.name in COMPILED)
    law(laws.Subject(TABLES[kind][name], instances.EXAMPLES.get(name)))
