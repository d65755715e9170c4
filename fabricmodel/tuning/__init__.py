"""What a library should choose: rules learned from measurements or a fitted model."""

from fabricmodel.tuning.choice import Cell, merge_rules
from fabricmodel.tuning.constants import constants_of, write_constants
from fabricmodel.tuning.learned import LearnedCosts
from fabricmodel.tuning.nccl import nccl_rules
from fabricmodel.tuning.rules import Rule, find_rule, read_rules, write_rules

__all__ = [
    "Cell",
    "LearnedCosts",
    "Rule",
    "constants_of",
    "find_rule",
    "merge_rules",
    "nccl_rules",
    "read_rules",
    "write_constants",
    "write_rules",
]
