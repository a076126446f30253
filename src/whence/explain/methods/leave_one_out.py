"""Leave one out: what each target loses when one segment alone is removed."""

from __future__ import annotations

import math

import numpy as np

from whence.explain.methods.ablation import AblationMethod, Estimate, Options, Study


class LeaveOneOut(AblationMethod[Options]):
    """The value of everything less the value without the segment.

    One call for each segment. Evidence: causal. Blind to what is stated twice, and gives each of two segments
    that are needed together the whole.
    """

    name = "leave_one_out"
    caveat = "Leave one out is blind to what stands in two places: without one of them the other still does."
    removes_little = True
    options = Options

    def calls(self, options: Options, segments: int, *, regenerates: bool) -> tuple[int, int]:
        """One for each segment: fewer would leave some without a score."""
        return segments, segments

    async def estimate(self, study: Study, options: Options) -> Estimate:
        """Standard errors are those of the noise; none where values are exact."""
        values = await study.worth(study.value.ablation.without(range(len(study))))
        scores = (study.value.full - values).T
        factor = math.sqrt(1 + 1 / study.value.repeats)
        noise = study.value.noise
        stderr = None if noise is None else np.full(scores.shape, noise * factor)
        return Estimate(scores=scores, stderr=stderr, noise_factor=factor, said={"ablations": len(study)})
