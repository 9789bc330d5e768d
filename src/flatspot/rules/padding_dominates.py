"""The last step that is read is padding.

## What it is

Samples are filled up at their end to one length, and the model reads the state after the filler.

## Why the outputs look alike

Behind enough filler every state forgets what stood before it: all samples end in the same steps.

## How we know

The steps at the end of each sample that repeat its last one are counted, and those at its beginning, which a model
that turns its windows round reads last. A copy is trained on samples whose filler was moved to the other end; it is
this cause where that one learns, or where many samples with a filler, and not all, get bitwise the same answer.

## What to try

Pack the sequences (pack_padded_sequence), or gather each sample's state at its true length; or fill up at the
beginning.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, graded

EXPLAINS: Final = (
    "vanishing-gradient",
    "undertrained",
    "redundant-inputs",
    "head-ignores-state",
    "saturated-units",
    "wrong-timestep",
    "exploding-gradient",
)
SICK: Final = {"padding_share": 0.9, "padding_median": 0.6, "skill_missing": 0.9, "trial_ending_closes": 0.8}
WELL: Final = {**SICK, "trial_ending_closes": 0.0}
SHARE: Final = 0.3
LINE: Final = 0.35
ANSWERS: Final = 0.3
HALF: Final = 0.5


def judge(
    skill_missing: float,
    padding_share: float,
    trial_ending_closes: float,
    padding_median: float = 0.0,
    padding_same_answers: float = 0.0,
    steps_last_read: float = 1.0,
    padding_front: float = 0.0,
) -> Finding | None:
    alike = padding_same_answers >= ANSWERS and steps_last_read > HALF  # and not because the beginning is read
    if padding_share >= SHARE and skill_missing >= DAMAGE and alike:
        return _one_answer(padding_same_answers)
    if max(padding_share, padding_front) < SHARE or skill_missing < DAMAGE or trial_ending_closes < LINE:
        return None
    if padding_share < SHARE:
        return _turned(padding_front, trial_ending_closes) if steps_last_read > HALF else None
    return Finding(
        cause="padding-dominates",
        seen=(
            f"{padding_share:.0%} of the samples end in filler, half of them in {padding_median:.0%} of the window or "
            f"more; moved to the beginning, {trial_ending_closes:.0%} of the gap closes (line: {LINE:.0%})"
        ),
        means="what the network remembers at the end is the filler",
        try_first="packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)",
        confidence=graded(trial_ending_closes, LINE, 0.9, 0.75),
    )


def _turned(share: float, closes: float) -> Finding:
    return Finding(
        cause="padding-dominates",
        seen=(
            f"{share:.0%} of the samples begin with filler, which is moved to their end; so {closes:.0%} of the gap "
            f"closes (line: {LINE:.0%})"
        ),
        means="the model reads the window from its end, and the filler last",
        try_first="x = x.flip(1)  # no more: the filler stands in front as it is",
        confidence=graded(closes, LINE, 0.9, 0.75),
    )


def _one_answer(share: float) -> Finding:
    return Finding(
        cause="padding-dominates",
        seen=f"{share:.0%} of the samples that end in filler get bitwise the same answer (line: {ANSWERS:.0%})",
        means="the place that is read for them has seen the filler alone",
        try_first="last = output[torch.arange(len(output)), lengths - 1]  # lengths as this layer counts steps",
        confidence=0.88,
    )
