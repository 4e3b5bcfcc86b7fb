"""Signing on the PC: as imgtool does, also with a signature from elsewhere; the private key stays in its file."""

from __future__ import annotations

import base64
import json
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from mcutool.cli import main
from mcutool.errors import UsageError
from mcutool.image import keys, signing
from mcutool.image.format import TLV_PROTECTED_MAGIC, digest_of, parse
from mcutool.image.verify import verify
from tests.attack.roads import Board
from tests.firmware import keyed, programs
from tests.firmware.keyed import OURS, signed

PLAIN = programs.image(programs.op("return"))
ARENA = 8192
PUBLIC = keys.raw_public(OURS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With keys and an image."""
    monkeypatch.chdir(tmp_path)
    assert main(["keygen", "-o", "key.pem"]) == 0
    (tmp_path / "app.mcu").write_bytes(PLAIN)
    return tmp_path


def test_imgtool_takes_what_we_sign(folder: Path) -> None:
    assert main(["sign", "app.mcu", "--key", "key.pem", "--counter", "7"]) == 0
    for key in ("key.pem", "key.pub.pem"):
        assert "correctly validated" in keyed.imgtool("verify", "--key", key, "app.signed.mcu")
    image = (folder / "app.signed.mcu").read_bytes()
    assert signing.counter_of(image) == 7 and parse(image) == parse(PLAIN)
    signing.require_signed("app", image, keys.public_key("key.pub.pem"))


def test_flash_sends_what_is_signed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not is among the mistakes (tests/cli/mistakes.py)."""
    (folder / "app.wat").write_text('(module (func (export "_start")))')
    assert main(["build", "app.wat"]) == 0
    assert main(["sign", "app.mcu", "--key", "key.pem"]) == 0
    for wish in (["--require-signed"], ["--key", "key.pub.pem"], ["--key", "key.pem"]):
        assert main(["flash", "app.signed.mcu", *wish, "--board", "mps2-an386", "--dry-run"]) == 0
    assert capsys.readouterr().out.count("into the module slot") == 3


def test_info_tells_who_signed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "app.wat").write_text('(module (func (export "_start")))')
    assert main(["build", "app.wat"]) == 0
    assert main(["sign", "app.mcu", "--key", "key.pem", "--counter", "7"]) == 0
    name = keys.name_of(keys.public_key("key.pub.pem")).hex()
    told = []
    for file in ("app.mcu", "app.signed.mcu"):
        capsys.readouterr()
        assert main(["info", file, "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out)["signature"])
    assert told == [None, {"key_hash": name, "counter": 7}]
    assert main(["info", "app.signed.mcu"]) == 0
    assert f"with the key {name[:16]}..., counter 7" in capsys.readouterr().out
    assert main(["info", "app.signed.mcu", "--sbom"]) == 0
    facts = json.loads(capsys.readouterr().out)["metadata"]["component"]["properties"]
    assert {"name": "mcutool:signed-with", "value": name} in facts
    assert {"name": "mcutool:counter", "value": "7"} in facts


def test_we_take_what_imgtool_signs(tmp_path: Path) -> None:
    made = keyed.made_by_imgtool(PLAIN, 9, tmp_path)
    assert signing.counter_of(made) == 9 and parse(made).code == parse(PLAIN).code
    signing.require_signed("made", made, PUBLIC)
    assert signing.prepare("made", made, None).hashed == made[: 0x40 + struct.unpack_from("<I", made, 12)[0]].replace(
        struct.pack("<HH", 0x40, 12), struct.pack("<HH", 0x40, 0), 1
    )


@pytest.mark.parametrize("write", [bytes, lambda s: s.hex().encode(), base64.b64encode], ids=["raw", "hex", "base64"])
def test_a_signature_comes_from_elsewhere(write: Callable[[bytes], bytes], folder: Path) -> None:
    assert main(["sign", "app.mcu", "--digest", "--counter", "3", "-o", "digest"]) == 0
    (folder / "signature").write_bytes(write(keys.private_key("key.pem").sign((folder / "digest").read_bytes())))
    words = ["sign", "app.mcu", "--counter", "3", "--signature", "signature", "--key", "key.pub.pem", "-o", "there.mcu"]
    assert main(words) == 0
    assert main(["sign", "app.mcu", "--counter", "3", "--key", "key.pem", "-o", "here.mcu"]) == 0
    assert (folder / "there.mcu").read_bytes() == (folder / "here.mcu").read_bytes()
    assert main([*words[:3], "4", *words[4:]]) == UsageError.exit_code, "it is for another counter"


def test_signing_again_takes_the_place_of_a_signature() -> None:
    twice = signing.prepare("image", signed(PLAIN, 5), 6)
    assert twice.hashed == signing.prepare("image", PLAIN, 6).hashed
    assert digest_of(signed(PLAIN)) == digest_of(PLAIN) == PLAIN[-32:]


def test_the_private_key_stays_in_its_file(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = (folder / "key.pem").read_text()
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert main(["keygen", "-o", "key.pem"]) == UsageError.exit_code and (folder / "key.pem").read_text() == text
    assert main(["sign", "app.mcu", "--key", "key.pem", "--json"]) == 0
    assert main(["keygen", "-o", "other.pem", "--json"]) == 0
    with pytest.raises(UsageError, match="holds a private key"):
        keys.public_key("key.pem")
    said, secret = "".join(capfd.readouterr()), keys.private_key("key.pem").private_bytes_raw()
    written = [said.encode(), (folder / "app.signed.mcu").read_bytes(), (folder / "key.pub.pem").read_bytes()]
    for spelling in (secret, secret.hex().encode(), base64.b64encode(secret), text.splitlines()[1].encode()):
        assert not [data for data in written if spelling in data]


def test_a_map_goes_with_the_signed_image(folder: Path) -> None:
    (folder / "app.map.json").write_text('{"functions": [[0, "f", 0, 1]]}')
    assert main(["sign", "app.mcu", "--key", "key.pem"]) == 0
    assert "functions" in (folder / "app.signed.map.json").read_text()


def test_protected_tlvs_are_looked_at_alike_by_board_and_twin() -> None:
    road = Board("mps2-an386")
    good = signed(PLAIN, 7)
    place = good.index(struct.pack("<HH", TLV_PROTECTED_MAGIC, 12))
    images = [good, good[: place + 2], good[: place + 14]]
    images += [_with(good, 10, size) for size in (0, 4, 11, 13, 0xFFFF)]  # as the header says
    images += [_with(good, place, magic) for magic in (0, 0x6907)]
    images += [_with(good, place + 2, size) for size in (0, 8, 400)]
    for image in images:
        answer = road.offer(image, ARENA).verdict
        assert answer == verify(image, road.surroundings(ARENA))
        assert (answer.fault == "") == (image == good)


def _with(image: bytes, place: int, halfword: int) -> bytes:
    return image[:place] + struct.pack("<H", halfword) + image[place + 2 :]
