"""However a claim's script is stopped, it says so in one line, and what it leaves is whole or not there."""

import os
import signal

import pytest

from jensen.experiments.claims import (
    adversaries,
    anomaly,
    augmentation,
    bottleneck,
    bounds,
    checklist,
    code_prior,
    codes,
    collapse,
    diffusion_bits,
    discrete_estimators,
    disentanglement,
    family_ladder,
    gan_or_vae,
    gradient_flow,
    gradient_variance,
    interpolation,
    latent_diffusion,
    latent_optimisation,
    layers,
    network_uncertainty,
    posteriors,
    probability,
    rate_distortion,
    reptile,
    sparse_coding,
    stability,
    vae_tables,
)
from jensen.experiments.run import session
from jensen.experiments.run.errors import InterruptError

ENDS = {signal.SIGINT: (130, "interrupted; "), signal.SIGTERM: (143, "terminated; ")}
SCRIPTS = [
    (adversaries, "measure"),
    (bounds, "measure"),
    (codes, "compared"),
    (code_prior, "compared"),
    (gradient_variance, "all_problems"),
    (discrete_estimators, "options"),
    (probability, "measure"),
    (stability, "measure"),
    (posteriors, "targets"),
    (family_ladder, "options"),
    (diffusion_bits, "contenders"),
    (gan_or_vae, "contenders"),
    (latent_diffusion, "vae"),
    (sparse_coding, "trained"),
    (bottleneck, "options"),
    (reptile, "options"),
    (gradient_flow, "measure"),
    (disentanglement, "contenders"),
    (collapse, "measure"),
    (checklist, "measure"),
    (layers, "contenders"),
    (anomaly, "measure"),
    (augmentation, "measure"),
    (network_uncertainty, "measure"),
    (interpolation, "fitted_vae"),
    (latent_optimisation, "fitted_vae"),
    (rate_distortion, "options"),
    (vae_tables, "timed"),
]


@pytest.fixture(autouse=True)
def interruptible():
    """What a shell starts in the background ignores SIGINT, and hands that on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("signum", ENDS)
@pytest.mark.parametrize(("script", "work"), SCRIPTS, ids=[script.__name__.rpartition(".")[2] for script, _ in SCRIPTS])
def test_a_script_stops_in_one_line_and_leaves_no_rows(script, work, signum, tmp_path, monkeypatch, refused):
    code, says = ENDS[signum]
    monkeypatch.setattr(script, work, lambda *args, **options: os.kill(os.getpid(), signum))
    assert refused(script.main, "--out", tmp_path / "out", code=code).startswith(f"{says}run it again")
    assert not list(tmp_path.glob("out/*"))


def test_the_discrete_estimators_stopped_in_their_training_say_where_they_stand(tmp_path, monkeypatch, refused):
    def stopped(kind, settings):
        raise InterruptError(signal.SIGTERM, "stopped at step 2 with a checkpoint saved")

    monkeypatch.setattr(session, "start", stopped)
    line = refused(discrete_estimators.main, "--units", 3, "--out", tmp_path / "all", code=143)
    assert line == "stopped at step 2 with a checkpoint saved; run it again to go on"


def test_sizes_that_do_not_fit_are_one_clear_line(tmp_path, refused):
    assert "lower --draws or --data" in refused(bounds.main, "--draws", 10**14, "--out", tmp_path / "bounds")


def test_a_folder_in_the_way_of_a_figure_is_one_clear_line(tmp_path, refused):
    (tmp_path / "bounds.png").mkdir()
    few = ["--samples", 1, 4, "--draws", 400, "--data", 2, "--scales", 0.6, "--shifts", 1, "--out", tmp_path]
    assert "bounds.png could not be written (Is a directory): move what is there away" in refused(bounds.main, *few)
    assert [path.name for path in tmp_path.iterdir()] == ["bounds.png"]
