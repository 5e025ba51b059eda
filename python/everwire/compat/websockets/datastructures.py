"""``websockets.datastructures``: HTTP fields."""

from ...http import Headers, HeadersLike, MultipleValuesError

__all__ = ["Headers", "HeadersLike", "MultipleValuesError"]
