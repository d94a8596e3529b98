"""Classifiers: networks and losses against their formulas, and what they learn of digits."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.func import grad, vmap
from torch.nn import functional as F

from jensen.core import keys, trees
from jensen.core.models import classifier

KEY = keys.key(0)
X, LABELS = (torch.from_numpy(np.asarray(part)) for part in load_digits(return_X_y=True))
X = X.float() / 16
CONV = classifier.conv((1, 8, 8), (4, 6), (12,), 10)


def test_a_linear_classifier_is_the_softmax():
    model = classifier.mlp(64, (), 10)
    params = model.init(KEY, torch.float64)
    x, labels = X[:20].double(), LABELS[:20]
    scores = np.exp(x.numpy() @ params["0"]["weight"].numpy().T)
    p = scores / scores.sum(1, keepdims=True)
    np.testing.assert_allclose(model.log_prob(params, x, labels), np.log(p[range(20), labels.numpy()]), rtol=1e-10)
    np.testing.assert_allclose(model.loss(params, x, labels), -np.log(p[range(20), labels.numpy()]).mean(), rtol=1e-10)
    assert model.correct(params, x, labels).tolist() == (p.argmax(1) == labels.numpy()).tolist()
    error = p - np.eye(10)[labels.numpy()]  # d loss / d logits, by hand
    np.testing.assert_allclose(grad(model.loss)(params, x, labels)["0"]["weight"], error.T @ x.numpy() / 20, atol=1e-12)


def test_levels_convolve_activate_and_pool():
    params = CONV.init(KEY)
    h = X[:5].reshape(5, 1, 8, 8)
    for level in params["levels"].values():
        h = F.max_pool2d(F.relu(F.conv2d(h, level["weight"], level["bias"], padding=1)), 2)
    for i, layer in params["head"].items():
        h = F.linear(F.relu(h.flatten(1)) if i != "0" else h.flatten(1), layer["weight"], layer["bias"])
    torch.testing.assert_close(CONV.logits(params, X[:5]), h)


def test_features_are_the_last_hidden_units():
    for model in (CONV, classifier.mlp(64, (12,), 10)):
        params = model.init(KEY)
        features = model.features(params, X[:5])
        assert features.shape == (5, 12)
        assert features.min() == 0  # after relu
        layer = params.get("head", params)["1"]
        torch.testing.assert_close(F.linear(features, layer["weight"], layer["bias"]), model.logits(params, X[:5]))
    bare = classifier.mlp(64, (), 10)
    assert torch.equal(bare.features(bare.init(KEY), X[:5]), X[:5])


def test_each_datum_is_classified_by_itself_and_all_compiles():
    params, x, labels = CONV.init(KEY), X[:4], LABELS[:4]
    each = vmap(lambda x, label: CONV.log_prob(params, x[None], label[None])[0])(x, labels)
    torch.testing.assert_close(each, CONV.log_prob(params, x, labels))
    slopes = grad(classifier.mlp(64, (), 10).loss)
    params = classifier.mlp(64, (), 10).init(KEY)
    compiled = torch.compile(slopes, fullgraph=True, backend="eager")(params, x, labels)
    torch.testing.assert_close(compiled, slopes(params, x, labels))


def trained(model, seed, epochs, rows):
    """(held-out, training) accuracy after so many epochs of Adam."""
    init_key, order_key = keys.split(keys.key(seed))
    order = keys.permutation(keys.key(0), len(X))
    test, train = order[:360], order[360:][:rows]
    params = model.init(init_key)
    optimiser = torch.optim.Adam(trees.leaves(params), lr=3e-3)
    for epoch in range(epochs):
        for places in keys.permutation(keys.fold_in(order_key, epoch), len(train)).split(64):
            batch = train[places]
            trees.set_grads(params, grad(model.loss)(params, X[batch], LABELS[batch]))
            optimiser.step()
    return [model.correct(params, X[part], LABELS[part]).mean().item() for part in (test, train)]


def test_a_few_steps_beat_chance_by_far():
    held_out, _ = trained(classifier.conv((1, 8, 8), (8, 16), (32,), 10), 0, epochs=4, rows=1000)
    assert held_out > 0.5


@pytest.mark.slow
def test_digits_are_known_from_their_pixels():
    """Above 95 % of 360 held-out digits, in seconds a seed."""
    model = classifier.conv((1, 8, 8), (16, 32), (64,), 10)
    accuracy = [trained(model, seed, epochs=15, rows=1437)[0] for seed in range(3)]
    print(f"held-out accuracies {accuracy}")
    assert min(accuracy) > 0.95


def test_what_does_not_fit_raises_with_the_fix():
    params = CONV.init(KEY)
    with pytest.raises(ValueError, match="expected labels from 0 to 9, got from 0 to 10: pass classes=11 or more"):
        CONV.log_prob(params, X[:2], torch.tensor([0, 10]))
    with pytest.raises(ValueError, match=r"expected labels \(2,\), got \(3,\): one for each datum"):
        CONV.loss(params, X[:2], LABELS[:3])
    with pytest.raises(TypeError, match=r"expected labels, whole numbers, got torch\.float32"):
        CONV.correct(params, X[:2], LABELS[:2].float())
    with pytest.raises(ValueError, match="fewer levels, got 4 for image"):
        classifier.conv((1, 8, 8), (4, 4, 4, 4), (12,), 10)
    assert classifier.conv((1, 7, 9), (4, 4), (), 10).init(KEY)["head"]["0"]["weight"].shape == (10, 4 * 1 * 2)
