"""A token of SoftHSM2 in a folder of its own."""

import os
import subprocess
from pathlib import Path

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "648219"


def make_token(folder: Path, token: str, *labels: str) -> str:
    """A token with an EC key of each label; how its keys are addressed, without `object`."""
    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    (folder / "tokens").mkdir(parents=True, exist_ok=True)
    conf = folder / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(conf)  # the module reads it when it is loaded
    init = ["softhsm2-util", "--init-token", "--free", "--label", token, "--pin", PIN, "--so-pin", PIN]
    subprocess.run(init, check=True, capture_output=True)
    library = pkcs11.lib(MODULE)
    library.reinitialize()
    with library.get_token(token_label=token).open(rw=True, user_pin=PIN) as session:
        for label in labels:
            curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
            parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
            parameters.generate_keypair(label=label, store=True)
    return f"pkcs11:token={token}?module-path={MODULE}"


def address(token: str, label: str) -> str:
    return token.replace("?", f";object={label}?")
