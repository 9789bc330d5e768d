"""The state is carried from batch to batch.

## What it is

The hidden state of one batch is the initial state of the next one, though the samples do not follow one another.

## Why the outputs look alike

What a sample gets to hear first is the end of some other sample: noise that differs from batch to batch, which
training learns to ignore, state and inputs alike.

## How we know

The same batch is asked again after other batches, with the same random draws. A random initial state is no leak.
Then a copy is trained that forgets between batches whatever a call left in it. Where it learns no better than one that
does not forget, the state is carried on purpose, or does no harm.

## What to try

Begin each sequence with a fresh state: call the layer without one, or reset it.
"""

from typing import Final

from flatspot.diagnosis import DAMAGE, Finding, attribute

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
LINE: Final = 0.2
LEARNS: Final = 0.5


def judge(
    memory_moved: float,
    skill_missing: float,
    trial_alone_closes: float | None = None,
    trial_alone_anew_closes: float = 0.0,
    trial_reset_closes: float = 0.0,
    trial_again_skill: float = 0.0,
    skill_possible: float = 1.0,
    recurrent_name: str = "",
) -> Finding | None:
    if not memory_moved or skill_missing < DAMAGE:
        return None
    begun_anew = trial_again_skill > LEARNS * skill_possible  # the damage came later than a short experiment sees
    anew = trial_alone_anew_closes if trial_alone_anew_closes - trial_reset_closes >= LINE else 0.0
    closes = max(trial_alone_closes or 0.0, anew)
    helps = closes >= LINE
    if trial_alone_closes is not None and not helps and not begun_anew:
        return None
    told = f"; a copy that forgets between them closes {closes:.0%} of the gap" if helps else ""
    return Finding(
        cause="state-leak",
        seen=f"the same batch is answered differently after other batches{told}",
        means="each sample begins with what another one left behind",
        try_first=(
            f"output, _ = {attribute(recurrent_name, of='self')}(x)  # without the state of the last batch"
            if recurrent_name
            else "begin each call of the recurrent part without the state of the last batch"
        ),
        override="model.initial_state=zeros",
        confidence=0.95 if helps else 0.8,
    )
