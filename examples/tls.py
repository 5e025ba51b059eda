"""TLS in the core: ``wss://`` with a certificate that is made on the spot, and is good for this machine and one day.

It prints the command with which client.py trusts it. Browsers warn about it, as they should.

Usage: tls.py [PORT]
"""

import asyncio
import contextlib
import datetime
import sys
import tempfile
from pathlib import Path

from everwire import TLS, ServerConnection, serve

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
except ModuleNotFoundError:
    sys.exit("This example makes its certificate with the package cryptography: pip install cryptography")


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


def make_certificate(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.touch(mode=0o600)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


async def main(port: int = 8765) -> None:
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        make_certificate(certificate, key)
        async with serve(echo, "127.0.0.1", port, ssl=TLS(certificate, key)) as server:
            url = f"wss://localhost:{server.sockets[0].getsockname()[1]}/"
            print(url, flush=True)
            print(f"SSL_CERT_FILE={certificate} python examples/client.py {url} hello", flush=True)
            await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*map(int, sys.argv[1:])))
