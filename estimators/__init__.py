"""What is estimated: gradients of bounds, evidence, posteriors and how well they fit."""
