"""What lies on a stick of a bundle that was made, for the console's archive: as `otaru bundle export` writes it."""

import json

from otaru.apps.console.stick import Stick
from otaru.apps.server.api.models.bundles import MadeOut
from otaru.domain.ids import Sha256
from otaru.protocols.bundle import BUNDLES, DIRECTOR, DOCUMENT, FILES, IMAGE, KIND, PROOF, REQUEST
from otaru.services.control.bundles import Made


def written(made: Made) -> Stick:
    """A bundle's files by their names on the stick. What still needs signatures has a request in its document's place."""
    told = MadeOut.made(made)
    folder = f"{BUNDLES}/{told.id}"
    small = [(f"{folder}/{one.file}", one.content.encode()) for one in told.orders]
    for name, files in ((IMAGE, told.image), (DIRECTOR, told.director)):
        small += [(f"{folder}/{name}/{file}", content.encode()) for file, content in files.items()]
    small += [(f"{folder}/{PROOF}", told.proof.encode())] if told.proof else []
    document = (f"{folder}/{DOCUMENT}", json.dumps(told.document).encode())
    if told.missing is not None:
        missing = [{**told.missing.model_dump(mode="json"), "role": KIND}]
        request = {"metadata": {}, "missing": missing, "bundle": told.document}
        document = (f"{folder}/{REQUEST}", json.dumps(request, indent=1).encode())
    files_ = [(f"{FILES}/{one.sha256}", Sha256(one.sha256), one.size) for one in told.files]
    return Stick(files_, small, [document])
