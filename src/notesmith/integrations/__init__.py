"""The student inside other programs: a module each, which imports that program and no torch."""
