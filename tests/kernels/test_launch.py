"""How kernels are launched: tiles, row numbers of 32 and 64 bits, and the gradients that are asked for."""

import importlib
import itertools

import pytest
import torch
import triton.language as tl
from torch.func import grad

from jensen.core import keys, ops
from jensen.core.ops import dispatch
from tests.core.test_transforms import DEVICE
from tests.kernels.support import noise
from tests.kernels.test_densities import check, densities


@pytest.fixture(scope="module")
def launch():
    return importlib.import_module("jensen.kernels.launch")


def test_row_numbers_and_a_tile_more_fit_their_type(launch):
    assert all(launch.tile(2**20, d, tl.float32)["BLOCK_R"] <= launch.TILE for d in range(2000))
    for count in (1, 2**31 - launch.TILE - 1, 2**31 - launch.TILE, 2**31, 2**40):
        bits = launch.row_type(count).primitive_bitwidth
        assert count + launch.TILE < 2 ** (bits - 1)
        assert bits == 64 or count < 2**31


@pytest.mark.parametrize("d", [1, 2, 3, 50, 64, 256])
def test_a_tile_has_several_rows_whatever_their_length(launch, d):
    single, double = (launch.tile(10_000, d, acc) for acc in (tl.float32, tl.float64))
    assert single["BLOCK_D"] == double["BLOCK_D"] >= d
    assert single["BLOCK_R"] == min(256, launch.TILE // single["BLOCK_D"]) >= 4
    assert double["BLOCK_R"] == min(256, launch.TILE // 2 // double["BLOCK_D"]) >= 2


@pytest.mark.parametrize(("s", "n", "d"), [(1, 1, 1), (50, 128, 784), (5000, 128, 2), (3, 5, 1025), (7, 300, 64)])
@pytest.mark.parametrize("own", [True, False])
def test_each_row_is_in_one_tile_of_one_part(launch, s, n, d, own):
    (tiles, parts), (data, repeats, span), blocks = launch.repeated(s * n, n, s * n if own else n, d, tl.float32)
    assert data * repeats == s * n
    assert data % n == 0  # x's rows are these, modulo n
    assert (tiles - 1) * blocks["BLOCK_R"] < data <= tiles * blocks["BLOCK_R"]
    assert (parts - 1) * span < repeats <= parts * span
    (tiles, parts, wide), span, blocks = launch.shared(s, n, d, tl.float32, room=512, lanes=4)
    assert (tiles - 1) * blocks["BLOCK_R"] < n <= tiles * blocks["BLOCK_R"]
    assert (parts - 1) * span < s <= parts * span
    assert (wide - 1) * blocks["BLOCK_D"] < d <= wide * blocks["BLOCK_D"]


@pytest.mark.parametrize(("s", "n"), [(1, 1), (8, 100_000), (100, 7), (5000, 128), (5000, 8192), (2**20, 3)])
def test_each_weight_is_in_one_tile_of_one_part(s, n):
    importance = importlib.import_module("jensen.kernels.importance")
    (tiles, parts), span, blocks = importance.tile(s, n)
    assert (tiles - 1) * blocks["BLOCK_N"] < n <= tiles * blocks["BLOCK_N"]
    assert (parts - 1) * span < s <= parts * span
    assert span % blocks["BLOCK_S"] == 0
    assert parts <= importance.PARTS
    assert blocks["BLOCK_S"] * blocks["BLOCK_N"] <= importance.ROOM


def test_halves_of_an_output_are_read_where_they_are(launch):
    output = noise(1, 6, 5, 8)
    loc, log_scale = output.chunk(2, -1)
    for half, first in ((loc, 0), (log_scale, 4)):
        found, size, step = launch.lines(half, [6, 5])
        assert (size, step, found.data_ptr()) == (30, 8, output.data_ptr() + first * output.element_size())
        assert torch.equal(found, half.reshape(30, 4))
    across = launch.lines(output.mT, [6, 8])[0]  # of columns apart, a copy
    assert torch.equal(across, output.mT.reshape(48, 5))
    assert across.stride(-1) == 1
    with ops.use("triton"):
        for name, apart, together in (
            (
                "kl",
                (loc, log_scale, loc + 1, log_scale),
                [t.contiguous() for t in (loc, log_scale, loc + 1, log_scale)],
            ),
            ("log_prob", (loc, log_scale[0], log_scale), [loc.contiguous(), log_scale[0].clone(), log_scale.clone()]),
        ):
            f = getattr(ops, f"normal_{name}")
            assert torch.equal(f(*apart), f(*together)), name
            slopes = grad(lambda *args, f=f: f(*args).sum(), (0, 1, 2))
            assert all(map(torch.equal, slopes(*apart), slopes(*together))), name


@pytest.mark.parametrize("compiling", [True, False])
def test_a_kernel_runs_from_the_size_that_repays_it(compiling, monkeypatch):
    zero, least = torch.zeros(1), dispatch.SMALL * (4 if compiling else 1)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    monkeypatch.setattr(dispatch, "uses_kernel", lambda t: True)
    assert dispatch.deserves_kernel(zero, least)
    assert not dispatch.deserves_kernel(zero, least - 1)
    with ops.use("triton"):
        assert dispatch.deserves_kernel(zero, 1)
    monkeypatch.setattr(dispatch, "uses_kernel", lambda t: False)
    assert not dispatch.deserves_kernel(zero, least)


@pytest.mark.parametrize("name", densities(1, 1, 1))
def test_row_numbers_of_64_bits(name, launch, monkeypatch):
    monkeypatch.setattr(launch, "row_type", lambda count: tl.int64)
    check(name, densities(3, 5, 7)[name], torch.float32)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-2), (torch.float64, 1e-9)], ids=str)
def test_the_log_density_of_ten_thousand_numbers_sums_to_torchs(dtype, tolerance):
    """As one row each, with a location and scale of their own, and as a sample of one normal."""
    z, loc, log_scale = (noise(i, 10_000, 1).to(dtype) for i in range(3))
    for m, a in ((loc, log_scale), (loc[0], log_scale[0])):
        expected = torch.distributions.Normal(m, a.exp()).log_prob(z).sum()
        with ops.use("triton"):
            total = ops.normal_log_prob(z, m, a).sum()
        torch.testing.assert_close(total, expected, rtol=0, atol=tolerance)


def gradients():
    """Each operation with several slopes, its arguments, the kernel's module, and its slopes' arguments."""
    z, loc, a = noise(1, 2, 3, 5), noise(2, 3, 5), noise(3, 5)
    key = keys.key(5, DEVICE)
    return {
        "normal_log_prob": (ops.normal_log_prob, (z, loc, a), ((0, 1), (2,))),
        "normal_kl": (ops.normal_kl, (z, a, loc, a), ((0, 2), (1,), (3,))),
        "normal_sample": (
            lambda m, a: ops.normal_sample(key, m, a, 2)[0].sum(-1), (loc, a.expand(3, 5)), ((0,), (1,)),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("name", gradients())
def test_a_kernel_writes_the_gradients_that_are_needed_alone(name, monkeypatch):
    f, args, slopes_of = gradients()[name]
    kernel, columns = importlib.import_module(f"jensen.kernels.{name}"), []

    def watched(*given, backward=kernel.backward):
        slopes = backward(*given)
        columns.append([slope.shape[-1] for slope in slopes])
        return slopes

    monkeypatch.setattr(kernel, "backward", watched)
    upstream = torch.linspace(-1, 2, 6, device=DEVICE, dtype=torch.float64).reshape(2, 3)
    for count in (1, 2):
        for wanted in itertools.combinations(range(len(args)), count):
            found = {}
            for path in ("reference", "triton"):
                with ops.use(path):
                    found[path] = grad(lambda *a: (f(*a) * upstream).sum(), wanted)(*args)
            torch.testing.assert_close(found["triton"], found["reference"], rtol=1e-9, atol=1e-9)
            assert columns.pop() == [5 if set(places) & set(wanted) else 0 for places in slopes_of]
