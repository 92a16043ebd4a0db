"""Arithmetic of learning from rewards, one file a method: arrays in, numbers out, no models.

Rewards are arrays ``(groups, n)``: row ``i`` holds the ``n`` completions of one prompt.
"""
