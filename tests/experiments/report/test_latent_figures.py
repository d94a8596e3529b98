"""Pictures of a model show what its latents stand for, whatever their number and kind, and say where nothing works."""

import pytest
import torch

from jensen.core import trees
from jensen.core.models.latent import sbn
from jensen.experiments.report import latent_figures, png
from jensen.experiments.report.images import grid
from jensen.experiments.report.latent import latent
from tests.experiments.report.conftest import KEY, binary_images, small_vae


def belief_net(layers=1, units=5):
    model, images = sbn.build(16, units, layers), binary_images()
    return model, model.init(KEY, images.train), images


@pytest.mark.parametrize("n", [1, 30])
@pytest.mark.parametrize("kind", ["1 dimension", "2 dimensions", "3 dimensions", "units", "two layers"])
def test_no_drawing_fails_on_one_datum_or_one_dimension(kind, n):
    if kind[0].isdigit():
        model, params, images = small_vae(int(kind[0]))
    else:
        model, params, images = belief_net(1 + (kind == "two layers"))
    drawn = latent_figures(model, params, images._replace(test=images.test[:n], test_labels=images.test_labels[:n]))
    assert set(drawn) == {"reconstructions", "samples", "latent"}
    assert all(png(figure).startswith(b"\x89PNG") for figure in drawn.values())


def test_the_title_says_how_many_dimensions_are_active():
    model, params, images = small_vae(3)
    params["encoder"]["1"]["weight"][:3] *= torch.tensor([[3.0], [1e-4], [3.0]])
    axis = latent(model, params, images).axes[0]
    assert axis.get_title().startswith("2 of 3 dimensions active")
    assert [label.get_text()[:4] for label in axis.get_yticklabels()][-1] == "z[1]"
    dull = trees.map(lambda t: 1e-4 * t, params)
    assert latent(model, dull, images).axes[0].get_title().startswith("No dimension of 3 is active")
    flat, params, images = small_vae(2)
    assert latent(flat, trees.map(lambda t: 1e-4 * t, params), images).axes[0].get_title().endswith(
        "No dimension of 2 is active (variance of posterior means above 0.01)"
    )  # fmt: skip


def test_a_map_of_units_has_a_colour_bar_and_upper_layers_no_place():
    """A unit's effect is the mean image with it on less that with it off: for a linear logit, of its weights' signs."""
    model, params, images = belief_net()
    figure = latent(model, params, images)
    assert [axis.get_ylabel() for axis in figure.axes[1:]] == ["on − off"]
    shown = figure.axes[0].images[0].get_array()
    weight = params["decoder"]["0"]["0"]["weight"]
    assert sum(bool((tile > 0).any()) for tile in shown.filled(0).reshape(1, -1)) == 1
    assert shown.count() == weight.numel()
    two = latent(*belief_net(2)).axes[0].images[0].get_array()
    assert two.count() == weight.numel()
    model, params, images = belief_net()
    off = latent(model, trees.map(lambda t: 0 * t, params), images)
    assert off.axes[0].get_title().startswith("No unit of 5 is active")


def test_images_of_a_grid_are_whole_and_in_order():
    images = binary_images()
    values = torch.arange(48.0).reshape(3, 16)
    tiles = grid([values[:2], values[2:]], images, ["a", "b"], "").axes[0].images[0].get_array()
    first, second, third = tiles[1:5, 1:5], tiles[1:5, 7:11], tiles[7:11, 1:5]
    for tile, row in zip((first, second, third), values, strict=True):
        assert torch.equal(torch.from_numpy(tile.filled(-1)).float().flatten(), row)
    assert tiles.count() == 48
