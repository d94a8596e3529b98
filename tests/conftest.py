"""Hypothesis profiles, and Triton's interpreter where there is no GPU: set before Triton is first imported."""

import os

import torch
from hypothesis import HealthCheck, settings

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("suite", max_examples=60, deadline=None, derandomize=True, suppress_health_check=quiet)
settings.register_profile("laws", max_examples=2000, deadline=None, suppress_health_check=quiet)
settings.load_profile("suite")
