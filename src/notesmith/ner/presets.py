"""Names for good encoders on the hub; ``minilm`` comes as a package instead."""

from __future__ import annotations

HUB_PRESETS = {
    "biomedbert": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext",
    "biobert": "dmis-lab/biobert-base-cased-v1.2",
    "bioclinical-modernbert": "thomas-sounack/BioClinical-ModernBERT-base",
}
