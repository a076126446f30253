"""What the routes share."""

from __future__ import annotations

from dataclasses import dataclass, field

from whence.api.service.metrics import Metrics
from whence.api.service.models import Model
from whence.api.service.problems import ProblemError
from whence.api.service.settings import Settings
from whence.api.service.store import Store
from whence.providers.errors import UnknownModelError


@dataclass
class Service:
    """One service: its settings, its models, and what it keeps and counts.

    Raises UnknownProviderError, MissingExtraError, InputError for models that cannot be had.
    """

    settings: Settings
    metrics: Metrics = field(default_factory=Metrics)
    models: dict[str, Model] = field(init=False)
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        server = self.settings.server
        self.models = {
            name: Model(name, own, self.settings.make_provider(name))
            for name, own in self.settings.models.items()
        }
        self.store = Store(limit=server.kept_explanations, limit_bytes=server.kept_bytes)
        for model in self.models.values():
            self.metrics.watch_queue(model.name, model.queue)
        self.metrics.watch_store(self.store)

    def model(self, name: str | None) -> Model:
        """The configured model of that name, or the default. Raises the 404 problem, InputError."""
        try:
            return self.models[self.settings.choose(name)]
        except UnknownModelError as error:
            raise ProblemError(
                404,
                "unknown-model",
                "This server has no model of that name.",
                f"It has: {', '.join(self.models)}. Only configured names can be used, never a path.",
                known=list(self.models),
            ) from error
