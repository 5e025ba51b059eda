"""What HTTP brings: header fields, the heads of the opening handshake, URLs, origins."""

from .headers import Headers, HeadersLike, MultipleValuesError
from .messages import Request, Response, accept_key, parse_response, plain_response
from .origins import Origins
from .secrets import hidden_choice, hidden_field, hidden_subprotocols, hidden_text, hidden_url, secrets_among
from .url import FORBIDDEN, URL, is_loopback, parse_url

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
    "hidden_choice",
    "hidden_field",
    "hidden_subprotocols",
    "hidden_text",
    "hidden_url",
    "is_loopback",
    "parse_response",
    "parse_url",
    "plain_response",
    "secrets_among",
]
