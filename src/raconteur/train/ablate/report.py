"""The page of an ablation: `report.md` with a plot a table, from the cells that are done.

For each data set a table a kind of negatives, paired differences, the full ranking, and what is known of the texts;
then what was not run, what failed, the machines and the command.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from raconteur.config.ablation import AblateConfig
from raconteur.evaluate.bootstrap import Interval
from raconteur.evaluate.choice import ALL, DISCOVERY, SLICES
from raconteur.evaluate.habits import DEFINITIONS, Pair, Rate, page
from raconteur.train.ablate.cells import LINKS, SHUFFLED
from raconteur.train.ablate.plan import MAIN, Cell
from raconteur.train.ablate.plot import Dot, dots
from raconteur.train.ablate.results import (
    TITLES,
    Paired,
    Results,
    Row,
    arm_title,
    best_baseline,
    gather,
    paired,
    recall_on,
    table,
)

REPORT, HABITS = "report.md", "habits.md"
BEST = "best baseline"
RAW = "template"
NO_FIGURE = "–"
# What the table is there to show; an arm that was not run leaves its line out.
COMPARED = (
    ("frozen + template-clean", "frozen + template"),
    ("frozen + zero-shot", "frozen + template"),
    ("frozen + action", "frozen + template"),
    ("frozen + rewrite", "frozen + template"),
    ("frozen + rewrite", "frozen + template-clean"),
    ("frozen + rewrite", "frozen + zero-shot"),
    ("raw + template", "frozen + template"),
    ("own + rewrite", "frozen + template"),
    ("own + rewrite", "raw + template"),
    ("own + rewrite", "own + template-clean"),
    ("linked + template", "raw + template"),
    ("linked + template-clean", "own + template-clean"),
    ("linked + rewrite", "own + rewrite"),
    ("linked + rewrite", "frozen + template"),
    ("raw + template", BEST),
    ("own + template-clean", BEST),
    ("own + rewrite", BEST),
    ("linked + template", BEST),
    ("linked + template-clean", BEST),
    ("linked + rewrite", BEST),
    ("raw + template", "sequential - log pop"),
    ("own + template-clean", "sequential - log pop"),
    ("own + rewrite", "sequential - log pop"),
    ("linked + template", "sequential - log pop"),
    ("linked + template-clean", "sequential - log pop"),
    ("linked + rewrite", "sequential - log pop"),
    ("linked + template", LINKS),
    ("linked + template-clean", LINKS),
    ("linked + rewrite", LINKS),
    (f"frozen + rewrite, {SHUFFLED}", "frozen + rewrite"),
    (f"frozen + rewrite, {SHUFFLED}", "frozen + template"),
    (f"own + rewrite, {SHUFFLED}", "own + rewrite"),
    ("frozen + rewrite-2", "frozen + rewrite"),
    ("own + rewrite-2", "own + rewrite"),
)
EXPLAINED = """\
Choose one true item among a few candidates; all arms see the same lists. *frozen*: the Reasoner pretrained on a mixture
of styles; *raw*: trained on the template's text; *own*: trained on that Verbalizer's text; *linked*: that one
beside the sequential model, EASE and Markov, asked with the items that the text names. Intervals are 95 %, by a
paired bootstrap over users whose outcomes are averaged over the seeds first; `[low–high]` is the spread of the seeds.
Slices hold Recall@1. Seconds are wall clock of everything the arm is made from, shared stages included (`>`: a killed
part is not counted); ms is CPU time a user for writing and reading. Best baseline: the highest of this very test, so
the comparison favours it. What the Verbalizers do to a log stands in [habits.md](habits.md).
"""


def write_report(ablation: AblateConfig, cells: Sequence[Cell], *, failed: Mapping[str, str], command: str) -> Path:
    """Writes `report.md`, its plots and `habits.md` into the ablation's workdir; returns the report.

    Args:
        cells: all of the ablation (`plan.plan`); those that are not done are listed.
        failed: reasons by cell name, of the run that has just ended; also finished cells that are `results.damaged`.
        command: how the page was made.
    """
    folder = ablation.workdir
    folder.mkdir(parents=True, exist_ok=True)
    found = gather([cell for cell in cells if cell.name not in failed])
    parts = [_head(ablation, found, command)]
    for results in found:
        parts += _data(results, folder)
    parts += [_left(cells), _failures(failed)]
    (folder / HABITS).write_text(_habits(found))
    (folder / REPORT).write_text("\n\n".join(part for part in parts if part) + "\n")
    return folder / REPORT


def _head(ablation: AblateConfig, found: Sequence[Results], command: str) -> str:
    machines = dict.fromkeys(facts["machine"] for results in found for facts in results.facts)
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    facts = [f"Written {written} by `{command}`.", f"Seeds: {', '.join(map(str, ablation.seeds))}."]
    facts.append(f"Run on: {'; '.join(machines) or NO_FIGURE}.")
    return f"# Ablation: {ablation.name}\n\n{' '.join(facts)}\n\n{EXPLAINED.rstrip()}"


def _data(results: Results, folder: Path) -> list[str]:
    num = results.facts[0]["cell"].config.evaluate.num_candidates
    parts = [f"## {results.data}"]
    for negatives in results.negatives:
        rows = [row for row in table(results, negatives) if SHUFFLED not in row.arm]
        plot = folder / f"{results.data}-{negatives}.svg"
        marks = [Dot(row.arm, row.recall.value, row.recall.low, row.recall.high) for row in rows]
        plot.write_text(dots(marks, title=f"Recall@1, {results.data}, {negatives} negatives", line=1 / num))
        parts += [
            f"### {results.data}: {negatives} negatives, 1 of {num}",
            _users(results, negatives),
            _table(rows, num),
            f"![Recall@1 with 95 % intervals; dashed: chance]({plot.name})",
            _differences(results, negatives),
        ]
    return [*parts, _full_ranking(results), _controls(results), _texts(results), _stages(results)]


def _users(results: Results, negatives: str) -> str:
    """How many users there are, and in each slice."""
    arm = results.arms[0]
    counts = {name: results.users(arm, negatives, name, results.seeds(arm)).height for name in SLICES}
    of_slices = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items() if name != ALL)
    return f"{counts[ALL]:,} users; {of_slices}."


def _table(rows: Sequence[Row], num: int) -> str:
    head = [
        "arm",
        "Recall@1",
        f"NDCG@{num}",
        "MRR",
        "discovery",
        "cold",
        "long tail",
        "tokens in",
        "out",
        "ms",
        "seconds",
    ]
    return _markdown(head, [_cells(row) for row in rows])


def _cells(row: Row) -> list[str]:
    spread = f" [{row.spread[0]:.3f}–{row.spread[1]:.3f}]" if row.num_seeds > 1 else ""
    seconds = _number(row.cost["seconds"], 0)
    return [
        row.arm,
        f"{row.recall.value:.3f} ({row.recall.low:.3f}–{row.recall.high:.3f}){spread}",
        *(_number(value, 3) for value in (row.ndcg, row.mrr, *row.slices.values())),
        _number(row.cost["tokens_in"], 0),
        _number(row.cost["tokens_out"], 0),
        _number(row.cost["ms"], 1),
        f"> {seconds}" if row.cost["resumed"] else seconds,
    ]


def _differences(results: Results, negatives: str) -> str:
    """Paired differences; empty where no pair of arms was run."""
    # By name, because the best baseline may be one that an arm is compared with anyway.
    found = {
        (one.arm, one.base, slice_name): one
        for arm, base in [*COMPARED, *_variant_pairs(results)]
        for slice_name in (ALL, DISCOVERY)
        if (one := _compare(results, arm, base, negatives, slice_name)) is not None
    }
    if not found:
        return ""
    head = ["arm − base", "users", "difference", "95 %", "relative", "95 %"]
    return _markdown(head, [_difference(one) for one in found.values()])


def _compare(results: Results, arm: str, base: str, negatives: str, slice_name: str) -> Paired | None:
    named = best_baseline(results, negatives, slice_name) if base == BEST else base
    return paired(results, arm, named, negatives, slice_name) if named else None


def _variant_pairs(results: Results) -> list[tuple[str, str]]:
    """Every variant's cell with the main one of the same Verbalizer and Reasoner."""
    cells = [facts["cell"] for facts in results.facts if facts["cell"].variant != MAIN]
    names = dict.fromkeys((cell.verbalizer, cell.reasoner, cell.variant) for cell in cells)
    return [
        (arm_title(verbalizer, reasoner, variant), _main(results, verbalizer, reasoner))
        for verbalizer, reasoner, variant in names
    ]


def _main(results: Results, verbalizer: str, reasoner: str) -> str:
    """The main arm that a variant is compared with.

    What is trained on the template's text is in the table once, as `raw`; a third stage is compared with the second.
    """
    stands_for = {("template", "own"): ("template", "raw"), ("rewrite-2", reasoner): ("rewrite", reasoner)}
    title = arm_title(verbalizer, reasoner, MAIN)
    other = stands_for.get((verbalizer, reasoner))
    return arm_title(*other, MAIN) if other and title not in results.arms else title


def _difference(one: Paired) -> list[str]:
    relative = [f"{one.relative.value:+.1%}", _interval(one.relative, "+.1%")] if one.relative else [NO_FIGURE] * 2
    stands_out = "**" if one.difference.excludes_zero else ""
    return [
        f"{one.arm} − {one.base}",
        one.slice_name,
        f"{stands_out}{one.difference.value:+.3f}{stands_out}",
        _interval(one.difference, "+.3f"),
        *relative,
    ]


def _full_ranking(results: Results) -> str:
    """HR@10 and NDCG@10 over the catalogue, of the users whose true item is new to them."""
    found = [facts["full_ranking"] for facts in results.facts if facts.get("full_ranking")]
    if not found:
        return ""
    means = pl.DataFrame(found).mean().row(0, named=True)
    return (
        "Full ranking of the catalogue by the sequential model, touched items removed, "
        f"{means['num_users']:,.0f} users whose true item is new to them: "
        f"HR@10 {means['hit']:.3f}, NDCG@10 {means['ndcg']:.3f} "
        f"(mean of {len(found)} seed{'s' if len(found) > 1 else ''})."
    )


def _controls(results: Results) -> str:
    """What is left of each arm on the texts of other users, and under other orders of the candidates."""
    negatives = results.negatives[0]
    rows = []
    for arm in results.arms:
        recall = recall_on(results, f"{arm}, {SHUFFLED}", negatives, ALL)
        if recall is not None:
            found = [facts["orders"] for facts in results.facts if facts["title"] == arm]
            lowest, highest = min(one["lowest"] for one in found), max(one["highest"] for one in found)
            own = recall_on(results, arm, negatives, ALL)
            rows.append([arm, _number(own, 3), _number(recall, 3), f"{lowest:.3f}–{highest:.3f}"])
    if not rows:
        return ""
    head = ["arm", "Recall@1", "text of another user", "other orders of the candidates"]
    return f"### {results.data}: controls, {negatives} negatives\n\n" + _markdown(head, rows)


def _texts(results: Results) -> str:
    """What is known of each Verbalizer's texts."""
    rows = [[title, *_text_cells(found)] for title, found in _facts_of_texts(results).items()]
    if not rows:
        return ""
    head = [
        "Verbalizer",
        "tokens",
        "of the template's",
        "statements",
        "false",
        "unparsed",
        "raw ids",
        "device noise",
        "ms",
    ]
    return f"### {results.data}: texts\n\n" + _markdown(head, rows)


def _facts_of_texts(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Facts of the texts by Verbalizer, once a seed."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for facts in results.facts:
        if "texts" in facts:
            cell = facts["cell"]
            title = TITLES.get(cell.verbalizer, cell.verbalizer) + (f" ({cell.variant})" if cell.variant else "")
            found.setdefault(title, {})[cell.seed] = facts["texts"]
    return {title: list(by_seed.values()) for title, by_seed in found.items()}


def _text_cells(found: Sequence[Mapping[str, Any]]) -> list[str]:
    means = pl.DataFrame([{**one["faithful"], "tokens": one["tokens"], "ms": one["ms_per_user"]} for one in found])
    mean = means.mean().row(0, named=True)
    shares = ("share_false", "share_unparsed", "share_raw_ids", "share_contexts_kept")
    return [
        _number(mean["tokens"], 1),
        _number(mean["compression"], 2),
        _number(mean["num_statements"], 0),
        *(f"{mean[share]:.2%}" for share in shares),
        _number(mean["ms"], 1),
    ]


def _stages(results: Results) -> str:
    """What the stages of each name took together, over seeds and variants; one behind several cells counts once."""
    made = {folder: step for facts in results.facts for folder, step in facts["spent"].items()}
    if not made:
        return ""
    totals = (
        pl.DataFrame(list(made.values()))
        .group_by("stage", maintain_order=True)
        .agg(pl.len(), pl.col("seconds", "cpu_seconds").sum())
    )
    rows = [[name, str(num), _number(clock, 0), _number(cpu, 0)] for name, num, clock, cpu in totals.iter_rows()]
    return f"### {results.data}: stages\n\n" + _markdown(["stage", "runs", "seconds", "CPU seconds"], rows)


def _habits(found: Sequence[Results]) -> str:
    """The page of habits, of the first seed: rates and pairs a data set and Verbalizer."""
    rates: dict[str, dict[str, Rate]] = {}
    examples: dict[str, list[Pair]] = {}
    for results in found:
        for title, texts in _facts_of_texts(results).items():
            name = f"{results.data}: {title}"
            rates[name] = {habit: Rate(value, DEFINITIONS[habit]) for habit, value in texts[0]["habits"].items()}
            if title.partition(" ")[0] != RAW:  # its text is the log itself
                examples[name] = [Pair(**pair) for pair in texts[0]["examples"]]
    return page(rates, examples)


def _left(cells: Sequence[Cell]) -> str:
    """One line a data set and seed."""
    waiting: dict[str, list[str]] = {}
    for cell in cells:
        if not cell.stage.done:
            group = f"{cell.data}/{cell.seed}"
            waiting.setdefault(group, []).append(cell.name.removeprefix(f"{group}/"))
    lines = [f"- {group}: {', '.join(names)}" for group, names in waiting.items()]
    return "## Not run yet\n\n" + "\n".join(lines) if lines else ""


def _failures(failed: Mapping[str, str]) -> str:
    lines = [f"- {name}: {_cell(reason)}" for name, reason in failed.items()]
    return "## Failed\n\n" + "\n".join(lines) if lines else ""


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are figures."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in [head, rule, *rows])


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _interval(interval: Interval, form: str) -> str:
    return f"{interval.low:{form}} to {interval.high:{form}}"


def _number(value: float | None, digits: int) -> str:
    return NO_FIGURE if value is None else f"{value:,.{digits}f}"
