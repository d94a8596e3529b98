"""Inference of ready models: their data, the methods by name, and what is said of the posterior that each finds."""
