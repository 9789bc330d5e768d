"""Hold the doctor against the zoo: sick, healed, healthy and rightly-flat programs over several seeds.

    python scripts/zoo.py --seeds 3

Each case is built, examined and kept as one line of `outputs/zoo/<half>.jsonl`; a run that was broken off goes on where
it stopped. The table is reckoned from those lines.
"""

import argparse
import importlib
import json
import multiprocessing
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from flatspot.examination.patient import Patient

ROOT: Final = Path(__file__).resolve().parents[1]
KEPT: Final = ROOT / "outputs" / "zoo"

CURES: Final = {
    "bad-init": ("trial_reset",),
    "class-imbalance": ("trial_balanced",),
    "exploding-gradient": ("trial_clipped",),
    "frozen-weights": ("trial_all_weights", "trial_again"),
    "learning-rate-too-high": ("trial_slower", "trial_slowest"),
    "loss-broadcast": ("trial_again",),
    "over-regularised": ("trial_free", "trial_again"),
    "padding-dominates": ("trial_ending",),
    "state-leak": ("trial_alone",),
    "undertrained": ("trial_on", "trial_on_faster", "trial_on_fastest", "trial_on_longer"),
    "unscaled-inputs": ("trial_inputs", "trial_both"),
    "unscaled-targets": ("trial_targets", "trial_both"),
    "weights-not-loaded": ("trial_again",),
}
"""Causes whose cure is tried on a copy of any program, and the experiments that try it; what a cure of the others is
(another axis, another head, more data) differs from program to program."""

BALANCED: Final = "class-imbalance"
"""Its cure is judged by balanced accuracy: the loss of a copy that saw each class as often is that of another prior."""

MOST_STEPS: Final = 600
"""Steps of a cure: as many as the program took, and no more than this."""

HALF: Final = 0.5
"""The share of the gap to the healed twin that a cure closes."""


def case(job: tuple[str, str, int]) -> dict[str, Any]:
    """Build one case and gather its evidence."""
    import torch  # noqa: PLC0415

    from flatspot.examination.gathering import gather  # noqa: PLC0415
    from flatspot.examination.patient import Patient  # noqa: PLC0415
    from flatspot.examination.samples import samples_of  # noqa: PLC0415

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    half, name, seed = job
    program = found(half)[name]
    line = {"name": name, "kind": program.kind, "causes": program.causes, "seed": seed}
    started = time.perf_counter()
    try:
        made = program.build(seed)
        built = time.perf_counter() - started
        started = time.perf_counter()
        train, val = (samples_of(each, made.batch, most) for each, most in ((made.train, 2048), (made.val, 1024)))
        patient = Patient(made.model, train, val, made.loss, made.optimizer, made.make_model)
        seen = gather(patient)
    except Exception:  # noqa: BLE001
        return line | {"failed": traceback.format_exc()}
    seconds = time.perf_counter() - started
    return line | {
        "cured": cured(patient, seen.figures, seen.unmeasured) if program.kind == "sick" else {},
        "built": built,
        "seconds": seconds,
        "verdict": seen.verdict,
        "figures": seen.figures,
        "unmeasured": seen.unmeasured,
        "spent": seen.seconds,
    }


def cured(patient: "Patient", figures: dict[str, float], unmeasured: dict[str, str]) -> dict[str, float]:
    """What the cure of the cause that is named first reaches: trained for as many steps as the program was."""
    from flatspot.examination.gathering import EXPERIMENTS, paired  # noqa: PLC0415
    from flatspot.examination.patient import NotGiven, loss_of_prediction  # noqa: PLC0415
    from flatspot.examination.trials import steps_of, trial  # noqa: PLC0415

    named = judged({"figures": figures, "unmeasured": unmeasured})[1]
    tried = [each for each in CURES.get(named[0][0] if named else "", ()) if f"{each}/skill" in figures]
    if named and named[0][0] == "frozen-weights" and not figures.get("gradients/all_away"):
        tried = [each for each in tried if each != "trial_again"]  # which leaves the fixed ones fixed
    if not tried:
        return {}
    best = max(tried, key=lambda each: figures[f"{each}/skill"])
    found = {"skill": figures[f"{best}/skill"], "balanced_accuracy": figures.get(f"{best}/balanced_accuracy", 0.0)}
    steps = min(int(figures.get("settings/steps", 0)), MOST_STEPS)
    if steps <= steps_of(patient):
        return found
    loss = loss_of_prediction(patient)
    patient = replace(patient, loss=paired(loss) if figures.get("loss/blind_to_pairs") else loss)
    change = next(each for name, each, _ in EXPERIMENTS if f"trial_{name}" == best)
    try:
        outcome = trial(patient, change, steps)
    except NotGiven:
        return found
    return {"skill": outcome.skill, "balanced_accuracy": outcome.balanced_accuracy}


def found(half: str) -> dict[str, Any]:
    """The programs of a half."""
    sys.path.insert(0, str(ROOT / "tests"))  # before this script's folder, where `zoo` is this script
    programs: dict[str, Any] = importlib.import_module("zoo.program").programs(half)
    return programs


def kept(half: str) -> list[dict[str, Any]]:
    """What was gathered before."""
    path = KEPT / f"{half}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def judged(line: dict[str, Any]) -> tuple[str, list[tuple[str, float]]]:
    """The verdict, and the causes that the rules find with their confidence, the surest first."""
    from flatspot.examination.examine import report_of  # noqa: PLC0415
    from flatspot.examination.gathering import Gathered  # noqa: PLC0415

    report = report_of(Gathered(line["figures"], line["unmeasured"]))
    return report.verdict, [(each.cause, each.confidence) for each in report.findings]


def told(half: str, name: str, seed: int) -> str:
    """The report on one program, as its author reads it."""
    import flatspot  # noqa: PLC0415

    warnings.filterwarnings("ignore")
    program = found(half)[name]
    case = program.build(seed)
    given = {each: getattr(case, each) for each in ("train", "val", "loss", "optimizer", "make_model", "batch")}
    return f"{program.story}\n\n{flatspot.examine(case.model, **given)}"


def table(lines: list[dict[str, Any]]) -> str:
    """Hits, false alarms, calibration, seconds, and each case that was not as it should be."""
    count: Counter[str] = Counter()
    wrong = []
    for line in sorted(lines, key=lambda each: (each["kind"], each["name"], each["seed"])):
        kind = line["kind"]
        count[kind] += 1
        if "failed" in line:
            wrong.append(f"| {line['name']} | {line['seed']} | {kind} | failed | {line['failed'].splitlines()[-1]} |")
            continue
        verdict, causes = judged(line)
        names = [name for name, _ in causes]
        hit = bool(names) and names[0] in line["causes"]
        blames = [each for each in names if each != "no-signal"]
        right = {"sick": hit, "rightly-flat": verdict == "rightly-flat" and not blames}.get(kind, not names)
        count[f"{kind} right"] += right
        count["first three"] += any(name in line["causes"] for name in names[:3])
        if not right:
            told = ", ".join(f"{name} {confidence:.2f}" for name, confidence in causes[:3]) or "nothing"
            meant = ", ".join(line["causes"]) or kind
            wrong.append(f"| {line['name']} | {line['seed']} | {meant} | {verdict} | {told} |")
    parts = (_shares(count), confusion(lines), cures(lines), calibration(lines), _seconds(lines), _wrong(wrong))
    return "\n".join(line for part in parts for line in (*part, ""))


def confusion(lines: list[dict[str, Any]]) -> list[str]:
    """For each cause, how many runs have it, and what is named first in them: a confusion matrix, without zeros."""
    named: dict[str, Counter[str]] = {}
    for line in lines:
        if "failed" not in line and line["kind"] != "rightly-flat":
            causes = [name for name, _ in judged(line)[1]] or ["nothing"]
            meant = line["causes"] or ["nothing wrong"]
            told = meant[0] if causes[0] in meant else causes[0]
            named.setdefault(meant[0], Counter())[told] += 1
    rows = []
    for cause, each in sorted(named.items()):
        right = each["nothing" if cause == "nothing wrong" else cause]
        others = ", ".join(f"{name} {count}" for name, count in each.most_common() if name not in {cause, "nothing"})
        silent = f"nothing {each['nothing']}" if each["nothing"] and cause != "nothing wrong" else ""
        told = ", ".join(part for part in (others, silent) if part)
        rows.append(f"| {cause} | {sum(each.values())} | {right} | {told} |")
    return ["| is | runs | named first | named instead |", "|---|--:|--:|---|", *rows]


def _shares(count: Counter[str]) -> list[str]:
    def share(part: int, whole: int) -> str:
        return f"{part} of {whole} ({part / whole:.0%})" if whole else "-"

    quiet = share(count["rightly-flat right"], count["rightly-flat"])
    alarms = sum(count[kind] - count[f"{kind} right"] for kind in ("healthy", "healed"))
    return [
        "| | |",
        "|---|--:|",
        f"| sick: the cause is named first | {share(count['sick right'], count['sick'])} |",
        f"| sick: among the first three | {share(count['first three'], count['sick'])} |",
        f"| healthy and healed: any finding | {share(alarms, count['healthy'] + count['healed'])} |",
        f"| rightly flat: recognised, and nothing blamed | {quiet} |",
    ]


def cures(lines: list[dict[str, Any]]) -> list[str]:
    """Of runs whose cause was named first and is cured on a copy: how often that closes half of the gap to the twin."""
    twins = {(each["name"], each["seed"]): each for each in lines if each["kind"] == "healed" and "figures" in each}
    closed: dict[str, list[bool]] = {}
    for line in lines:
        twin = twins.get((f"{line['name']} (healed)", line["seed"]))
        cause = next(iter(judged(line)[1]), ("", 0.0))[0] if "figures" in line else ""
        if twin is None or cause not in line["causes"] or cause not in CURES:
            continue
        asked, after = ("skill/balanced_accuracy", "balanced_accuracy") if cause == BALANCED else ("skill/val", "skill")
        own, healed = (max(each["figures"].get(asked, 0.0), 0.0) for each in (line, twin))
        if line.get("cured"):  # not without fresh copies, or of weights that no optimizer could reach
            closed.setdefault(cause, []).append(line["cured"][after] - own >= HALF * (healed - own))
    every = [each for held in closed.values() for each in held]
    whole = f"{sum(every)} of {len(every)} ({sum(every) / len(every):.0%})" if every else "-"
    rows = [f"| {cause} | {len(held)} | {sum(held)} |" for cause, held in sorted(closed.items())]
    head = ["| cure tried on a copy | runs | half of the gap to the twin closed |", "|---|--:|--:|"]
    return [f"Cures: {whole}.", "", *head, *rows]


def calibration(lines: list[dict[str, Any]]) -> list[str]:
    """How often findings of each confidence are right: all of them, also those behind the first one."""
    bins: dict[int, list[bool]] = {}
    for line in lines:
        for name, confidence in judged(line)[1] if "figures" in line else ():
            silent = line["kind"] == "rightly-flat" and name == "no-signal"
            bins.setdefault(int(confidence * 10), []).append(silent or name in line["causes"])
    rows = [
        f"| {each / 10:.1f} to {each / 10 + 0.1:.1f} | {len(held)} | {sum(held) / len(held):.0%} |"
        for each, held in sorted(bins.items())
    ]
    return ["| confidence of a finding | findings | right |", "|---|--:|--:|", *rows]


def _seconds(lines: list[dict[str, Any]]) -> list[str]:
    taken = sorted(each["seconds"] for each in lines if "seconds" in each)
    middle, last = taken[len(taken) // 2], taken[-1]
    return [
        f"An examination took {middle:.1f} s (median), {sum(taken) / len(taken):.1f} s (mean), {last:.1f} s at most."
    ]


def _wrong(wrong: list[str]) -> list[str]:
    return ["| program | seed | is | verdict | named |", "|---|--:|---|---|---|", *wrong]


def main() -> None:
    """Read the command line, gather what is missing, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--half", choices=("seen", "unseen"), default="seen")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="programs whose name holds this")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tell", metavar="PROGRAM", help="print the report on one program, of the last of the seeds")
    chosen = parser.parse_args()
    if chosen.tell:
        print(told(chosen.half, chosen.tell, chosen.seeds - 1))
        return
    if not found(chosen.half):
        parser.error(f"--half {chosen.half}: holds no programs yet (tests/zoo/{chosen.half}/README.md)")
    KEPT.mkdir(parents=True, exist_ok=True)
    done = {(each["name"], each["seed"]) for each in kept(chosen.half)}
    every = [(chosen.half, name, seed) for seed in range(chosen.seeds) for name in found(chosen.half)]
    jobs = [each for each in every if each[1:] not in done and chosen.only in each[1]]
    with (
        multiprocessing.get_context("spawn").Pool(chosen.workers) as pool,
        (KEPT / f"{chosen.half}.jsonl").open("a") as file,
    ):
        for number, line in enumerate(pool.imap_unordered(case, jobs), start=1):
            print(json.dumps(line), file=file, flush=True)
            print(f"\r{number} of {len(jobs)}", end="", file=sys.stderr)
    wanted = {each[1:] for each in every}
    print(table([each for each in kept(chosen.half) if (each["name"], each["seed"]) in wanted]))


if __name__ == "__main__":
    main()
