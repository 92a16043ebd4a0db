"""Training of language models: one loop, what goes through it, and fine-tuning."""
