"""The state is carried from batch to batch.

## What it is

The hidden state of one batch is the initial state of the next one, though the samples do not follow one another.

## Why the outputs look alike

What a sample gets to hear first is the end of some other sample: noise that differs from batch to batch, which
training learns to ignore, state and inputs alike.

## How we know

The same batch is asked again after other batches, with the same random draws. A random initial state is no leak,
and a state that is carried on purpose along one series does no harm: the skill with and without it is compared.

## What to try

Begin each sequence with a fresh state: call the layer without one, or reset it.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding

EXPLAINS: Final = (
    "undertrained",
    "saturated-units",
    "head-ignores-state",
    "vanishing-gradient",
    "no-signal",
    "too-little-data",
    "learning-rate-too-high",
    "exploding-gradient",
)
SICK: Final = {"memory_moved": 1.0, "skill_missing": 1.0}
WELL: Final = {"memory_moved": 0.0, "skill_missing": 1.0}


def judge(memory_moved: float, skill_missing: float) -> Finding | None:
    if not memory_moved or skill_missing < DAMAGE:
        return None
    return Finding(
        cause="state-leak",
        seen="the same batch is answered differently after other batches",
        means="each sample begins with what another one left behind",
        try_first="output, _ = self.rnn(x)  # without the state of the last batch",
        override="model.initial_state=zeros",
        confidence=0.9,
    )
