"""``websockets.datastructures``: HTTP fields."""

from ...headers import Headers, HeadersLike, MultipleValuesError

__all__ = ["Headers", "HeadersLike", "MultipleValuesError"]
