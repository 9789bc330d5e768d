"""A rule judges one cause by a run's evidence."""

from flatspot.diagnosis import Finding


def worse_than_persistence(test_mae, baseline_persistence_mae):
    ours, naive = test_mae, baseline_persistence_mae
    if ours <= naive:
        return None
    return Finding(
        cause="worse-than-persistence",
        seen=f"a test MAE of {ours:.3g} where persistence has {naive:.3g}",
        means="the last value is a better forecast than the network's",
        try_first="trainer.max_epochs=200",
        confidence=0.9,
    )
