"""What a run used, as BibTeX: entries that stand in ``templates/references.bib``, and no others.

Nothing is made up. What has no entry there is named, for its users to cite it themselves.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from notesmith import __version__
from notesmith.report.settings import rl_of
from notesmith.results import Results

# Of the recipe's name or of the file that gold is drawn from: the corpus and its entry.
_CORPORA: tuple[tuple[str, str, str], ...] = (
    (r"ncbi[ _-]?(disease|train)", "NCBI Disease", "dogan2014ncbi"),
    (r"bc5cdr|cdr[ _-]?train", "BC5CDR", "li2016bc5cdr"),
    (r"maccrobat", "MACCROBAT", "caufield2020maccrobat"),
)
_LANGUAGE_MODELS = (
    (r"^(google/)?gemma-?3", "gemma2025"),
    (r"^(qwen/)?qwen3-", "qwen2025"),
    (r"^(huggingfacetb/)?smollm2-", "allal2025smollm2"),
)
_ENCODERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"^minilm$|all-minilm-l6-v2$", ("wang2020minilm", "reimers2019sbert")),
    (r"^biobert$|^dmis-lab/biobert", ("lee2020biobert",)),
    (r"^biomedbert$|biomedbert-base", ("gu2021domain",)),
    (r"bioclinical-modernbert", ("sounack2025bioclinical",)),
)
_ENTRY = re.compile(r"^@\w+\{(\w+),\n.*?^\}$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class References:
    """Entries by key, in the order of the file, and what the authors must find themselves."""

    entries: Mapping[str, str]
    unknown: tuple[str, ...]
    corpus: str = ""

    def bibtex(self) -> str:
        """The entries as a file."""
        return "\n\n".join(self.entries.values()) + "\n"

    def has(self, key: str) -> bool:
        """Whether ``key`` is cited."""
        return key in self.entries


@cache
def known_entries() -> dict[str, str]:
    """Every entry that the project knows, by key."""
    text = files("notesmith.report").joinpath("templates", "references.bib").read_text("utf-8")
    return {found.group(1): found.group(0) for found in _ENTRY.finditer(text)}


def references_of(results: Results, *, source: str = "") -> References:
    """Return what the run used.

    Args:
        results: the results.
        source: corpus as its users name it; found from names of the recipe if not given.
    """
    ran = results.ran
    wanted = {"notesmith", "nakayama2018seqeval", "gallifant2025tripodllm"}
    unknown: list[str] = []
    corpus, entry = corpus_of(results, source)
    if entry:
        wanted.add(entry)
    elif not results.config.corpus.train.startswith("demo:"):
        unknown.append("the corpus")
    if "ner" in ran:
        wanted.add("wolf2020transformers")
        encoder = results.encoder.name if results.encoder else ""
        wanted |= set(_encoder(encoder)) or _note(unknown, "encoder", encoder)
    if results.used_lm:
        lm = results.lm.name if results.lm else ""
        key = next((k for p, k in _LANGUAGE_MODELS if re.search(p, lm.lower())), "")
        wanted |= {key} if key else _note(unknown, "language model", lm)
    if ran & {"sft", "rl"}:
        wanted |= _adapters(results)
    if "sft" in ran and "sample" in ran:
        wanted.add("cao2026synthetic")
    wanted |= _rewards(results)
    wanted |= {key for arm in results.arms for source in arm.made for key in source.cites}
    wanted |= {"gururangan2020dont"} if results.adapted else set()
    integration = results.config.ner.integration
    is_weak = integration.loss == "noise-aware" or integration.complete != "no"
    if is_weak and any(arm.made for arm in results.arms):
        wanted.add("jiang2021needle")
    if "sft" in ran and results.config.sft.replaced_copies > 0:
        wanted.add("dai2020augmentation")
    if sum(c.step is None for c in results.comparisons) > 1:
        wanted.add("holm1979")
    entries = {key: text for key, text in known_entries().items() if key in wanted}
    entries["notesmith"] = entries["notesmith"].replace("VERSION", _version(results))
    return References(entries, tuple(unknown), corpus)


def corpus_of(results: Results, source: str = "") -> tuple[str, str]:
    """Name and entry of a known public corpus; both empty where it is none."""
    names = (source,) if source else (results.recipe, results.config.corpus.train)
    for pattern, corpus, key in _CORPORA:
        if any(re.search(pattern, name.lower()) for name in names):
            return corpus, key
    return "", ""


def _encoder(name: str) -> tuple[str, ...]:
    return next((keys for p, keys in _ENCODERS if re.search(p, name.lower())), ())


def _note(unknown: list[str], role: str, name: str) -> set[str]:
    unknown.append(f"the {role} {name}".rstrip())
    return set()


def _adapters(results: Results) -> set[str]:
    ranks = [results.config.sft.lora_rank if "sft" in results.ran else 0]
    ranks += [
        rl.lora_rank for run in results.rl if (rl := rl_of(results.config, run.arm)) is not None
    ]
    return {"peft2022", "hu2022lora"} if any(ranks) else set()


def _rewards(results: Results) -> set[str]:
    keys = {"grpo": "shao2024grpo", "dpo": "rafailov2023dpo"}
    found = {keys[run.method] for run in results.rl if run.method in keys}
    tables = [rl_of(results.config, run.arm) for run in results.rl]
    if any(rl is not None and rl.rollouts == "vllm" for rl in tables):
        found.add("kwon2023vllm")
    return found


def _version(results: Results) -> str:
    version = results.versions.get("notesmith", "")
    return version if re.fullmatch(r"[0-9A-Za-z.+-]{1,40}", version) else __version__
