"""Stages: made once, whole or not at all, needs first. The steps here write real, if small, artefacts."""

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raconteur.artifacts import new_folder, verify
from raconteur.errors import ArtifactError
from raconteur.train.ablate.stages import bring, spent, stage, upstream


def writes(text, log=None):
    """A step that writes a text, and tells that it ran."""

    def run(out, _checkpoints):
        if log is not None:
            log.append(text)
        with new_folder(out, kind="text") as folder:
            (folder / "text").write_text(text)

    return run


def quiet(_text):
    pass


def test_bring_makes_needs_first_and_each_once(tmp_path):
    log = []
    base = stage("base", tmp_path, {}, (), writes("base", log))
    left = stage("left", tmp_path, {}, (base,), writes("left", log))
    right = stage("right", tmp_path, {}, (base,), writes("right", log))
    top = stage("top", tmp_path, {}, (left, right), writes("top", log))
    assert [step.name for step in upstream(top)] == ["base", "left", "right", "top"]
    folder = bring(top, quiet)
    bring(top, quiet)
    assert log == ["base", "left", "right", "top"]
    assert (folder / "text").read_text() == "top"


def test_bring_stamps_what_the_stage_took_and_its_checksums_hold(tmp_path):
    made = stage("made", tmp_path, {}, (), writes("x"))
    assert verify(bring(made, quiet))["stage"] == "made"
    assert spent(made)["resumed"] is False
    assert spent(made)["seconds"] >= 0


def test_bring_killed_step_leaves_no_folder_and_goes_on_from_its_checkpoint(tmp_path):
    def run(out, checkpoints):
        state = checkpoints / "step"
        reached = int(state.read_text()) if state.exists() else 0
        checkpoints.mkdir(parents=True, exist_ok=True)
        state.write_text(str(reached + 1))
        if reached == 0:
            raise KeyboardInterrupt
        writes(f"reached {reached}")(out, checkpoints)

    cut = stage("cut", tmp_path, {}, (), run)
    with pytest.raises(KeyboardInterrupt):
        bring(cut, quiet)
    assert not cut.done
    assert (bring(cut, quiet) / "text").read_text() == "reached 1"
    assert spent(cut)["resumed"] is True
    assert not list(tmp_path.glob("checkpoints/cut-*/*"))


def test_bring_of_two_at_once_makes_a_stage_once(tmp_path):
    log, said = [], []
    entered, waiting = threading.Event(), threading.Event()

    def run(out, checkpoints):
        entered.set()
        assert waiting.wait(10)
        writes("slow", log)(out, checkpoints)

    def say(text):
        said.append(text)
        waiting.set()

    made = stage("made", tmp_path, {}, (), run)
    first = threading.Thread(target=bring, args=(made, quiet))
    second = threading.Thread(target=bring, args=(made, say))
    first.start()
    assert entered.wait(10)
    second.start()
    first.join()
    second.join()
    assert log == ["slow"]
    assert said == ["made: another program is at it; waiting"]


def test_bring_half_made_folder_is_made_again(tmp_path):
    made = stage("made", tmp_path, {}, (), writes("whole"))
    made.folder.mkdir(parents=True)
    (made.folder / "text").write_text("half")
    assert (bring(made, quiet) / "text").read_text() == "whole"


def test_bring_damaged_need_is_refused_by_name(tmp_path):
    base = stage("base", tmp_path, {}, (), writes("base"))
    (bring(base, quiet) / "text").write_text("changed")
    top = stage("top", tmp_path, {}, (base,), writes("top"))
    with pytest.raises(ArtifactError, match=r"base-.*text does not match its checksum"):
        bring(top, quiet)
    assert not top.done


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), min_size=1))
def test_stage_key_depends_on_settings_not_on_their_order(tmp_path_factory, settings):
    root = tmp_path_factory.getbasetemp()
    turned = dict(reversed(settings.items()))
    changed = {**settings, next(iter(settings)): "another value"}
    key = stage("s", root, settings, (), writes("")).folder
    assert stage("s", root, turned, (), writes("")).folder == key
    assert stage("s", root, changed, (), writes("")).folder != key
    assert json.dumps(settings)  # settings are plain values
