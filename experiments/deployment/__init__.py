"""Finished runs as functions that need no training code: torch.export programs, AOTInductor packages, ONNX."""

from jensen.experiments.deployment.loading import Exported, Function, load
from jensen.experiments.deployment.manifest import Argument, Manifest, Signature

__all__ = ["Argument", "Exported", "Function", "Manifest", "Signature", "load"]
