"""What computes a service's batches: threads of its own process, processes, or replicas of Ray."""

from jensen.experiments.service.engines.seam import Engine, Loaded, LostWorkerError, Rows, Seat

__all__ = ["Engine", "Loaded", "LostWorkerError", "Rows", "Seat"]
