"""The laws of every part of the library: one case per instance of `jensen.laws.instances` and law it owes."""

import pytest
from hypothesis import settings

from jensen import laws
from jensen.laws import instances, transforms

pytestmark = pytest.mark.law
EXAMPLES = max(12, settings().max_examples // 5)  # of the suite's profile 12, of `make laws` 400
COMPILED = ("transforms_agree", "flows_transform", "bounds_transform", "compiled_gradients_are_eager", "models_compile")
TABLES = {
    "distribution": instances.DISTRIBUTIONS,
    "flow": instances.FLOWS,
    "bound": instances.BOUNDS,
    "estimator": instances.ESTIMATORS,
    "model": instances.MODELS,
    "program": instances.programs(),
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


@of("distribution")
def test_distributions(value, law):
    law(value)


@of("flow")
def test_flows(value, law):
    law(value)


@of("bound")
def test_bounds(value, law):
    law(value)


@of("estimator")
def test_estimators(value, law):
    law(value)


@of("model")
def test_models(value, law):
    law(value)


@of("program")
def test_programs(value, law):
    law(value)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TABLES)
def test_graphs_survive_functionalisation(kind, monkeypatch):
    """The compiled laws once more, by aot_eager."""
    monkeypatch.setattr(transforms, "BACKEND", "aot_eager")
    for name, value in TABLES[kind].items():
        for law in laws.laws_for(value, kind=kind):
            if law.name in COMPILED:
                law(laws.Subject(value, instances.EXAMPLES.get(name)))
