"""Rewards that pay a generator for text with labels which help the student.

Gates first, then graded parts, scaled by how new and how varied the contexts are
(``docs/explanation/rewards.md``).
"""

from notesmith.synthesis.reward.cases import Task
from notesmith.synthesis.reward.drift import Drift
from notesmith.synthesis.reward.function import RewardModel
from notesmith.synthesis.reward.judges import Judges, fluency_of
from notesmith.synthesis.reward.results import DocumentReward, DocumentRewards
from notesmith.synthesis.reward.user import load_user_reward

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
