"""The shapes in public signatures are what the functions take and give: checked at run time by beartype."""

import subprocess
import sys

CODE = """
from functools import partial
from jaxtyping import install_import_hook

with install_import_hook(["jensen.core", "jensen.estimators"], "beartype.beartype"):
    from jensen.core import bounds, keys, ops
    from jensen.core.distributions import Bernoulli, Categorical, ContinuousBernoulli, DiagNormal
    from jensen.core.models import vae
    from jensen.core.nn import convnet
    from jensen.estimators.evidence import importance
    from jensen.estimators.gradients import analytic_kl, pathwise

import torch

key = keys.key(0)
x = (keys.uniform(key, (5, 64)) < 0.5).float()
for model in (vae.mlp(64, (6,), 3), vae.conv((1, 8, 8), (2,), 3), vae.mlp(64, (6,), 3, likelihood=DiagNormal)):
    params = model.init(key, x.mean(0))
    q = model.posterior(params["encoder"], x)
    log_p = partial(model.log_joint, params["decoder"], x)
    pathwise(log_p, q, q.noise(key, 4), bounds.iwae)
    analytic_kl(partial(model.log_likelihood, params["decoder"], x), q, model.prior(x), q.noise(key, 4))
    importance(log_p, q, key, 10, chunk=3)
for q in (
    Bernoulli(torch.zeros(2, 3)), ContinuousBernoulli(torch.zeros(2, 3)), Categorical(torch.zeros(2, 3, 4)),
    DiagNormal(torch.zeros(2, 3), torch.zeros(2, 3)),
):
    z = q.sample(q.noise(keys.split(key)[0], 6))
    q.log_prob(z), q.entropy(), q.kl(q), q.mean()
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
