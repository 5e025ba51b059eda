"""``websockets.extensions``: only permessage-deflate; extensions of one's own are not offered."""
