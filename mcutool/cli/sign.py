"""Sign an image, so that a firmware that was built with the public key takes it.

What is signed is the image's SHA-256, as imgtool does it, so either can sign and check for the other. With --counter a
board remembers the number when the image is confirmed, and takes no image with a lower one afterwards. A key that lies
elsewhere, say in a hardware security module, signs what --digest gives; --signature puts that into the image.

examples:
  mcutool sign app.mcu --key release.pem                        # app.signed.mcu
  mcutool sign app.mcu --key release.pem --counter 7 -o app7.mcu
  mcutool sign app.mcu --digest -o app.digest                   # 32 bytes for another signer; without -o in hex
  mcutool sign app.mcu --signature app.sig --key release.pub.pem # what it made of them: 64 bytes, or as hex or base64
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mcutool.cli.options import integer


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", metavar="APP.mcu", help="the image, signed or not")
    parser.add_argument("--key", metavar="KEY.pem", help="the private key; with --signature the public one")
    parser.add_argument("--counter", metavar="N", type=_counter, help="a number that grows with each release (32 bits)")
    elsewhere = parser.add_mutually_exclusive_group()
    elsewhere.add_argument("--digest", action="store_true", help="sign nothing, give what is to be signed")
    elsewhere.add_argument("--signature", metavar="FILE", help="put in a signature that was made elsewhere")
    parser.add_argument("-o", dest="output", metavar="OUT", help="the file to write (default: APP.signed.mcu)")
    parser.add_argument("--json", action="store_true", help="print one object")


def _counter(text: str) -> int:
    value = integer(text)
    if value >> 32:
        raise argparse.ArgumentTypeError(f"{text!r} has more than 32 bits")
    return value


def execute(options: argparse.Namespace) -> int:
    from mcutool import program
    from mcutool.image import signing

    image = signing.prepare(options.app, program.read(options.app), options.counter)
    if options.digest:
        return _give_digest(options, image.digest)
    public, signature = signing.signature_of(image.digest, options.key, options.signature)
    output = Path(options.output or Path(options.app).with_suffix(".signed.mcu"))
    program.save_signed(Path(options.app), output, image.signed(public, signature))
    told = {"file": str(output), "digest": image.digest.hex(), "counter": options.counter}
    counter = "" if options.counter is None else f", counter {options.counter}"
    print(json.dumps(told) if options.json else f"{output}: signed{counter}")
    return 0


def _give_digest(options: argparse.Namespace, digest: bytes) -> int:
    from mcutool import program

    if options.output:
        program.write(Path(options.output), digest)
    print(json.dumps({"digest": digest.hex()}) if options.json else digest.hex())
    return 0
