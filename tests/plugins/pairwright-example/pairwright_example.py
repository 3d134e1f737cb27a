"""The smallest useful annotator: it asks no model and counts words."""

from __future__ import annotations

from pairwright.annotators.base import Annotating, Annotation, Annotator, AnnotatorConfig, Group


class WordCountConfig(AnnotatorConfig):
    """Settings of `WordCount`: words beyond `at_most` do not count."""

    at_most: int = 1000


class WordCount(Annotator[WordCountConfig]):
    """Scores a response by its number of words; an empty one gets `empty_response`."""

    Config = WordCountConfig

    def roles(self) -> dict[str, frozenset[str]]:
        return {}

    def annotate(self, group: Group) -> Annotating:
        yield from ()  # nothing to ask, but still a generator
        annotations = []
        for r in group.responses:
            words = min(len(r.text.split()), self.config.at_most)
            annotations.append(Annotation(r.id, float(words)) if words else Annotation(r.id, reason="empty_response"))
        return annotations
