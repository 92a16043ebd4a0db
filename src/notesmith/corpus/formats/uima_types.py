"""Infer the type system of an XMI file that comes without one.

An element with ``begin`` and ``end`` is an annotation, and each of its attributes a feature. What a
whole number means (a value, or the id of another annotation) only the type system tells: a feature
whose values are all ids of the file is taken for references and left out, but for the two ends of a
relation (``Governor`` and ``Dependent``).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from notesmith.errors import CorpusError, shown_name

_XMI = "{http://www.omg.org/XMI}"
_CAS = "{http:///uima/cas.ecore}"
_ENDS = ("Governor", "Dependent")
_ANCHORS = ("sofa", "begin", "end")
_NAMESPACE = re.compile(r"\{http:///(.*?)\.ecore\}(.+)")
_NO_NAMESPACE = "uima/noNamespace"
_BUILT_IN = "uima.tcas.DocumentAnnotation"


def with_inferred_types(data: bytes, cassis: Any) -> tuple[bytes, Any]:
    """The XMI without features that its types cannot be told of, and its type system.

    Args:
        data: XML without a document type definition.
        cassis: the module.

    Raises:
        CorpusError: it is not XML, or nothing in it is an annotation of text.
    """
    etree = import_module("lxml.etree")
    try:
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise CorpusError(
            f"not well-formed XML 1.0 (line {line}, column {column}); is the file cut off?"
        ) from None
    by_type: dict[str, list[Any]] = {}
    for element in root.iterchildren("*"):
        if not element.tag.startswith((_XMI, _CAS)) and (name := _type_name(element.tag)):
            by_type.setdefault(name, []).append(element)
    if not any("begin" in element.attrib for found in by_type.values() for element in found):
        raise CorpusError("no TypeSystem.xml beside it; INCEpTION exports it in the same zip")
    ids = {element.get(f"{_XMI}id") for element in root.iterchildren("*")}
    types = cassis.TypeSystem()
    with warnings.catch_warnings(action="ignore"):  # Of names that cassis changes for itself.
        for name, elements in by_type.items():
            if name != _BUILT_IN:
                _add_type(types, name, elements, ids)
    return etree.tostring(root), types


def shown_layer(name: str) -> str:
    """A layer for a message; its name is longer than others, and each part is checked alone."""
    parts = name.split(".")
    return name if all(shown_name(part) == part for part in parts) else shown_name(name)


def _type_name(tag: str) -> str | None:
    match = _NAMESPACE.fullmatch(tag)
    if match is None:
        return None
    package = "" if match[1] == _NO_NAMESPACE else match[1].replace("/", ".") + "."
    return package + match[2]


def _add_type(types: Any, name: str, elements: list[Any], ids: set[str | None]) -> None:
    """Make a type with the features that its elements have."""
    is_annotation = all("begin" in e.attrib and "end" in e.attrib for e in elements)
    has_sofa = all("sofa" in e.attrib for e in elements)
    kind = "uima.tcas.Annotation" if is_annotation else "uima.cas.AnnotationBase"
    made = types.create_type(name, kind if has_sofa else "uima.cas.TOP")
    features = {key for e in elements for key in e.attrib if not key.startswith("{")}
    inner = {child.tag for e in elements for child in e.iterchildren("*")}
    if not all(key.isidentifier() for key in features | inner):  # cassis makes Python code of them.
        raise CorpusError("a feature's name is no identifier (letters, digits, _); rename it")
    for key in sorted(features - set(_ANCHORS)):
        values = [e.attrib[key] for e in elements if key in e.attrib]
        if key in _ENDS:
            types.create_feature(made, key, "uima.tcas.Annotation")
        elif all(value in ids for word in values for value in word.split()):
            for e in elements:
                e.attrib.pop(key, None)
        else:
            types.create_feature(made, key, f"uima.cas.{_kind(values)}")
    # A feature with several values is an element for each.
    for key in sorted(inner):
        types.create_feature(made, key, "uima.cas.StringArray")


def _kind(values: Iterable[str]) -> str:
    return "Boolean" if {*values} <= {"true", "false"} else "String"
