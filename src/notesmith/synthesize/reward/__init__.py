"""Rewards that pay a generator for text with labels which help the student.

Gates first, then graded parts, scaled by how new and how varied the contexts are
(``docs/explanation/rewards.md``).
"""

from notesmith.synthesize.reward.cases import Task
from notesmith.synthesize.reward.drift import Drift
from notesmith.synthesize.reward.function import RewardModel
from notesmith.synthesize.reward.judges import Judges, fluency_of
from notesmith.synthesize.reward.results import DocumentReward, DocumentRewards
from notesmith.synthesize.reward.user import load_user_reward

__all__ = [
    "DocumentReward",
    "DocumentRewards",
    "Drift",
    "Judges",
    "RewardModel",
    "Task",
    "fluency_of",
    "load_user_reward",
]
