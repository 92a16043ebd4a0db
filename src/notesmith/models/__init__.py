"""Model folders, whoever wrote them: where they are, what they may hold, whether they are whole.

``door`` refuses a folder that asks for code or holds no weights; ``load`` is the one place that
calls ``from_pretrained``; ``manifest`` checks folders of our own; ``hub`` is the one place that
asks a model hub. What is done with a model is left to ``lm`` and ``ner``.
"""
