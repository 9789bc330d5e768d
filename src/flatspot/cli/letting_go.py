"""Hydra keeps what each job of a sweep has returned until the sweep ends, its whole configuration twice among it."""

from typing import Any, final

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback


@final
class LetGo(Callback):
    """Drops the configurations as a job ends: they stand in its folder, and many would fill the memory."""

    def on_job_end(self, config: Any, job_return: JobReturn, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - Hydra's
        """Keep the value and the status, which a sweeper asks for."""
        job_return.cfg = job_return.hydra_cfg = None
