"""Inputs and targets are not of the same sample or time.

## What it is

The targets belong to other inputs: one of the two was shuffled or filtered without the other, or they are shifted
against each other.

## Why the outputs look alike

To the network the targets are noise, and the best answer to noise is a constant.

## How we know

A straight line is fitted with targets of some samples later or earlier. Where it finds much more than at once, pairs
are shifted; targets that merely stand in the window as one of its numbers do not count. Where a line finds much within
the held-out samples and nothing within the training samples, the training pairs are broken. Targets are also tried
backwards, in the order in which text sorts numbers (file 10 before file 2), and with a stride that only one of the two
was taken with. Where a line finds much between the means of batches and nothing between samples, the targets of each
batch are its own in another order, as after sorting the inputs by length alone; batches are drawn anew for it. Where
rows were lost here and there, targets slip farther from block to block, and a line is fitted in each. What a random
split was drawn from is looked at in its own order.

## What to try

Build inputs and targets from one index, in one place, and shuffle them together.
"""

from typing import Final

from flatspot.diagnosis import Finding, graded

EXPLAINS: Final = (
    "no-signal",
    "window-too-short",
    "undertrained",
    "too-little-data",
    "head-ignores-state",
    "saturated-units",
    "dead-units",
)
SICK: Final = {"pairs_straight": 0.0, "pairs_best_shifted": 0.8, "pairs_best_shift": 1.0, "skill_val": 0.0}
WELL: Final = {"pairs_straight": 0.8, "pairs_best_shifted": 0.8, "pairs_best_shift": 1.0, "skill_val": 0.0}
LINE: Final = 0.25
SHIFTED: Final = 0.12
LOW: Final = 0.1
PARTLY: Final = 0.25
IN_BATCHES: Final = 0.3
DRIFTS: Final = 0.2
UNSURE: Final = 0.5
SHORT: Final = 6
ORDERS: Final = "backwards, in the order in which text sorts numbers, or with a stride"


def judge(
    skill_val: float,
    pairs_straight: float,
    pairs_best_shifted: float = 0.0,
    pairs_best_shift: float = 0.0,
    pairs_sliding: float = 0.0,
    pairs_reordered: float = 0.0,
    pairs_chance: float = 0.0,
    sizes_steps: float = 24.0,
    references_within_val: float = 0.0,
    references_within_train: float | None = None,
    references_across: float = 0.0,
    pairs_in_batches: float = 0.0,
    pairs_drifting: float = 0.0,
    pairs_drift_skill: float = 0.0,
    pairs_drift_end: float = 0.0,
) -> Finding | None:
    base = max(pairs_straight, skill_val, references_across, 0.0)
    among = references_within_val if references_within_train is None else references_within_train
    shifted, reordered = pairs_best_shifted - base, pairs_reordered - base
    broken = references_within_val - max(base, among, 0.0)  # of too few training pairs nothing is known
    moved = max(shifted, reordered) >= max(SHIFTED, pairs_chance)
    elsewhere = max(base, pairs_best_shifted, pairs_reordered)
    if pairs_drifting >= DRIFTS and pairs_drift_skill - elsewhere >= DRIFTS:
        return _slips(pairs_drift_skill, base, pairs_drift_end)
    if base > (max(LOW, PARTLY * references_within_val) if broken >= LINE else LOW):
        return None
    if not moved and broken < LINE:
        return _within_batches(pairs_in_batches) if pairs_in_batches >= IN_BATCHES else None
    most = max(shifted, broken, reordered)
    # What lies some windows back is out of a short window's reach, and of one that slides on.
    out_of_reach = (sizes_steps <= SHORT or pairs_sliding) and pairs_best_shift > 0
    confidence = UNSURE if out_of_reach and most == shifted else graded(most, SHIFTED, 0.7, 0.65)
    if most == broken:
        both = f"{references_within_val:.2f} among held-out pairs and {among:.2f} among training pairs"
        return _others(f"{both} (line: {LINE} more)", confidence)
    found = f"{pairs_reordered:.2f} with targets {ORDERS},"
    if most == shifted:
        found = f"{pairs_best_shifted:.2f} with targets {pairs_best_shift:+.0f} samples away"
    return _others(f"{found} and {pairs_straight:.2f} with their own (line: {SHIFTED} more)", confidence)


def _others(found: str, confidence: float) -> Finding:
    return Finding(
        cause="misaligned-pairs",
        seen=f"a straight line finds {found}",
        means="the targets belong to other inputs",
        try_first="dataset = [(x[i], y[i]) for i in order]  # one index for both",
        confidence=confidence,
    )


def _slips(skill: float, stays: float, end: float) -> Finding:
    return Finding(
        cause="misaligned-pairs",
        seen=(
            f"in blocks of samples a straight line finds {skill:.2f} where targets slip little by little, up to "
            f"{end:+.0f} samples, and {stays:.2f} where they stay (line: {DRIFTS} more)"
        ),
        means="of inputs and targets one lost rows that the other kept",
        try_first="table = table.dropna()  # before it is split into inputs and targets",
        confidence=0.88,
    )


def _within_batches(found: float) -> Finding:
    return Finding(
        cause="misaligned-pairs",
        seen=(
            f"between the means of batches a straight line finds {found:.2f} more than between samples "
            f"(line: {IN_BATCHES})"
        ),
        means="the targets of a batch are its own, in another order",
        try_first="held.sort(key=lambda pair: len(pair[0]))  # in collate_fn: sort pairs, not inputs",
        confidence=0.85,
    )
