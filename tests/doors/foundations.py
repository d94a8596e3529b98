"""Keys, trees, minibatches and values by name."""

import torch

from jensen.core import keys, minibatch, spelling, trees
from tests.doors.door import KEY, Free, door, only

S, N, D = 4, 5, 3
X = (keys.uniform(KEY, (N, 64)) < 0.5).float()
Z = torch.zeros(S, N, D)
TREE = {"a": torch.zeros(2), "b": {"c": torch.zeros(3)}}
DTYPE = only(torch.float32, torch.int64, "float32")

ROWS = {
    "keys.key": door(keys.key, seed=only(7, 2.5, "7", True, KEY, 2**63)),
    "keys.fold_in": door(keys.fold_in, key=KEY, index=only(3, 2.5, "3", True, torch.ones(2), torch.ones(2) > 0, None)),
    "keys.split": door(keys.split, key=KEY, num=3),
    "keys.at": door(keys.at, key=KEY, particle=only(1, 1.5, "1", torch.ones(2)), datum=only(2, 1.5, True)),
    "keys.bits": door(keys.bits, key=KEY, shape=only((2, 3), (2, -1), (2.5,), 3, torch.zeros(2), "ab")),
    "keys.uniform": door(keys.uniform, key=KEY, shape=only((2, 3), (2, -1), 3), dtype=DTYPE),
    "keys.normal": door(keys.normal, key=KEY, shape=only((2, 3), (2, -1), 3), dtype=DTYPE),
    "keys.permutation": door(keys.permutation, key=KEY, n=4),
    "keys.to_uniform": door(keys.to_uniform, words=Free(keys.bits(KEY, (2, 3))), dtype=DTYPE),
    "trees.map": door(trees.map, f=torch.neg, tree=only(TREE)),
    "trees.set_grads": door(trees.set_grads, params=only(TREE), grads=only(TREE, {}, 3, {"a": torch.zeros(2), "b": 1})),
    "trees.norm": door(trees.norm, tree=only(TREE, {}, {"a": 3}, {"a": X.numpy()})),
    "trees.ravel": door(trees.ravel, tree=only(TREE, {}, {"a": 3}, {"a": X.numpy()})),
    "trees.ravel.vector": door(trees.ravel(TREE)[1], vector=torch.zeros(5)),
    "trees.from_paths": door(
        trees.from_paths, params=only(trees.paths(TREE), {}, 3, {"a": torch.zeros(3), "b.c": torch.zeros(3)}, {"b": 3}),
        like=only(TREE),
    ),
    "trees.check_keys": door(
        trees.check_keys, params=only({"a": Z, "b": Z}, 3, {}, {"c": 3}), expected=only(("a", "b")),
    ),
    "minibatch.log_joint": door(
        minibatch.log_joint, log_prior=lambda z: z.sum(-1), log_likelihood=lambda z: z.sum(-1).expand(-1, 3), num_data=9
    ),
    "minibatch.log_joint.density": door(
        lambda log_prior, log_likelihood, num_data: minibatch.log_joint(log_prior, log_likelihood, num_data)(Z[:, :1]),
        log_prior=only(lambda z: z.sum(-1), lambda z: z.sum(), lambda z: 3.0),
        log_likelihood=only(lambda z: z.sum(-1).expand(-1, 3), lambda z: z.sum((1, 2)), lambda z: 3.0),
        num_data=only(9, 2),
    ),
    "spelling.parse": door(lambda text: spelling.parse(text, {"a": lambda: 1}, "letter"), text=only("a", "b", "a(", 3)),
}  # fmt: skip
