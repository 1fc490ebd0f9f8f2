"""The stages behind a student: what it is taught, its twin without a teacher, their builds, and requests answered.

    tune-X ─► lessons-X ─┬─► student-X ─► student-X-built ─┐
                         ├─► twin-X ────► twin-X-built ────┼─► requests-X, twin-requests-X ─► router-X
                         └─► middle-X ──► middle-X-built ──┘
    sequential ─► retrieval ─┬─────────────────────────────┘
                             └─► evidence-X ─┬─► light-X ────────┬─► light-answers-X
                                             └─► light-twin-X ───┘

A twin sees the same lessons in the same order and hears no teacher; the middle one is larger, and taught; the light
ones read vectors and what retrieval says of the lessons (evidence-X), and are asked with the texts of the test users.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from raconteur.config.ablation import AblateConfig
from raconteur.config.schema import Config, StudentConfig
from raconteur.train.ablate.models import Models
from raconteur.train.ablate.plan import fitting, models_of
from raconteur.train.ablate.stages import Stage, upstream

UNTAUGHT = {"hard_weight": 1.0}
MIDDLE = {"num_layers": 2, "width": 96, "num_heads": 4}
LIGHT, LIGHT_TWIN = "light", "light-twin"
LEARNING = {"num_steps", "batch_size", "learning_rate", "temperature", "hard_weight"}  # what a light ranker shares


@dataclass(frozen=True)
class Students:
    """Stages below the Reasoner tuned on the texts of one Verbalizer, which is also the teacher."""

    models: Models
    verbalizer: str

    @property
    def name(self) -> str:
        return f"{self._config.name}/{self.models.seed}/{self.verbalizer}"

    @cached_property
    def teacher(self) -> Stage:
        return self.models.tune(self.verbalizer)

    @cached_property
    def lessons(self) -> Stage:
        needs = (self.models.data, self.models.sequential, self.teacher)

        def run(out: Path, _checkpoints: Path) -> object:
            from raconteur.train.lessons import write_lessons

            data, retriever, teacher = (need.folder for need in needs)
            return write_lessons(self._config, data, retriever, teacher, out)

        settings = {"num_retrieved": self._config.retrieve.num_ranked, "holds": ["scores", "states"]}
        return self.models.stage(f"lessons-{self.verbalizer}", settings, needs, run)

    @property
    def requests(self) -> Stage:
        """What teacher, student and the middle one answer."""
        return self._requests("requests", self._built("student", {}), self._built("middle", MIDDLE))

    @property
    def twin_requests(self) -> Stage:
        return self._requests("twin-requests", self._built("twin", UNTAUGHT), None)

    @cached_property
    def evidence(self) -> Stage:
        needs = (self.models.data, self.models.retrieval, self.models.sequential, self.lessons)

        def run(out: Path, _checkpoints: Path) -> object:
            from raconteur.train.evidence import write_evidence

            data, retriever, sequential, lessons = (need.folder for need in needs)
            return write_evidence(self._config, data, retriever, sequential, lessons, out)

        return self.models.stage(f"evidence-{self.verbalizer}", {}, needs, run)

    @cached_property
    def light_answers(self) -> Stage:
        """What the light ranker and its twin answer."""
        models = self.models
        lights = {LIGHT: self._light(LIGHT, {}), LIGHT_TWIN: self._light(LIGHT_TWIN, UNTAUGHT)}
        needs = (models.data, models.retrieval, models.sequential, self.teacher, models.texts(self.verbalizer))

        def run(out: Path, _checkpoints: Path) -> object:
            from raconteur.train.ablate.students_light import write_answers

            folders = {name: trained.folder for name, trained in lights.items()}
            data, retriever, sequential, teacher, texts = (need.folder for need in needs)
            return write_answers(self._config, data, retriever, sequential, teacher, texts, folders, out)

        return models.stage(f"light-answers-{self.verbalizer}", {}, (*needs, *lights.values()), run)

    @cached_property
    def router(self) -> Stage:
        def run(out: Path, _checkpoints: Path) -> object:
            from raconteur.train.calibrate import calibrate

            return calibrate(self._config, self.requests.folder, out)

        settings = {"route": self._config.route.model_dump()}
        return self.models.stage(f"router-{self.verbalizer}", settings, (self.requests,), run)

    @property
    def ends(self) -> tuple[Stage, ...]:
        """What a page is made from."""
        return self.requests, self.twin_requests, self.light_answers, self.router

    def _built(self, name: str, changed: Mapping[str, float]) -> Stage:
        """A student as it is served."""
        trained = self._trained(name, self._config.student.model_copy(update=changed))
        needs = (self.models.data, trained, *self._written)

        def run(out: Path, _checkpoints: Path) -> object:
            from raconteur.train.quantise import quantise

            writer = self.models.writer(self.verbalizer)
            return quantise(self._config, self.models.data.folder, trained.folder, writer, out)

        builds = {"min_agreement", "max_ndcg_loss"}
        settings = {"student": self._config.student.model_dump(include=builds), "rule": self.verbalizer}
        return self.models.stage(f"{name}-{self.verbalizer}-built", settings, needs, run)

    def _trained(self, name: str, settings: StudentConfig) -> Stage:
        config = self._config.model_copy(update={"student": settings})

        def run(out: Path, checkpoints: Path) -> object:
            from raconteur.train.distil import distil

            return distil(config, self.lessons.folder, self.teacher.folder, out, checkpoints)

        return self.models.stage(
            f"{name}-{self.verbalizer}", {"student": settings.model_dump()}, (self.teacher, self.lessons), run
        )

    def _light(self, name: str, changed: Mapping[str, float]) -> Stage:
        settings = self._config.student.model_copy(update=changed)
        config = self._config.model_copy(update={"student": settings})
        needs = (self.lessons, self.evidence, self.teacher)

        def run(out: Path, checkpoints: Path) -> object:
            from raconteur.train.light import train_light

            lessons, evidence, teacher = (need.folder for need in needs)
            return train_light(config, lessons, evidence, teacher, out, checkpoints)

        learning = {"student": settings.model_dump(include=LEARNING)}
        return self.models.stage(f"{name}-{self.verbalizer}", learning, needs, run)

    def _requests(self, name: str, built: Stage, middle: Stage | None) -> Stage:
        needs = (self.models.data, self.models.retrieval, self.teacher, built, *([middle] if middle else []))

        def run(out: Path, _checkpoints: Path) -> object:
            from raconteur.train.requests import write_requests

            data, retriever, teacher, student = (need.folder for need in needs[:4])
            larger = middle.folder if middle else None
            writer = self.models.writer(self.verbalizer)
            return write_requests(self._config, data, retriever, teacher, student, writer, out, middle=larger)

        settings = {"rule": self.verbalizer, "num_retrieved": self._config.retrieve.num_ranked}
        return self.models.stage(f"{name}-{self.verbalizer}", settings, (*needs, *self._written), run)

    @property
    def _config(self) -> Config:
        return self.models.seeded()

    @property
    def _written(self) -> tuple[Stage, ...]:
        """The Verbalizer's own stage, if it is trained."""
        trained = self.models.verbalizer(self.verbalizer)
        return (trained,) if trained else ()


def select(ablation: AblateConfig, patterns: Sequence[str]) -> list[Students]:
    """Whose name, `data/seed/verbalizer`, fits one of the shell patterns.

    Raises:
        ConfigError: a pattern fits none.
    """
    known = [
        Students(models_of(ablation, path, seed), name)
        for path in ablation.data
        for seed in ablation.seeds
        for name in ablation.verbalizers
    ]
    return fitting({one.name: one for one in known}, patterns)


def describe(chosen: Sequence[Students]) -> str:
    """One line a stage: done or to do."""
    lines = []
    for students in chosen:
        stages = {one.folder: one for last in students.ends for one in upstream(last)}
        lines += [f"{students.name}  {one.name}: {'done' if one.done else 'to do'}" for one in stages.values()]
    return "\n".join(lines)
