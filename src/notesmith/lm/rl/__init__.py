"""Learning from rewards: draws, rewards, the step of each method, and the record of a run."""
