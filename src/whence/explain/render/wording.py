"""The schema's terms in plain words, for a reader who is a clinician and not an engineer.

Nothing here judges: attention is where a model looked, never why it answered.
"""

from __future__ import annotations

from collections.abc import Mapping

from whence.explain.result import Access, Evidence, Family, Unit
from whence.explain.schema import TargetKind

EVIDENCE: Mapping[Evidence, str] = {
    "descriptive": "descriptive: where the model looked, not why it answered",
    "sensitivity": "sensitivity: what a small change would sway most, not what the answer rests on",
    "causal": "causal: what changed in the output when a passage was taken away",
    "self_reported": "self-reported: what the model says it used, not checked",
}
TITLES: Mapping[Evidence, str] = {
    "descriptive": "Where the model looked",
    "sensitivity": "What would sway the output",
    "causal": "What the output changed without",
    "self_reported": "What the model says it used",
}
FAMILIES: Mapping[Family, str] = {
    "native_attention": "the model's own attention",
    "gradient": "gradients through the model",
    "logprob": "change of the output's probability when passages are taken away",
    "perturbation": "change of the rewritten output when passages are taken away",
    "citation": "the model's own citations",
}
ACCESS: Mapping[Access, str] = {
    "weights": "the model's weights",
    "logprobs": "the probabilities that the model reports",
    "text": "only the text that the model returns",
}
UNITS: Mapping[Unit, str] = {
    "attention_mass": "attention",
    "nats": "nats",
    "similarity": "similarity",
    "relevance": "relevance",
    "claim": "claims",
}
PARTS: Mapping[str, str] = {
    "instruction": "the instruction",
    "template": "the chat template",
    "special": "special tokens",
    "sink": "the first token, where idle attention rests",
    "output_so_far": "the output so far",
    "blank": "blanks of the record",
}
TARGETS: Mapping[TargetKind, str] = {
    "token": "token",
    "word": "word",
    "sentence": "sentence",
    "whole": "output",
}
GIVEN = "This output was given: the model did not write it in this run."
CUT = "This output was cut off at the length limit: it is incomplete."
ELSEWHERE_UNMEASURED = "not measured: this method only divides what it found in the sources"
ELSEWHERE_SOME = f"where no passage received anything that counts; of the rest {ELSEWHERE_UNMEASURED}"
ELSEWHERE_ALL = "no passage of the sources received anything that counts"
ELSEWHERE_MEASURED = "no passage that could be measured received anything that counts"
