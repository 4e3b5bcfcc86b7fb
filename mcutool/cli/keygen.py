"""Make a pair of keys: the private one signs images on this computer, the public one goes into firmware.

KEY.pem is for its owner's eyes only and is never written over; KEY.pub.pem, beside it, may be known to all. Both hold
Ed25519 keys as PEM, which imgtool and OpenSSL take too.

examples:
  mcutool keygen -o release.pem                                 # release.pem and release.pub.pem
  mcutool keygen -o release.pem --json                          # for a script
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", dest="output", metavar="KEY.pem", required=True, help="the file of the private key")
    parser.add_argument("--json", action="store_true", help="print one object")


def execute(options: argparse.Namespace) -> int:
    from mcutool.image import keys

    public = keys.generate(Path(options.output))
    name = keys.name_of(keys.public_key(public)).hex()
    if options.json:
        print(json.dumps({"private": options.output, "public": str(public), "key_hash": name}))
        return 0
    print(f"private key  {options.output}, which never leaves this computer: keep a copy where nobody reads it")
    print(f"public key   {public}, hash {name[:16]}...")
    print(f"firmware     python firmware_runtime/build.py --key {public} BOARD")
    return 0
