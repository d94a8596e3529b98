"""Inference algorithms: a state, `init`, `update` and `fit`, in that order in every file."""
