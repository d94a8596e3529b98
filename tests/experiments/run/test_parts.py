"""A batch in parts is the whole batch to rounding: its gradient, its draws and the state that it leaves."""

from dataclasses import replace

import torch

from jensen.experiments.run.loop import fit
from tests.experiments.run.toys import RUN, Regression, folder, points


def test_parts_of_a_batch_sum_to_the_whole(tmp_path):
    data = points().double()
    whole = fit(Regression(), RUN, data, data, folder(tmp_path / "whole"))
    run = replace(RUN, accumulate=4)  # parts of 3, 3, 3 and 1
    parts = fit(Regression(), run, data, data, folder(tmp_path / "parts", run))
    torch.testing.assert_close(parts.params, whole.params, rtol=1e-9, atol=1e-9)


class Centred(Regression):
    """Points less their running mean as it was, so that the gradient of a batch is the mean of its parts'."""

    def init(self, key, data):
        state = {"mean": torch.zeros_like(data[0]), "steps": torch.zeros((), dtype=torch.long)}
        return super().init(key, data)[0], state

    def loss(self, params, state, batch, key, weights):
        centred = {**batch, "data": batch["data"] - state["mean"]}
        mean = torch.lerp(state["mean"], batch["data"].mean(0), 0.1)
        return (
            super().loss(params, {}, centred, key, weights)._replace(state={"mean": mean, "steps": state["steps"] + 1})
        )


def test_parts_of_a_batch_begin_with_one_state_and_leave_its_mean(tmp_path):
    """Parts that followed one another would forget the past as often as there are parts."""
    data = points().double()
    whole = fit(Centred(), RUN, data, data, folder(tmp_path / "whole"))
    run = replace(RUN, accumulate=4)
    parts = fit(Centred(), run, data, data, folder(tmp_path / "parts", run))
    torch.testing.assert_close((parts.params, parts.state), (whole.params, whole.state), rtol=1e-9, atol=1e-9)
    assert whole.state["steps"] == 40


def test_gradients_keep_their_types_in_parts_and_where_they_are_clipped(tmp_path):
    """A scalar beside another of a wider type would take that one's."""

    class Scaled(Regression):
        def init(self, key, data):
            return {"model": {**super().init(key, data)[0]["model"], "scale": torch.ones((), dtype=data.dtype)}}, {}

        def loss(self, params, state, batch, key, weights):
            shifted = {**batch, "data": batch["data"] * params["model"]["scale"]}
            return super().loss({"model": {n: t for n, t in params["model"].items() if n != "scale"}}, state, shifted,
                                key, weights)  # fmt: skip

    for dtype in (torch.float32, torch.bfloat16):
        run = replace(RUN, accumulate=3, clip=0.1, steps=3)
        data = points().to(dtype)
        fitted = fit(Scaled(), run, data, data, folder(tmp_path / str(dtype), run))
        assert fitted.params["model"]["scale"].dtype is dtype
