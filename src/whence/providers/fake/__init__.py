"""A provider whose true attributions are known in closed form: for tests, and for trying Whence out.

It reads words. A `Rule` says which cue words in the sources make it write a sentence, and what each is
worth in nats, so every number that a method should find can be worked out by hand.
"""

from whence.providers.fake.provider import CUE_MASS, INSTRUCTION_MASS, SINK_MASS, FakeProvider
from whence.providers.fake.rules import BASE_NATS, EXAMPLE_RULES, Rule

__all__ = [
    "BASE_NATS",
    "CUE_MASS",
    "EXAMPLE_RULES",
    "INSTRUCTION_MASS",
    "SINK_MASS",
    "FakeProvider",
    "Rule",
]
