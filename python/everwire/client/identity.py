"""TLS without the certificate of one's own that it may show: for an origin that the certificate is not meant for."""

from __future__ import annotations

import ssl
from pathlib import Path

from ..tls import TLS
from ..tls import without_identity as tls_without_identity

__all__ = ["without_identity"]

NOBODY = Path(__file__).with_name("nobody.pem")
"""Certificate and key of a server that is never more than an object in memory: they guard nothing."""


def without_identity(tls: TLS | ssl.SSLContext) -> TLS | ssl.SSLContext:
    """The same trust, and no certificate of one's own.

    An :class:`ssl.SSLContext` that has one is made anew with its authorities (the system's, if none are loaded), and with what else
    it tells of its checks. What it does not tell is not taken over: certificates that are trusted and are no authorities, ALPN,
    callbacks. Whoever would be trusted by those alone is refused.
    """
    if isinstance(tls, TLS):
        return tls_without_identity(tls)
    return _copy(tls) if shows_certificate(tls) else tls


def shows_certificate(context: ssl.SSLContext) -> bool:
    """Whether a context has a certificate to show. It does not tell; a server that asks for one in memory finds out.

    Of a subclass nobody knows what it does when, so it counts as one that has.
    """
    if type(context) is not ssl.SSLContext:
        return True
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    asking.load_cert_chain(NOBODY)
    asking.verify_mode = ssl.CERT_REQUIRED  # and nobody is trusted
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server)
    # From here on it shows what that context would; whom it trusts was settled before.
    client.context = context
    server = asking.wrap_bio(to_server, to_client, server_side=True)
    try:
        # Two flights each; what has not come to an end by then never will.
        for side in (client, server) * 4:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    except ssl.SSLCertVerificationError:
        return True
    except ssl.SSLError as error:
        return error.reason != "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    return True


def _copy(context: ssl.SSLContext) -> ssl.SSLContext:
    copy = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    copy.check_hostname = False  # or verify_mode could not be set
    copy.verify_mode = context.verify_mode
    copy.check_hostname = context.check_hostname
    copy.verify_flags = context.verify_flags
    copy.options = context.options
    copy.minimum_version, copy.maximum_version = context.minimum_version, context.maximum_version
    copy.hostname_checks_common_name = context.hostname_checks_common_name
    ciphers = [cipher["name"] for cipher in context.get_ciphers()]
    copy.set_ciphers(":".join([*ciphers, f"@SECLEVEL={context.security_level}"]))
    if context.cert_store_stats()["x509"] == 0:
        # Directories are looked into when somebody is to be checked; those of the system are the only ones that are usual.
        copy.load_default_certs()
    elif authorities := context.get_ca_certs(binary_form=True):
        copy.load_verify_locations(cadata=b"".join(authorities))
    return copy
