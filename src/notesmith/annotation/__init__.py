"""Labels for notes that nobody labelled: annotators, and what a student may learn from them.

An annotator is whatever has the methods of ``notesmith.ner.protocol.Student``: a trained student,
students that vote, a language model, a dictionary, or the predictions of another tagger. So
annotators of different kinds vote together as students do (``notesmith.ner.votes``).
"""
