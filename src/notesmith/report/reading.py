"""``results.json`` to values, with the same care as any input.

Only known keys are read. Whatever else a results file holds (a mention, a prompt) cannot reach a
page through here. Missing parts become None or empty and the page leaves them out.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from notesmith.errors import FileError, StageError
from notesmith.files.checksums import CHECKSUM, checksum
from notesmith.files.write import read_regular
from notesmith.report.view import (
    Arm,
    AttributeScore,
    Beside,
    Comparison,
    Curve,
    Deciding,
    Estimate,
    Hours,
    LabelScore,
    MadeText,
    Model,
    Power,
    RlRun,
    StageCost,
    View,
    Worth,
)
from notesmith.report.words import is_number

SCHEMA = 1
_MADE_SYNTHETIC = "synthetic"


def read_run(folder: Path) -> View:
    """Return the view of a run folder's ``results.json``.

    Raises:
        StageError: there is none, or it is no results file.
    """
    path = folder / "results.json"
    try:
        results = json.loads(read_regular(path))
    except (FileNotFoundError, NotADirectoryError):
        raise StageError(f"{folder}: no results.json; finish the run first") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, FileError):
            raise
        raise StageError(f"{path}: is not JSON; write it again with notesmith report") from None
    if not isinstance(results, dict):
        raise StageError(f"{path}: holds no results")
    if CHECKSUM in results and results[CHECKSUM] != checksum(results):
        raise StageError(
            f"{path}: is damaged or was changed (its checksum is of other content); write it again "
            "with notesmith report"
        )
    return read_results(results)


def read_results(results: Mapping[str, Any]) -> View:
    """Return the view of a results dict.

    Raises:
        StageError: it is of another schema, or a part that must be there is not.
    """
    if results.get("schema") != SCHEMA:
        raise StageError(
            f"results have schema {results.get('schema')!r}; this version reads {SCHEMA}"
        )
    try:
        return _read(results)
    except StageError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        # The type alone: an error's own words could quote a value.
        raise StageError(f"results are malformed ({type(error).__name__})") from error


def _read(results: Mapping[str, Any]) -> View:
    # Points a unit of the file: 1 where its scores run to 100, 100 where they are ratios.
    unit = 100 / float(results.get("scale", 100))
    arms = tuple(_arm(raw, unit) for raw in results["arms"])
    sizes = tuple(sorted({int(s) for s in results.get("sizes", ())} | {arm.size for arm in arms}))
    if not arms:
        raise StageError("results hold no arms")
    main_size = int(results.get("main_size") or sizes[-1])
    verdict = results.get("verdict") or {}
    seal = results.get("seal") or {}
    finished = results.get("finished") or {}
    comparator = str(results["comparator"])
    return View(
        recipe=str(results["recipe"]),
        split=str(results.get("split") or "test"),
        created=str(results.get("created") or "")[:10],
        comparator=comparator,
        labels=_strings(results.get("labels")),
        kind=str(results.get("kind") or ""),
        corpus={
            part: {k: v for k, v in counts.items() if k in _CORPUS_COUNTS and is_number(v)}
            for part, counts in (results.get("corpus") or {}).items()
            if part in ("train", "dev", "test") and isinstance(counts, Mapping)
        },
        sizes=sizes,
        main_size=main_size,
        arms=arms,
        comparisons=tuple(_comparison(raw, unit) for raw in results.get("comparisons") or ()),
        curve=_curve(results.get("learning_curve") or {}, unit),
        power=_power(results.get("power") or {}, unit),
        headline=str(verdict.get("headline") or ""),
        sentences=_strings(verdict.get("sentences")),
        recommendation=str(verdict.get("recommendation") or "no claim"),
        made=tuple(_made(results.get("made") or ())),
        rl=tuple(_rl(raw) for raw in results.get("rl") or ()),
        stages=tuple(_stage(raw) for raw in results.get("stages") or ()),
        varied=_strings(results.get("varied")),
        seal_hash=str(seal.get("hash") or ""),
        seal_opened=_whole(seal.get("opened")),
        seal_unseen=str(seal.get("unseen") or ""),
        versions=_facts(results.get("versions")),
        machine={
            k: v for k, v in _facts(results.get("machine")).items() if k not in _NAMES_A_PERSON
        },
        lm=_model(results.get("lm")),
        encoder=_model(results.get("encoder")),
        config=results.get("config") or {},
        focus=str(results.get("candidate") or _focus(arms, comparator, main_size)),
        confidence=_float(results.get("confidence")) or 0.95,
        resamples=_whole(results.get("resamples")),
        minutes_per_note=_float(results.get("minutes_per_note")),
        n_scored=_whole(finished.get("scored")) or 0,
        n_planned=_whole(finished.get("planned")) or 0,
        deciding=_deciding(results.get("deciding") or {}),
        notices=_strings(results.get("notices")),
    )


def _deciding(raw: Mapping[str, Any]) -> Deciding:
    return Deciding(
        str(raw.get("split") or ""),
        str(raw.get("reason") or ""),
        _whole(raw.get("n_documents")),
        _whole(raw.get("n_test_documents")),
    )


_CORPUS_COUNTS = ("documents", "sentences", "entities")
_NAMES_A_PERSON = frozenset({"host", "hostname", "node", "user", "username", "home", "cwd"})
_SCORES = (
    "f1 precision recall lenient_f1 boundary_f1 unseen_f1 unseen_recall seen_f1 dev_f1"
).split()


def _focus(arms: Iterable[Arm], comparator: str, size: int) -> str:
    # The arm the page leads with: the best of those that use the generator's text, else the best.
    rivals = [a for a in arms if a.size == size and a.name != comparator]
    made = [a for a in rivals if _MADE_SYNTHETIC in a.made] or rivals
    best = max(made, key=lambda a: a.f1.mean if is_number(a.f1.mean) else -1.0, default=None)
    return best.name if best else ""


def _arm(raw: Mapping[str, Any], unit: float) -> Arm:
    return Arm(
        name=str(raw["name"]),
        size=int(raw["size"]),
        made=_strings(raw.get("made")),
        n_replicates=int(raw.get("n_replicates") or 0),
        scores=_scores(raw, unit),
        by_label={str(label): _label(s, unit) for label, s in (raw.get("by_label") or {}).items()},
        seconds=_float(raw.get("seconds")),
        tokens=_float(raw.get("tokens")),
        attributes={
            str(name): AttributeScore(
                _label(s.get("end_to_end") or {}, unit), _label(s.get("on_found") or {}, unit)
            )
            for name, s in (raw.get("attributes") or {}).items()
        },
        n_students=_whole(raw.get("n_students")) or 1,
        out_of_draw=_scores(raw.get("out_of_draw") or {}, unit),
        decided_on=str(raw.get("decided_on") or ""),
    )


def _scores(raw: Mapping[str, Any], unit: float) -> dict[str, Estimate]:
    return {name: _estimate(raw[name], unit) for name in _SCORES if raw.get(name)}


def _label(raw: Mapping[str, Any], unit: float) -> LabelScore:
    precision, recall, f1 = (_float(raw.get(key), unit) for key in ("precision", "recall", "f1"))
    return LabelScore(precision, recall, f1, _float(raw.get("support")))


def _estimate(raw: Mapping[str, Any], unit: float) -> Estimate:
    mean, low, high, sd = (_float(raw.get(k), unit) for k in ("mean", "low", "high", "sd"))
    return Estimate(mean, low, high, sd, _floats(raw.get("values"), unit))


def _comparison(raw: Mapping[str, Any], unit: float) -> Comparison:
    return Comparison(
        arm=str(raw["arm"]),
        against=str(raw["against"]),
        size=int(raw["size"]),
        delta=_float(raw.get("delta"), unit),
        low=_float(raw.get("low"), unit),
        high=_float(raw.get("high"), unit),
        p=_float(raw.get("p")),
        p_holm=_float(raw.get("p_holm")),
        n_replicates=int(raw.get("n_replicates") or 0),
        worth=_worth(raw.get("worth")),
        claim=str(raw.get("claim") or "no difference shown"),
        values=_floats(raw.get("values"), unit),
        family=str(raw.get("family") or "comparator"),
        worth_reason=str(raw.get("worth_reason") or ""),
        step=_whole(raw.get("step")),
        scored_on=str(raw.get("scored_on") or ""),
        beside=_beside(raw.get("beside"), unit),
        planned=_whole(raw.get("planned")),
        n_students=_whole(raw.get("n_students")) or 1,
        spread_of=str(raw.get("spread_of") or "replicates"),
    )


def _beside(raw: Mapping[str, Any] | None, unit: float) -> Beside | None:
    if raw is None:
        return None
    delta, low, high = (_float(raw.get(key), unit) for key in ("delta", "low", "high"))
    return Beside(str(raw.get("scored_on") or ""), delta, low, high)


def _worth(raw: Mapping[str, Any] | None) -> Worth | None:
    notes = _float((raw or {}).get("notes"))
    if raw is None or notes is None:
        return None
    beyond = tuple(k for k in ("notes", "low", "high") if k in (raw.get("beyond") or ()))
    low, high = _float(raw.get("low")), _float(raw.get("high"))
    return Worth(notes, low, high, beyond, _hours(raw.get("hours") or {}))


def _hours(raw: Mapping[str, Any]) -> Hours | None:
    notes = _float(raw.get("notes"))
    return None if notes is None else Hours(notes, _float(raw.get("low")), _float(raw.get("high")))


def _curve(raw: Mapping[str, Any], unit: float) -> Curve:
    pairs = sorted(
        (float(n), unit * float(f))
        for n, f in zip(raw.get("sizes") or (), raw.get("f1") or (), strict=False)
        if is_number(n) and is_number(f)
    )
    return Curve(
        tuple(n for n, _ in pairs),
        tuple(f for _, f in pairs),
        _fitted(raw.get("fit") or {}, unit),
        str(raw.get("arm") or "gold"),
    )


_CURVE_POINTS = 60


def _fitted(fit: Mapping[str, Any], unit: float) -> tuple[tuple[float, float], ...]:
    # evaluate.curve: a - b n^-c, or a + b log n where c is 0, between the sizes that were trained.
    a, b, c, low, high = (_float(fit.get(k)) for k in ("a", "b", "c", "low", "high"))
    if a is None or b is None or c is None or low is None or high is None or not 0 < low < high:
        return ()
    sizes = [low * (high / low) ** (i / (_CURVE_POINTS - 1)) for i in range(_CURVE_POINTS)]
    return tuple((n, unit * (a + b * (math.log(n) if c == 0 else -(n**-c)))) for n in sizes)


def _power(raw: Mapping[str, Any], unit: float) -> Power:
    return Power(
        _float(raw.get("sd_delta"), unit),
        _float(raw.get("detectable"), unit),
        _whole(raw.get("n_replicates")),
        _whole(raw.get("n_documents")),
    )


def _made(raws: Iterable[Mapping[str, Any]]) -> list[MadeText]:
    groups: dict[tuple[int, str], list[Mapping[str, Any]]] = {}
    for raw in raws:
        groups.setdefault((int(raw["size"]), str(raw.get("source") or "")), []).append(raw)
    found = []
    for (size, source), members in sorted(groups.items()):
        dropped: Counter[str] = Counter()
        for raw in members:
            for reason, n in (raw.get("dropped") or {}).items():
                dropped[str(reason)] += n
        found.append(
            MadeText(
                size,
                source,
                len(members),
                _mean(members, "asked") or 0.0,
                _mean(members, "kept") or 0.0,
                {reason: n / len(members) for reason, n in dropped.most_common()},
                _mean(members, "tokens"),
                _mean(members, "seconds"),
                _mean(members, "new_names"),
                _mean(members, "unseen_test_mentions_covered"),
                _mean(members, "unseen_test_mentions_proposed"),
            )
        )
    return found


_RL_QUANTITY = re.compile(
    r"(reward|pass_ratio|length|kl|part_[a-z][a-z_]{0,40}|drift_(?!asked_)[a-z][a-z_]{0,40})"
)
# Of the looks at prompts kept apart; methods that learn round by round know their KL only there.
_RL_LOOKS = ("held_out_reward", "held_out_kl")


def _rl(raw: Mapping[str, Any]) -> RlRun:
    series: dict[str, list[tuple[float, float]]] = {}
    for row in raw.get("history") or ():
        step = _float(row.get("step"))
        if step is None:
            continue
        for name, value in row.items():
            # Names that our own training gives, and numbers: nothing else reaches the page.
            known = name in _RL_LOOKS or _RL_QUANTITY.fullmatch(str(name))
            if known and is_number(value):
                series.setdefault(str(name), []).append((step, float(value)))
    best = _whole(raw.get("best_step"))
    reward, kl = (dict(series.get(name, ())) for name in _RL_LOOKS)
    return RlRun(
        arm=str(raw["arm"]),
        size=int(raw["size"]),
        replicate=int(raw["replicate"]),
        method=str(raw.get("method") or ""),
        placebo=raw.get("placebo") is True,
        n_steps=_whole(raw.get("steps")),
        best_step=best,
        stopped=str(raw.get("stopped") or ""),
        sampled_tokens=_float(raw.get("sampled_tokens")),
        tokens=_float(raw.get("tokens")),
        seconds=_float(raw.get("seconds")),
        first_reward=reward.get(0.0),
        best_reward=reward.get(float(best)) if best is not None else None,
        kl=kl.get(float(best)) if best is not None else None,
        series={name: tuple(points) for name, points in series.items()},
    )


def _mean(members: Iterable[Mapping[str, Any]], key: str) -> float | None:
    numbers = [float(raw[key]) for raw in members if is_number(raw.get(key))]
    return sum(numbers) / len(numbers) if numbers else None


def _stage(raw: Mapping[str, Any]) -> StageCost:
    return StageCost(
        str(raw["stage"]),
        _whole(raw.get("cells")),
        _float(raw.get("seconds")),
        _float(raw.get("tokens")),
        _float(raw.get("tokens_per_second")),
        _float(raw.get("peak_memory_bytes")),
    )


def _model(raw: Mapping[str, Any] | None) -> Model:
    name, licence, terms = (str((raw or {}).get(k) or "") for k in ("name", "licence", "terms"))
    parameters = _float((raw or {}).get("parameters"))
    return Model(without_folders(name), licence, terms, parameters)


def without_folders(words: str) -> str:
    """Return the last part of an absolute path, and anything else as it is.

    A path tells how a machine and its users are named, which a report need not carry.
    """
    absolute = words.startswith(("/", "~", "\\\\")) or words[1:3] in (":\\", ":/")
    return PurePath(words.replace("\\", "/")).name if absolute else words


def _facts(raw: Mapping[str, Any] | None) -> dict[str, str]:
    return {
        str(k): str(v) for k, v in (raw or {}).items() if isinstance(v, (str, int, float, bool))
    }


def _strings(raw: Iterable[Any] | None) -> tuple[str, ...]:
    return tuple(str(word) for word in raw or ())


def _floats(raw: Iterable[Any] | None, unit: float) -> tuple[float, ...]:
    return tuple(unit * float(v) for v in raw or () if is_number(v))


def _float(value: Any, unit: float = 1.0) -> float | None:
    return unit * float(value) if is_number(value) else None


def _whole(value: Any) -> int | None:
    return int(value) if is_number(value) else None
