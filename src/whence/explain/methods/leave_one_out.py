"""Leave one out: what each target loses when one segment alone is removed."""

from __future__ import annotations

import math

import numpy as np

from whence.explain.methods.ablation import AblationMethod, Estimate, Options, Study


class LeaveOneOutOptions(Options):
    """`groundedness`: one call more, without any segment. What a target loses then, it has from somewhere."""

    groundedness: bool = False


class LeaveOneOut(AblationMethod[LeaveOneOutOptions]):
    """The value of everything less the value without the segment.

    One call for each segment. Evidence: causal. Blind to what is stated twice, and gives each of two segments
    that are needed together the whole.
    """

    name = "leave_one_out"
    caveat = "Leave one out is blind to what stands in two places: without one of them the other still does."
    removes_little = True
    options = LeaveOneOutOptions

    def calls(self, options: LeaveOneOutOptions, segments: int, *, regenerates: bool) -> tuple[int, int]:
        """One for each segment, and one for all: fewer would leave some without a score."""
        calls = segments + options.groundedness
        return calls, calls

    async def estimate(self, study: Study, options: LeaveOneOutOptions) -> Estimate:
        """Standard errors are those of the noise; none where values are exact."""
        masks = study.value.ablation.without(range(len(study)))
        if options.groundedness:
            masks = np.vstack([masks, np.zeros_like(masks[:1])])
        values = await study.worth(masks)
        losses = (study.value.full - values).T
        scores = losses[:, : len(study)]
        factor = math.sqrt(1 + 1 / study.value.repeats)
        noise = study.value.noise
        stderr = None if noise is None else np.full(scores.shape, noise * factor)
        return Estimate(
            scores=scores,
            stderr=stderr,
            noise_factor=factor,
            said={"ablations": len(masks)},
            groundedness=losses[:, -1] if options.groundedness else None,
        )
