"""Codebooks, their restarts and the counts of use are those of whole batches, on any number of ranks and in parts."""

from dataclasses import dataclass, replace

import pytest
import torch

from jensen.core.models.quantised import Projected, ResidualVq, Vq, autoencoder, two_maps
from jensen.experiments.data.batches import Epochs
from jensen.experiments.data.images import digits
from jensen.experiments.programs.quantisation import QuantisationProgram
from jensen.experiments.run.program import Turn
from tests.experiments.ranks import on
from tests.experiments.run import toys
from tests.experiments.run.test_ranks import assert_close, trained

X = digits().train[:33].double()
RUN = replace(toys.RUN, steps=6, checkpoint_every=6, clip=0.5)
VQ = Vq(8, decay=0.5, least=0.9)  # nearly every step restarts a code
MODELS = {
    "vq": autoencoder.mlp(64, (6,), 2, 3, VQ),
    "residual-vq": autoencoder.mlp(64, (6,), 2, 3, ResidualVq(VQ, 2)),
    "two maps": two_maps.conv((1, 8, 8), (2,), (2,), 2, Projected(VQ, 1), VQ),
}


@dataclass(frozen=True)
class Averaging(QuantisationProgram):
    """The state is the mean of those that parts leave."""

    @property
    def turns(self):
        return (Turn(self.loss, ("model",)),)


def program(name, kind=QuantisationProgram):
    """Its last batch of an epoch has 3 data, which leave one of four ranks without any."""
    return kind(MODELS[name], Epochs(len(X), 10, keep_last=True))


@pytest.mark.parametrize("name", MODELS)
def test_codes_on_several_ranks_and_in_parts_are_those_of_one_process(tmp_path, name):
    one = trained(tmp_path / "one", RUN, program(name), 1, X)
    for size, parts, shard in ((1, 4, False), (2, 3, True), (4, 1, False)):
        run = replace(RUN, accumulate=parts, shard=shard)
        found = trained(tmp_path / f"{size} {parts}", run, program(name), size, X)
        assert_close(found, one, 1e-10)


def test_states_that_are_averaged_are_others(tmp_path):
    """A mean of ratios is not that of sums and shares, and parts restart codes at vectors of their own."""
    one = trained(tmp_path / "one", RUN, program("vq", Averaging), 1, X)
    parts = trained(tmp_path / "parts", replace(RUN, accumulate=4), program("vq", Averaging), 1, X)
    assert max((t.double() - one[name].double()).abs().max() for name, t in parts.items()) > 1e-3
    with pytest.raises(AssertionError):  # ranks have other bits: whole numbers have no mean
        trained(tmp_path / "two", RUN, program("vq", Averaging), 2, X)


def test_rows_are_gathered_in_their_order_with_their_bits():
    whole = {
        "half": torch.arange(14.0).reshape(7, 2).to(torch.bfloat16), "code": torch.arange(7) + 2**40,
        "double": torch.arange(7, dtype=torch.float64).reshape(7, 1, 1) / 3, "none": torch.zeros(7, 0),
    }  # fmt: skip

    def work(own):
        found = []
        for n in (7, 1, 0):
            start, stop = own.part(n)
            rows = own.gather({name: t[:n][start:stop] for name, t in whole.items()}, n)
            found += [torch.equal(t, whole[name][:n]) and t.dtype is whole[name].dtype for name, t in rows.items()]
        return found

    assert [result["ok"] for result in on(3, work).results()] == [[True] * 12] * 3
