"""Estimators: gradients of bounds, evidence, approximate posteriors, and diagnostics of each."""
