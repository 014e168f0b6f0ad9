"""PKCS#8 under a passphrase: PBES2 with scrypt and AES-256 (RFC 8018, RFC 7914).

The library writes PBKDF2 with 2048 rounds, which a stolen file would not withstand; it reads scrypt, as OpenSSL does.
The costs are scrypt's largest that OpenSSL takes without being told (16 MiB), eight times.
"""

import secrets
from base64 import b64encode
from textwrap import wrap

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7

N, R, P = 2**14, 8, 8
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")
_SEQUENCE, _OCTETS, _INTEGER = 0x30, 0x04, 0x02


def covered(der: bytes, passphrase: bytes) -> bytes:
    """A private key (PKCS#8, DER) as PEM that the passphrase opens."""
    salt, start = secrets.token_bytes(16), secrets.token_bytes(16)
    key = Scrypt(salt, 32, N, R, P).derive(passphrase)
    padding = PKCS7(128).padder()
    cipher = Cipher(AES256(key), CBC(start)).encryptor()
    secret = cipher.update(padding.update(der) + padding.finalize()) + cipher.finalize()
    costs = b"".join(_der(_INTEGER, cost.to_bytes(cost.bit_length() // 8 + 1)) for cost in (N, R, P))
    derivation = _der(_SEQUENCE, _SCRYPT + _der(_SEQUENCE, _der(_OCTETS, salt) + costs))
    scheme = _der(_SEQUENCE, derivation + _der(_SEQUENCE, _AES_256_CBC + _der(_OCTETS, start)))
    whole = _der(_SEQUENCE, _der(_SEQUENCE, _PBES2 + scheme) + _der(_OCTETS, secret))
    lines = "\n".join(wrap(b64encode(whole).decode(), 64))
    return f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{lines}\n-----END ENCRYPTED PRIVATE KEY-----\n".encode()


def _der(tag: int, content: bytes) -> bytes:
    """One element (X.690, 8.1); what we write is shorter than 64 KiB."""
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content
