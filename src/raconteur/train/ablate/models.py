"""The stages of one data set, seed and variant: what is made from what, and which settings decide about it.

    data ─► sequential ─► retrieval, and both refit
    data ─► sequential ─► reasoner ─┬─► start ─► best ─► rewrite ─► rewrite-2 (judged by tune-rewrite)
                                    ├─► action
                                    └─► texts-X of the test users, and tune-X ─► linked-X, for every Verbalizer X

`start` is the supervised writer (the table's zero-shot), `best` the same after the style that is read best, `tune-X`
stage 2 on the texts of X, `linked-X` that Reasoner with retrieval beside it. Training code is loaded only when a stage
is made, so a plan is printed at once.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from raconteur.config.load import fingerprint
from raconteur.config.schema import Config
from raconteur.train.ablate.stages import Stage
from raconteur.train.ablate.stages import stage as make_stage
from raconteur.types import Verbalizer

# Settings of a section that decide about other stages only. They are named to be left out, not the others to be taken
# in, so that a setting that is new counts for every stage.
STAGE_2 = {"tune_steps", "tune_examples", "tune_rate"}
WRITING = {"sft_steps", "sft_batch_size", "best_steps", "matrix_rate", "grpo"}  # no part in the action Verbalizer
GRPO_OF_REWRITE = {"num_steps", "prompts_per_step", "group_size", "learning_rate", "beta", "max_kl"}


@dataclass(frozen=True)
class Models:
    """Each property or method is a stage; nothing is made before `stages.bring`.

    Attributes:
        config: resolved, with the data's seed.
        tuning: the same with the overrides of stage 2.
        seed: of the models.
        root: folder of the data set in the ablation's workdir.
    """

    config: Config
    tuning: Config
    seed: int
    root: Path

    @property
    def workdir(self) -> Path:
        """Where the source is generated, if it is."""
        return self.root / "source" / fingerprint(self.config, "data", "world")

    @cached_property
    def data(self) -> Stage:
        """Prepared once for all seeds of the models, so that all arms choose from the same lists."""

        def run(out: Path, _checkpoints: Path) -> object:
            from raconteur.data.prepare import prepare
            from raconteur.retrieve.ease import Ease

            return prepare(self.config.model_copy(update={"workdir": self.workdir}), out, fit_retriever=Ease.fit)

        lists = self.config.evaluate.model_dump(include={"num_candidates", "negatives", "max_users"})
        settings = {"data": self.config.data.model_dump(), "world": self.config.world.model_dump(), "lists": lists}
        return make_stage("data", self.root, {**settings, "seed": self.config.seed}, (), run)

    @cached_property
    def sequential(self) -> Stage:
        return self._sequential("sequential", before="validation")

    @cached_property
    def sequential_refit(self) -> Stage:
        """The same model of one take more a user: everything before the test."""
        return self._sequential("sequential-refit", before="test")

    @cached_property
    def retrieval(self) -> Stage:
        """The fused retriever."""
        needs = (self.data, self.sequential)

        def run(out: Path, _checkpoints: Path) -> object:
            from raconteur.train.retrieval import train_retrieval

            return train_retrieval(self.seeded(), self.data.folder, self.sequential.folder, out)

        return self.stage(
            "retrieval", {"retrieve": self.config.retrieve.model_dump(exclude={"num_ranked"})}, needs, run
        )

    @cached_property
    def retrieval_refit(self) -> Stage:
        needs = (self.data, self.retrieval, self.sequential_refit)

        def run(out: Path, _checkpoints: Path) -> object:
            from raconteur.train.retrieval import refit_retrieval

            data, fused, sequential = (need.folder for need in needs)
            return refit_retrieval(self.seeded(), data, fused, sequential, out)

        return self.stage("retrieval-refit", {}, needs, run)

    @cached_property
    def reasoner(self) -> Stage:
        """The frozen one."""

        def run(out: Path, checkpoints: Path) -> object:
            from raconteur.train.reasoner import train_reasoner

            return train_reasoner(self.seeded(), self.data.folder, self.sequential.folder, out, checkpoints)

        settings = {
            "reasoner": self.config.reasoner.model_dump(exclude=STAGE_2),
            "text": self.config.text.model_dump(),
        }
        return self.stage("reasoner", settings, (self.data, self.sequential), run)

    @cached_property
    def start(self) -> Stage:
        """The writer after its supervised start."""

        def run(out: Path, checkpoints: Path) -> object:
            from raconteur.train.verbalizer import start_verbalizer

            return start_verbalizer(self.seeded(), self.data.folder, self.reasoner.folder, out, checkpoints)

        settings = {"verbalizer": self.config.verbalizer.model_dump(exclude={"grpo", "action", "best_steps"})}
        return self.stage("start", settings, (self.data, self.reasoner), run)

    @cached_property
    def best(self) -> Stage:
        """The writer taught the style that the Reasoner reads best."""

        def run(out: Path, checkpoints: Path) -> None:
            from raconteur.train.verbalizer import teach_style

            folders = (self.data.folder, self.reasoner.folder, self.start.folder, out, checkpoints)
            teach_style(self.seeded(), *folders)

        verbalizer = self.config.verbalizer
        settings = {
            "best_steps": verbalizer.best_steps,
            "reward": verbalizer.grpo.model_dump(exclude=GRPO_OF_REWRITE),
        }
        return self.stage("best", settings, (self.data, self.reasoner, self.start), run)

    @cached_property
    def rewrite(self) -> Stage:
        return self._grpo("rewrite", judge=self.reasoner, start=self.best)

    @cached_property
    def rewrite_2(self) -> Stage:
        """The writer goes on against the Reasoner that was tuned on its texts."""
        return self._grpo("rewrite-2", judge=self.tune("rewrite"), start=self.rewrite)

    @cached_property
    def action(self) -> Stage:
        def run(out: Path, checkpoints: Path) -> object:
            from raconteur.train.action import train_action

            return train_action(self.seeded(), self.data.folder, self.reasoner.folder, out, checkpoints)

        verbalizer = self.config.verbalizer
        settings = {
            "verbalizer": verbalizer.model_dump(exclude=WRITING),
            "reward": verbalizer.grpo.model_dump(exclude=GRPO_OF_REWRITE),
        }
        return self.stage("action", settings, (self.data, self.reasoner), run)

    def verbalizer(self, name: str) -> Stage | None:
        """The stage that trains a Verbalizer; None for one by rule."""
        match name:
            case "zero-shot":
                return self.start
            case "rewrite":
                return self.rewrite
            case "rewrite-2":
                return self.rewrite_2
            case "action":
                return self.action
        return None

    def writer(self, name: str) -> Verbalizer:
        """The Verbalizer that the table calls so; its stage, if it has one, is done."""
        from raconteur.data.dataset import load_dataset
        from raconteur.train.ablate.texts import load_writer

        dataset = load_dataset(self.data.folder)
        return load_writer(self.config, dataset, self.reasoner.folder, name, _folder(self.verbalizer(name)))

    def texts(self, name: str) -> Stage:
        """What a Verbalizer writes of the test users."""
        trained = self.verbalizer(name)

        def run(out: Path, _checkpoints: Path) -> object:
            from raconteur.train.ablate.texts import write_texts

            return write_texts(self.config, self.data.folder, self.reasoner.folder, name, _folder(trained), out)

        settings = {"rule": name, "text": self.config.text.model_dump()}
        return self.stage(f"texts-{name}", settings, _present(self.data, self.reasoner, trained), run)

    def tune(self, name: str) -> Stage:
        """Stage 2 on a Verbalizer's texts: from the frozen Reasoner, or the third stage from the one tuned before."""
        trained = self.verbalizer(name)
        judge = self.tune("rewrite") if name == "rewrite-2" else self.reasoner

        def run(out: Path, checkpoints: Path) -> object:
            from raconteur.train.tune import tune_reasoner

            config = self.tuning.model_copy(update={"seed": self.seed})
            return tune_reasoner(config, self.data.folder, judge.folder, self.writer(name), out, checkpoints)

        settings = {"rule": name, "reasoner": self.tuning.reasoner.model_dump()}
        return self.stage(f"tune-{name}", settings, _present(self.data, judge, trained), run)

    def linked(self, name: str) -> Stage:
        """The Reasoner tuned on a Verbalizer's texts, with retrieval beside it."""
        trained, judge = self.verbalizer(name), self.tune(name)

        def run(out: Path, _checkpoints: Path) -> object:
            from raconteur.train.linked import link_reasoner

            folders = (self.data.folder, self.sequential.folder, judge.folder)
            return link_reasoner(self.seeded(), *folders, self.writer(name), out)

        needs = _present(self.data, self.sequential, judge, trained)
        return self.stage(f"linked-{name}", {"rule": name}, needs, run)

    def tuned(self, reasoner: str, verbalizer: str) -> Stage:
        """The Reasoner of a cell: frozen, tuned on the raw template, or on that text, without or with retrieval."""
        match reasoner:
            case "raw":
                return self.tune("template")
            case "own":
                return self.tune(verbalizer)
            case "linked":
                return self.linked(verbalizer)
        return self.reasoner

    def _sequential(self, name: str, *, before: str) -> Stage:
        """
        Args:
            before: see `train.examples.training_log`.
        """

        def run(out: Path, checkpoints: Path) -> object:
            from raconteur.train.sequential import train_sequential

            return train_sequential(self.seeded(), self.data.folder, out, checkpoints, before=before)

        return self.stage(name, {"sequential": self.config.sequential.model_dump()}, (self.data,), run)

    def _grpo(self, name: str, *, judge: Stage, start: Stage) -> Stage:
        def run(out: Path, checkpoints: Path) -> object:
            from raconteur.train.verbalizer import reward_verbalizer

            folders = (self.data.folder, judge.folder, start.folder, out, checkpoints)
            return reward_verbalizer(self.seeded(), *folders)

        return self.stage(name, {"grpo": self.config.verbalizer.grpo.model_dump()}, (self.data, judge, start), run)

    def stage(self, name: str, settings: dict[str, Any], needs: tuple[Stage, ...], run: Any) -> Stage:
        return make_stage(name, self.root, {**settings, "seed": self.seed}, needs, run)

    def seeded(self) -> Config:
        return self.config.model_copy(update={"seed": self.seed})


def _folder(trained: Stage | None) -> Path | None:
    return trained.folder if trained else None


def _present(*needs: Stage | None) -> tuple[Stage, ...]:
    return tuple(need for need in needs if need is not None)
