"""How many threads a job may take: jobs that run at once on one machine share its cores."""

import os
from typing import Final

from omegaconf import DictConfig

AT_ONCE: Final = {
    "JoblibLauncher": "joblib",
    "LocalLauncher": "submitit",
    "SlurmLauncher": "slurm",
    "RayLauncher": "ray",
}
"""Launchers that begin several jobs at once."""


def cores() -> int:
    """The cores that this process may use: a scheduler or a container may give it some of the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS has no such call


def share(launcher: DictConfig, available: int) -> int | None:
    """The threads of one of the jobs that a launcher has begun; None: it has the machine to itself.

    Args:
        launcher: Hydra's configuration of it. available: cores.

    Joblib begins `n_jobs` at once (below 0: all cores but as many less one), submitit's local executor all of them; on
    SLURM and Ray a job has what it asks for, and where it does not say, on SLURM what it is given.
    """
    kind = AT_ONCE.get(str(launcher.get("_target_", "")).rpartition(".")[2])
    if kind == "joblib":
        asked = int(launcher.n_jobs)
        at_once = asked if asked > 0 else max(available + 1 + asked, 1)
        return max(available // at_once, 1) if at_once > 1 else None
    if kind == "ray":
        return max(int(launcher.ray.remote.get("num_cpus") or 1), 1)
    if kind in {"submitit", "slurm"}:
        return launcher.cpus_per_task or (1 if kind == "submitit" else None)
    return None
