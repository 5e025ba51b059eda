"""What HTTP brings: header fields, the heads of the opening handshake, URLs, origins."""

from .headers import Headers, HeadersLike, MultipleValuesError
from .messages import Request, Response, accept_key, parse_response, plain_response
from .origins import Origins
from .url import FORBIDDEN, URL, parse_url

__all__ = [
    "FORBIDDEN",
    "URL",
    "Headers",
    "HeadersLike",
    "MultipleValuesError",
    "Origins",
    "Request",
    "Response",
    "accept_key",
    "parse_response",
    "parse_url",
    "plain_response",
]
