"""What is exported computes what the model does, on any number of rows, and a key draws the same everywhere."""

from pathlib import Path

import pytest
import torch

from jensen.core import bounds, keys
from jensen.experiments.programs.finished import of_latents
from jensen.experiments.report.images import prior_means

ROWS = (1, 7, 64)


def close(found, expected):
    """To float32 rounding of sums of 64 terms."""
    torch.testing.assert_close(found, expected, rtol=2e-6, atol=2e-6)


def keys_of(seed, n):
    return keys.at(keys.key(seed), datum=torch.arange(n))


@pytest.fixture(scope="module")
def model(done):
    found = of_latents(done)
    return found.model, found.params, found.images.test


@pytest.mark.parametrize("n", ROWS)
def test_q_and_the_means_are_the_models(n, exported, model):
    model, params, x = model
    x = x[:n]
    q = model.posterior(params, x)
    loc, log_scale = exported["encode"](x)
    close(loc, q.loc)
    close(log_scale, q.log_scale)
    close(exported["decode"](loc), model.likelihood(params, q.loc[None]).mean()[0])
    close(exported["reconstruct"](x), model.likelihood(params, q.mean()[None]).mean()[0])


@pytest.mark.parametrize("n", ROWS)
def test_a_key_draws_what_the_library_draws(n, exported, model):
    model, params, _ = model
    close(exported["sample"](keys_of(3, n)), prior_means(model, params, keys.key(3), n))


@pytest.mark.parametrize("n", ROWS)
def test_a_score_is_the_bounds_of_the_keys_samples(n, exported, model):
    model, params, x = model
    x, q = x[:n], model.posterior(params, x[:n])
    z = q.sample(q.noise(keys.key(5), 8))
    log_w = model.log_joint(params, x, z) - q.log_prob(z)
    found = exported["score"].run({"key": keys_of(5, n), "x": x})
    torch.testing.assert_close(found["elbo"], bounds.elbo(log_w), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found["log_p"], bounds.iwae(log_w), rtol=1e-5, atol=1e-4)
    w = log_w.double().exp()
    error = w.std(0) / w.mean(0) / 8**0.5
    torch.testing.assert_close(found["standard_error"].double(), error, rtol=1e-3, atol=1e-5)


def test_a_row_depends_on_no_other(exported):
    """Beside other rows, in a batch of the same width, its bits are the same."""
    mine, others = keys_of(1, 7), keys_of(2, 7)
    mixed = torch.cat([others[:4], mine[4:5], others[5:]])
    assert torch.equal(exported["sample"](mixed)[4], exported["sample"](mine)[4])


@pytest.mark.parametrize(
    ("name", "inputs", "message"),
    [
        ("decode", (), "expected 1 inputs of decode, got 0: pass z (n, 2)"),
        ("decode", ([[0.0, 0.0]],), "expected z (n, 2), a tensor, got list"),
        ("decode", (torch.zeros(3, 2, dtype=torch.float64),), "expected z of float32, got float64: pass z.to"),
        ("decode", (torch.zeros(3, 3),), "expected z (n, 2), got (3, 3)"),
        ("decode", (torch.zeros(2),), "expected z (n, 2), got (2,)"),
        ("decode", (torch.zeros(0, 2),), "expected z of 1 to 4096 rows, got 0"),
        ("decode", (torch.zeros(4097, 2),), "expected z of 1 to 4096 rows, got 4097: split them"),
        ("decode", (torch.tensor([[0.0, torch.nan]]),), "expected finite z, got NaN or infinity"),
        ("encode", (torch.full((1, 64), 0.5),), "expected whole numbers in x, got others"),
        ("encode", (torch.full((1, 64), -1.0),), "expected x of at least 0, got -1"),
        ("encode", (torch.full((1, 64), 2.0),), "expected x of at most 1, got 2"),
        ("score", (torch.zeros(2, 64), keys_of(0, 3)), "expected inputs of as many rows, got x 2, key 3"),
        ("sample", (torch.zeros(2, 3),), "expected key of int64, got float32"),
    ],
)
def test_wrong_inputs_are_one_line(name, inputs, message, exported):
    with pytest.raises(ValueError, match="expected") as refused:
        exported[name](*inputs)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_inputs_by_name_are_all_named(exported):
    with pytest.raises(ValueError, match="expected inputs x, key of score, got x: pass those"):
        exported["score"].run({"x": torch.zeros(1, 64)})
    with pytest.raises(KeyError, match=r"expected one of score, decode.* got 'dream': this vae has no such function"):
        exported["dream"]


def test_strides_change_nothing(exported):
    z = torch.arange(14.0).reshape(2, 7).T / 7
    assert torch.equal(exported["decode"](z), exported["decode"](z.contiguous()))


def test_parameters_are_shared_and_mapped_from_one_file(exported, written):
    """Of two functions that read the decoder, one memory; and nothing that no function reads is written."""
    places = [
        {name: leaf.data_ptr() for name, leaf in exported[of]._call.named_buffers() if "decoder" in name}
        for of in ("decode", "sample")
    ]
    assert places[0] == places[1] != {}
    assert str(written / "params.safetensors") in Path("/proc/self/maps").read_text()
