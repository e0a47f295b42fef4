"""The report of a replay: JSON, a table in Markdown, a picture of the curves."""

from __future__ import annotations

from collections.abc import Sequence

from backend.replay.conclusion import conclusion
from backend.replay.curves import draw_curves
from backend.replay.figures import SHARE_OF_FULL, Comparison, band, censored_median
from backend.replay.images.library import with_class
from backend.replay.options import ORACLE, RANDOM
from backend.replay.replay import Replay
from backend.replay.results import Results
from converters.bookkeeping.files import write_bytes, write_json
from domain.text import counted, signed

FIGURES, TEXT, CURVES = "report.json", "report.md", "curves.png"


def write_report(replay: Replay) -> Results:
    """Writes report.json, report.md and curves.png of what is on disk; returns what it is of."""
    results = replay.results()
    concluded = conclusion(results, replay.library.loop)
    write_json(replay.root / FIGURES, results.to_json() | {"conclusion": concluded})
    write_bytes(replay.root / TEXT, _to_markdown(replay, results, concluded).encode())
    draw_curves(results, replay.root / CURVES)
    return results


def _to_markdown(replay: Replay, results: Results, concluded: Sequence[str]) -> str:
    """The report as text: what was played, the table, and what the figures mean."""
    lines = [" ".join(concluded), "", *_about(replay, results), ""]
    head, *rows = table_of(results)
    lines += [_row(head), "|---" * len(head) + "|", *map(_row, rows), "", *_notes(results)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table_of(results: Results) -> list[list[str]]:
    """The headings, and a row of as many cells per strategy, the best area first."""
    areas = results.aubc()
    compared = results.compared(areas)
    labels, hours = results.labels_to_target(), results.hours_to_target()
    beaten = results.penalties()
    rows = [
        [
            *("strategy", "seeds", "AUBC", "against random", "p (Holm)"),
            *(f"labels to {SHARE_OF_FULL:.0%}", f"hours to {SHARE_OF_FULL:.0%}"),
            *("effort saved", "beaten"),
        ]
    ]
    for name in sorted(areas, key=lambda n: -band(list(areas[n].values())).mean):
        at_once = results.is_reached_at_once(name)
        cells = [
            f"{name} (oracle)" if name == ORACLE else name,
            str(len(areas[name])),
            f"{band(list(areas[name].values())).mean:.3f}",
            *_against(compared.get(name)),
            _reached(list(labels.get(name, {}).values()), ".0f", at_once),
            _reached(list(hours.get(name, {}).values()), ".2f", at_once),
            "-" if (saved := results.saved(name)) is None else f"{round(saved, 2) + 0.0:.0%}",
            _mean([row[name] for other, row in beaten.items() if other != name]),
        ]
        rows.append(cells)
    return rows


def _about(replay: Replay, results: Results) -> list[str]:
    options, table = replay.options, results.table
    shown = with_class((*table.pool, *table.test), replay.library.class_values)
    classes = ", ".join(f"{name} in {n}" for name, n in shown.items())
    n_empty = sum(not any(case.shares) for case in (*table.pool, *table.test))
    full = list(results.reachable.values())
    lines = [
        f"{counted(len(table.pool), 'image')} to label, {len(table.test)} to measure on; {classes}"
        f"; {n_empty} empty. Start {options.start}, batches of {options.batch}, "
        f"{counted(options.rounds, 'training')} each; preset {options.preset} at "
        f"{options.image_side} pixels, {options.steps} steps, {options.folds} networks; "
        f"{counted(options.seeds, 'seed')}."
    ]
    if full:
        lines.append(f"With all labels and the same steps: Dice {band(full).mean:.3f}.")
    lines += _absent(replay, results)
    lines += [f"Left out: {sentence}" for sentence in replay.library.left_out]
    return lines


def _notes(results: Results) -> list[str]:
    missing = [name for name in results.table.options.strategies if name not in results.rounds]
    lines = [
        "AUBC: mean Dice over the labels from the first training to the last. Against random: "
        "difference of the AUBC, paired by seed, t-test, corrected for all strategies (Holm). "
        f"Labels and hours: medians over the seeds until {SHARE_OF_FULL:.0%} of the Dice with all "
        "labels; 'not reached' where half of the seeds or more did not get there, 'or fewer' where "
        "the start did. Beaten: share of rounds and other strategies that were significantly "
        "better (penalty matrix); '-' of one seed, which tests nothing.",
        "",
        f"{ORACLE} knows which classes an image shows before it is labelled: nobody does. It is "
        f"the bound of what knowing them would gain, no strategy. {RANDOM} and it need no "
        "prediction to choose by.",
        "",
        "Hours and saved effort are those of a simulated annotator, who knows the truth, never "
        "hesitates and overlooks nothing. Real people do worse. Compare strategies by them; they "
        "forecast no project.",
    ]
    if missing:
        lines += ["", f"Not played to the end yet: {', '.join(missing)}."]
    return lines


def _absent(replay: Replay, results: Results) -> list[str]:
    """Classes of which nothing is measured, or nothing can be learned."""
    values, table = replay.library.class_values, results.table
    tested, learned = with_class(table.test, values), with_class(table.pool, values)
    lines = []
    if missing := [name for name in values if not tested[name]]:
        lines.append(f"In no image to measure on, so that nothing is said of it: {_named(missing)}")
    if missing := [name for name in values if tested[name] and not learned[name]]:
        lines.append(f"In no image to label, so that nobody can learn it: {_named(missing)}")
    if n := results.n_unmeasured:
        lines.append(f"{counted(n, 'course')} could not be measured and count for nothing.")
    return lines


def _named(names: Sequence[str]) -> str:
    return f"{', '.join(names)}."


def _mean(shares: Sequence[float | None]) -> str:
    known = [one for one in shares if one is not None]
    return f"{sum(known) / len(known):.2f}" if known else "-"


def _against(one: Comparison | None) -> tuple[str, str]:
    if one is None:
        return "-", "-"
    if one.n < 2:
        return signed(one.difference, 3), "-"
    mark = " better" if one.is_better else " worse" if one.is_worse else ""
    p = "below 0.001" if one.p_holm < 0.001 else f"{one.p_holm:.3f}"
    return signed(one.difference, 3), f"{p}{mark}"


def _reached(values: Sequence[float | None], form: str, at_once: bool) -> str:
    if not values:
        return "-"
    found = censored_median(values)
    if found is None:
        return "not reached"
    return f"{found:{form}} or fewer" if at_once else format(found, form)
