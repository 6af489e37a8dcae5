"""Certificates and signed tokens of an authority that only the sandbox and its clients trust."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import ssl
import time
import uuid
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ADDRESSES = tuple(ipaddress.ip_address(address) for address in ("127.0.0.1", "::1"))
KEY_FILE_VARIABLE = "TEST_AUTHORITY"
DAY = datetime.timedelta(days=1)


class CertificateAuthority:
    """A certificate authority.

    `bundle` is the file for REQUESTS_CA_BUNDLE and for a registry's `rootcertbundle`.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "Emulated Azure",
        key: ec.EllipticCurvePrivateKey | None = None,
    ) -> None:
        self._folder = folder
        self._key = key or ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = self._issue(name, self._key.public_key(), is_authority=True)
        self.bundle = folder / f"{_file_name(name)}.pem"
        self.bundle.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    @classmethod
    def load_or_create(cls, folder: Path) -> CertificateAuthority:
        """Return the authority that an engine of the tests trusts, or a new one.

        TEST_AUTHORITY names the file with its key, because an engine reads certificates only at its
        start.
        """
        path = os.environ.get(KEY_FILE_VARIABLE)
        if not path:
            return cls(folder)
        key = load_pem_private_key(Path(path).read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(folder, key=key)

    def save_key(self, path: Path) -> None:
        """Write the key of this authority to `path`, for `load_or_create`."""
        path.write_bytes(_to_pem(self._key))

    def server(self) -> ssl.SSLContext:
        """Return a TLS context with a new certificate for this machine's own addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), *(x509.IPAddress(address) for address in ADDRESSES)]
        certificate = self._issue(
            "localhost",
            key.public_key(),
            x509.SubjectAlternativeName(names),
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        )
        # The context can only read certificates from files.
        pem = self._folder / f"{uuid.uuid4().hex}.pem"
        pem.write_bytes(certificate.public_bytes(Encoding.PEM) + _to_pem(key))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(pem)
        pem.unlink()
        return context

    def client(self, folder: Path, name: str = "client") -> None:
        """Write the docker command's client certificate to `folder`: ca.pem, cert.pem, key.pem."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = self._issue(name, key.public_key(), purpose)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "ca.pem").write_bytes(self.bundle.read_bytes())
        (folder / "cert.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        (folder / "key.pem").write_bytes(_to_pem(key))

    def signing_key(self, issuer: str) -> SigningKey:
        """Return a key that signs tokens as `issuer`, with a certificate of this authority."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        certificate = self._issue(issuer[:64], key.public_key())
        return SigningKey(issuer, key, certificate.public_bytes(Encoding.DER))

    def _issue(
        self,
        name: str,
        public: CertificateIssuerPublicKeyTypes,
        *extensions: x509.ExtensionType,
        is_authority: bool = False,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        own_key = self._key.public_key()
        limits = x509.BasicConstraints(is_authority, path_length=0 if is_authority else None)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 30 * DAY)
            .add_extension(limits, critical=True)
            .add_extension(_usage(certificates=is_authority), critical=True)
        )
        for extension in (
            # Python 3.13 and Go verify strictly, which requires both key identifiers.
            x509.SubjectKeyIdentifier.from_public_key(public),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(own_key),
            *extensions,
        ):
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256())


class SigningKey:
    """A key that signs tokens (RS256) as one issuer, and verifies them."""

    def __init__(self, issuer: str, key: rsa.RSAPrivateKey, certificate: bytes) -> None:
        self.issuer = issuer
        self._key = key
        self._chain = [base64.b64encode(certificate).decode()]

    def sign(self, claims: dict[str, Any], lifetime: float) -> str:
        """Return a token of `claims` that is valid for `lifetime` seconds from now.

        Times, issuer and id are added unless `claims` has them. The header contains the certificate
        (x5c), by which a registry trusts the token.
        """
        now = int(time.time())
        defaults = {
            "iss": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": int(time.time() + lifetime),
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode({**defaults, **claims}, self._key, "RS256", headers={"x5c": self._chain})

    def read(self, token: str, audience: str, grace: float = 0) -> dict[str, Any]:
        """Return the claims of a valid token that this key signed for `audience`.

        It is accepted for `grace` seconds after its end. Raise `jwt.InvalidTokenError`.
        """
        return jwt.decode(
            token,
            self._key.public_key(),
            algorithms=["RS256"],
            audience=audience,
            issuer=self.issuer,
            leeway=grace,
            options={"require": ["exp", "iat", "aud", "iss"]},
        )


def _to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _usage(certificates: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _file_name(name: str) -> str:
    return name.lower().replace(" ", "-")
