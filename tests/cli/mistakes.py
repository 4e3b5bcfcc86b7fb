"""THE TABLE OF MISTAKES: what a person did, and what the command line says to it.

One row one mistake: what was done, the command line (what its words name is made in situations.py), the exit code, a
regular expression for the message and one for what to do next. This file decides what people are told; it refuses to
know how the rows are walked (test_mistakes.py).
"""

from __future__ import annotations

from typing import NamedTuple


class Mistake(NamedTuple):
    """One row."""

    did: str
    command: str
    code: int
    says: str
    advice: str


MISTAKES = [
    Mistake(*row)
    for row in [
        # --- the command line -----------------------------------------------------------------------------------------
        ("misspelt a command", "biuld add.wasm", 2, "no command 'biuld'", "did you mean build"),
        ("forgot the command", "--board microbit", 2, "'--board'", "build, run"),
        ("named no module", "build", 2, "required: APP", "mcutool build --help"),
        ("misspelt an option", "build add.wasm --bord microbit", 2, "--bord", "did you mean --board"),
        ("gave a size in words", "build add.wasm --memory much", 2, "'much' is not a number", "--help"),
        ("gave a negative size", "build add.wasm --stack -5", 2, "'-5' is negative", "--help"),
        ("asked for an unknown stage", "build add.wasm --dump nosuch", 2, "no stage 'nosuch'", "bytecode"),
        ("misspelt a board", "build add.wasm --board stm32f406", 2, "'stm32f406'", "did you mean stm32f405"),
        ("asked for an unknown board", "boards nosuch", 2, "no board is called 'nosuch'", "microbit"),
        ("emulated an unknown board", "emulate nosuch", 2, "no board is called 'nosuch'", "microbit"),
        ("gave ports an argument", "ports /dev/ttyUSB0", 2, "unrecognized arguments: /dev/ttyUSB0", "ports --help"),
        ("gave a variable without a value", "run add.wasm --env HOME", 2, "'HOME' is not of the form K=V", "--help"),
        ("gave no time at all", "run loop.wasm --timeout 0", 2, "'0' is not longer than nothing", "--help"),
        ("gave a negative time", "run loop.wasm --timeout -1", 2, "'-1' is not longer than nothing", "--help"),
        ("gave negative fuel", "run loop.wasm --fuel -1", 2, "'-1' is negative", "--help"),
        ("gave no speed at all", "flash add.wasm --port board --baud 0", 2, "'0' is not more than nothing", "--help"),
        ("asked for an unknown shell", "completion nosuch", 2, "nosuch", "--help"),
        ("gave a long variable", f"run exit.wasm --env A={'x' * 300}", 8, "take 313 bytes", "standard input"),
        ("gave a variable that is no text", "run exit.wasm --env A=\udcff", 2, "is no UTF-8", "run --help"),
        ("gave an argument that is no text", "run exit.wasm -- \udcff", 2, "is no UTF-8", "run --help"),
        # --- what is called -------------------------------------------------------------------------------------------
        ("ran a library", "run add.wasm", 2, "exports no function '_start'", "--invoke F; it exports add, float, trap"),
        ("called nothing", "run add.wasm --invoke", 2, "--invoke: expected one argument", "run --help"),
        ("called an unknown function", "run add.wasm --invoke sub 1", 2, "exports no function 'sub'", "it exports add"),
        ("forgot an argument", "run add.wasm --invoke add 1", 2, r"takes 2 arguments \(i32 i32\), 1 ", "one value"),
        ("gave too many arguments", "run add.wasm --invoke add 1 2 3", 2, "takes 2 arguments .*, 3 ", "one value"),
        (
            "gave a float for an integer", "run add.wasm --invoke add 1 1.5",
            2, "'1.5' is not a value of type i32", "hex",
        ),
        ("gave a number too large", "run add.wasm --invoke add 1 0x1ffffffff", 2, "'0x1ffffffff' is not .* i32", "hex"),
        ("gave a float too large", "run add.wasm --invoke float 1e39 1", 2, "'1e39' is not a value of type f32", "inf"),
        ("gave a word for a number", "run add.wasm --invoke add 1 two", 2, "unrecognized arguments: two", "run --help"),
        # --- files that are not there or are something else -----------------------------------------------------------
        ("named a missing file", "build missing.wasm", 2, "cannot read missing.wasm: No such file", "name of the file"),
        ("ran a missing file", "run missing.wasm", 2, "cannot read missing.wasm: No such file", "name of the file"),
        ("looked at a missing file", "info missing.wasm", 2, "cannot read missing.wasm", "name of the file"),
        ("listed a missing file", "disasm missing.mcu", 2, "cannot read missing.mcu", "name of the file"),
        ("flashed a missing file", "flash no.hex --board stm32f405", 2, "cannot read no.hex", "name of the file"),
        ("tested a missing script", "wast no.wast", 2, "there is no file no.wast", "name .wast files"),
        ("named a folder", "build folder", 2, "cannot read folder: Is a directory", "name of the file"),
        (
            "named links in a circle", "build circle.wasm",
            2, "circle.wasm: Too many levels of symbolic links", "name of",
        ),
        ("named an empty file", "build empty.wasm", 13, "empty.wasm: the file is empty", "compile it again"),
        ("named an empty text", "build empty.wat", 13, "empty.wat: the file is empty", "compile it again"),
        ("ran an empty image", "run empty.mcu", 13, "empty.mcu: the file is empty", "compile it again"),
        ("named notes", "build notes.wasm", 13, "notes.wasm: .*no WebAssembly file .*offset 0x0", "name a .wasm"),
        (
            "named a text as binary", "build text.wasm",
            13, "text.wasm: .*no WebAssembly file", "rename text.wasm to text.wat",
        ),
        ("named a program of the PC", "build program.wasm", 13, "program.wasm: .*no WebAssembly", "wasm32"),
        ("named a component", "build component.wasm", 13, "a component, and only core modules .*0x4", "core module"),
        ("named a later version", "info version2.wasm", 13, "unknown binary version .*0x4", "compile it again"),
        # --- keys and signatures --------------------------------------------------------------------------------------
        ("gave a key no name", "keygen", 2, "required: -o", "keygen --help"),
        ("made a key twice", "keygen -o release.pem", 2, "release.pem exists already", "another name with -o"),
        ("named a private key as a public one", "keygen -o a.pub.pem", 2, "name of a public key", "KEY.pem"),
        ("signed what was cut off", "sign cut.mcu --key release.pem", 2, "ends too early", "build it again"),
        ("signed without a key", "sign add.mcu", 2, "which key", "name it with --key; .*keygen"),
        ("signed with the public key", "sign add.mcu --key release.pub.pem", 2, "holds no private key", "keygen -o"),
        ("signed with a missing key", "sign add.mcu --key no.pem", 2, "cannot read no.pem", "name of the file"),
        ("signed with no key at all", "sign add.mcu --key add.wasm", 2, "add.wasm holds no private key", "keygen"),
        ("signed a module", "sign add.wasm --key release.pem", 2, "add.wasm is no image", "mcutool build"),
        ("gave a counter too large", "sign add.mcu --counter 0x100000000", 2, "more than 32 bits", "sign --help"),
        (
            "brought no signature", "sign add.mcu --key release.pub.pem --signature add.wasm",
            2, "add.wasm is no signature: it should be 64 bytes", "sign --digest",
        ),
        (
            "brought a wrong signature", "sign add.mcu --key release.pub.pem --signature wrong.sig",
            2, "does not fit the image and the key", "the same image and --counter",
        ),
        (
            "flashed what is not signed", "flash add.mcu --require-signed --board stm32f405",
            2, "add.mcu is not signed", "mcutool sign",
        ),
        (
            "flashed a module where it must be signed", "flash add.wasm --key release.pub.pem --board stm32f405",
            2, "add.wasm is not signed", "mcutool sign",
        ),
        (
            "flashed what another has signed", "flash signed.mcu --key release.pub.pem --board stm32f405",
            2, "signed.mcu is not signed with this key", "the key's private half",
        ),
        # --- modules that are wrong -----------------------------------------------------------------------------------
        (
            "copied a part of a module", "build cut.wasm",
            13, "cut.wasm: .*unexpected end .*offset 0x", "compile it again",
        ),
        ("wrote a number too long", "build long_number.wasm", 13, "representation too long .*0x9", "compile it again"),
        ("swapped two sections", "build section_order.wasm", 13, "after last section.*offset 0xb", "compile it again"),
        ("promised a result", "build ill_typed.wasm", 13, "type mismatch.*function 0.*offset 0x18", "compile it again"),
        (
            "ran an invalid module", "run ill_typed.wasm",
            13, "type mismatch.*function 0.*offset 0x18", "compile it again",
        ),
        ("gave a name twice", "info two_memories_exported.wasm", 13, "duplicate export name.*0x", "compile it again"),
        (
            "misspelt an instruction", "build misspelt.wat",
            13, "misspelt.wat: .*line 3, column 5: unknown", "mend the text",
        ),
        ("saved text as Latin-1", "build latin1.wat", 13, "latin1.wat: .*position 6 is no UTF-8", "save .* UTF-8"),
        # --- modules that are right, but not for us -------------------------------------------------------------------
        ("used vectors", "build simd.wasm", 14, "not supported: SIMD .*offset 0x17", "without this feature"),
        ("used 64-bit memory", "build memory64.wasm", 14, "not supported: memory64 .*0xb", "without this feature"),
        (
            "used garbage collection", "run gc.wasm",
            14, "not supported: garbage collection .*0xb", "without this feature",
        ),
        ("shared memory", "build shared.wasm", 14, "not supported: threads .*0xb", "without this feature"),
        ("used atomics", "build atomic.wasm", 14, "not supported: threads .*0x1e", "without this feature"),
        ("imported from the browser", "build import_module.wasm", 14, 'unknown import: .*"env" "log"', "boards offer"),
        ("imported sockets", "run import_name.wasm", 14, 'unknown import: .*"sock_bind"', "boards offer"),
        ("imported another type", "build import_type.wasm", 14, 'import type: .*"fd_write" is', "declare the import"),
        ("imported a memory", "build import_memory.wasm", 14, 'unknown import: memory "env" "memory"', "boards offer"),
        (
            "granted something else", "flash hello.wasm --grant gpio --board stm32f405 --dry-run",
            14, "not granted: wasi_snapshot_preview1.fd_write needs console", "--grant console,gpio",
        ),
        (
            "granted an image something else", "run hello.mcu --grant clock",
            14, "hello.mcu: import not granted: .*fd_write", "--grant console,clock",
        ),
        ("misspelt a capability", "build add.wasm --grant gpoi", 2, "'gpoi' is no capability", "build --help"),
        ("returned 300 values", "build many_results.wasm", 14, "f: results.*more than 248 slots", "memory"),
        ("declared 2^32 locals", "build locals_4g.wasm", 14, "more than 50000 local variables .*0x", "without this"),
        ("asked for 4 GiB", "build memory_4g.wasm", 8, "4294967296 bytes of linear memory", "more RAM"),
        ("asked a small board for 1 MiB", "run memory_1m.wasm --board microbit", 8, "1048576 bytes", "more RAM"),
        ("asked for a table of 16 GB", "info table_4g.wasm", 8, "bytes of RAM more than mps2-an386 has", "more RAM"),
        (
            "had too much data", "flash data.wasm --board stm32f405 --port board",
            8, r"\d+ bytes, the slot of stm32f405", "more flash",
        ),
        # --- hostile modules ------------------------------------------------------------------------------------------
        ("counted to 2^32", "build count_4g.wasm", 13, "unexpected end .*offset 0x10", "compile it again"),
        ("imported an escape sequence", "build escape_import.wasm", 14, r'"env" "\\u\{1b\}\[2J"', "boards offer"),
        ("named a function so", "run escape_name.wasm", 134, r"unreachable(.|\n)*in \\u\{1b\}\[2J", ""),
        # --- images ---------------------------------------------------------------------------------------------------
        ("copied a part of an image", "run cut.mcu", 13, "cut.mcu: the image is cut off", "build it again"),
        (
            "flipped a bit of an image", "run flipped.mcu",
            13, "flipped.mcu: .*damaged: its hash is wrong", "build it again",
        ),
        ("flashed a damaged image", "flash flipped.mcu --port board", 13, "its hash is wrong", "build it again"),
        ("got an image of a newer tool", "info newer.mcu", 13, r"newer.mcu: .*ISA \d+, .* ISA \d+", "newer mcutool"),
        (
            "flashed an image of a newer tool", "flash newer.mcu --port board",
            13, "newer.mcu: its bytecode is of ISA", "newer mcutool",
        ),
        ("got an image of a newer format", "run newer_format.mcu", 13, "another format", "build it again"),
        ("got an image with a new feature", "run newer_feature.mcu", 13, "a feature that", "newer mcutool"),
        (
            "resized an image", "run add.mcu --memory 100",
            2, "add.mcu is an image, whose sizes are fixed", "when it is built",
        ),
        ("asked an image for its stages", "build add.mcu --dump ir", 2, "past all stages", "mcutool disasm"),
        (
            "took a larger board's image", "run memory_1m.mcu --board microbit",
            8, "bytes of RAM, microbit has", "microbit",
        ),
        ("damaged a map", "info lost_map.mcu", 2, "lost_map.map.json is no map", "delete the map"),
        (
            "damaged a map's contents", "run wrong_map.mcu --invoke trap",
            2, "wrong_map.map.json is no map", "delete the map",
        ),
        # --- where results go -----------------------------------------------------------------------------------------
        ("built into a missing folder", "build add.wasm -o no/add.mcu", 2, "cannot write no/add.mcu: No such", "-o"),
        ("built into a folder", "build add.wasm -o folder", 2, "cannot write folder: Is a directory", "-o"),
        ("built onto a full disk", "build add.wasm -o /dev/full", 2, "/dev/full: No space left on device", "-o"),
        ("made an image without a board", "image add.wasm -o add.hex", 2, "which board", "--board"),
        ("made too large an image", "image data.wasm --board stm32f405 -o x.hex", 8, "the slot of stm32f405", "flash"),
        ("made an image of no format", "image add.wasm --board microbit -o add.img", 2, "add.img", ".uf2"),
        ("made an image nowhere", "image add.wasm --board microbit -o no/add.hex", 2, "cannot write no/add.hex", "-o"),
        # --- raw files for the ROM bootloader -------------------------------------------------------------------------
        (
            "edited a HEX file", "flash checksum.hex --board stm32f405",
            2, "checksum.hex is damaged: line 1", "make it again",
        ),
        ("cut a HEX file", "flash no_end.hex --board stm32f405", 2, "no_end.hex .*no end record", "make it again"),
        ("scribbled in a HEX file", "flash letters.hex --board stm32f405", 2, "letters.hex .*line 1", "make it again"),
        (
            "flashed a program of the PC", "flash pc.elf --board stm32f405",
            2, "pc.elf .*not for Arm but for x64", "make it again",
        ),
        ("cut an ELF file", "flash cut.elf --board stm32f405", 2, "cut.elf is damaged: it is cut off", "make it again"),
        (
            "flashed an ELF of nothing", "flash no_segments.elf --board stm32f405",
            2, "no_segments.elf .*nothing", "make it",
        ),
        ("flashed an empty file", "flash empty.hex --board stm32f405", 2, "empty.hex .*nothing", "make it"),
        ("took another chip's UF2", "flash rp2040.uf2 --board stm32f405", 7, "RP2040, not for STM32F4", "this chip"),
        ("cut a UF2 file", "flash cut.uf2 --board stm32f405", 2, "cut.uf2 is damaged: it is cut off", "make it again"),
        ("gave a BIN no address", "flash raw.bin --board stm32f405", 2, "does not say where", "--address A"),
        (
            "gave an address in RAM", "flash raw.bin --address 0x20000000 --board stm32f405",
            8, "256 bytes at 0x20000000 do not fit", "address",
        ),
        (
            "flashed more than there is", "flash huge.bin --address 0x08000000 --board stm32f405",
            8, "2097152 bytes at 0x08000000 do not fit", "smaller",
        ),
        ("gave a module an address", "flash add.wasm --address 0 --port board", 2, "--address", "leave it out"),
        ("gave a place that is not there", "flash add.wasm --port board --image 4", 2, "image 4", "--image 0 to 3"),
        (
            "gave the runtime a place", "flash --runtime --board stm32f405 --image 1 --dry-run",
            2, "--image, --trial and --replace are for a module", "leave them out",
        ),
        (
            "gave a far place beside the runtime", "flash add.wasm --runtime --board stm32f405 --image 9 --dry-run",
            2, "stm32f405 has no image 9", "--image 0 to 3",
        ),
        ("activated nothing", "modules activate --port board", 2, "activate which one", "modules list"),
        ("set a long argument", f"modules set --arg {'x' * 300} --port board", 8, "take 301 bytes", "give .* less"),
        ("removed what is not there", "modules remove 12 --port board", 2, "nothing .* begins with 12", "modules list"),
        ("flashed nothing", "flash --board stm32f405", 2, "nothing to install", "--runtime"),
        ("flashed a runtime nowhere", "flash --runtime", 2, "which board", "mcutool boards"),
        ("flashed a raw file nowhere", "flash raw.bin --address 0", 2, "which board", "mcutool boards"),
        ("ran on a board without runtime", "run add.wasm --board arduino-zero", 14, "no runtime for", "raw"),
        (
            "flashed a board without a ROM", "flash --runtime --board mps2-m0",
            2, "has no bootloader or drive", "how it is done",
        ),
        (
            "flashed a board without its drive", "flash --runtime --board microbit",
            3, "no drive called MICROBIT", "connect the USB cable: .*--port FOLDER",
        ),
        ("flashed both", "flash raw.bin --runtime --board stm32f405", 2, "both", "one of them"),
        # --- ports ----------------------------------------------------------------------------------------------------
        ("connected nothing", "flash add.wasm", 3, "no serial port found", "connect the board"),
        ("watched nothing", "monitor", 3, "no serial port found", "connect the board"),
        ("named a missing port", "monitor --port nosuch", 3, "cannot open nosuch: No such file", "mcutool ports"),
        ("ran on a missing port", "run exit.wasm --port nosuch", 3, "cannot open nosuch", "mcutool ports"),
        (
            "brought up a missing port", "bringup --board stm32f405 --port nosuch",
            3, "cannot open nosuch", "mcutool ports",
        ),
        ("may not open a port", "monitor --port forbidden", 4, "no permission to open forbidden", "adduser .* dialout"),
        ("uses a port twice", "monitor --port busy", 5, "busy is in use by another program", "ModemManager"),
        ("flashes a port in use", "flash add.wasm --board stm32f405 --port busy", 5, "in use", "close the program"),
        ("took a file for a port", "monitor --port file", 3, "file is no serial port", "mcutool ports"),
        ("took a folder for a port", "monitor --port directory", 3, "directory.*Is a directory", "mcutool ports"),
        ("misspelt a URL", "monitor --port rcf2217://localhost:1", 2, "protocol 'rcf2217' not known", "mcutool ports"),
        ("forgot half of a URL", "monitor --port rfc2217://", 2, "rfc2217:// is no .*URL", "rfc2217://HOST:PORT"),
        ("stopped the server", "monitor --port rfc2217://127.0.0.1:1", 3, "cannot open .*Connection refused", "server"),
        ("gave a wrong pattern", "monitor --port board --until (", 2, r"--until: .*unterminated subpattern", "--help"),
        (
            "waits for what never comes", "monitor --port board --until never --timeout 1",
            6, "'never' did not", "output",
        ),
        # --- boards that do not answer as they should -----------------------------------------------------------------
        (
            "flashed a silent board", "flash hello.wasm --port board-without-runtime",
            6, "does not answer SMP", "--runtime",
        ),
        ("ran on a silent board", "run hello.wasm --port board-without-runtime", 6, "does not answer SMP", "--runtime"),
        ("flashed noise", "flash hello.wasm --port noise", 6, "does not answer SMP", "--runtime"),
        ("flashed at a wrong speed", "flash hello.wasm --port board --baud 9600", 6, "does not answer", "--baud"),
        ("forgot BOOT0", "flash --runtime --board stm32f405 --port board", 6, "no bootloader answers", "BOOT0"),
        ("flashed noise raw", "flash --runtime --board stm32f405 --port noise", 6, "on the cable", "BOOT0"),
        (
            "took another board", "flash small.wasm --board microbit --port board",
            7, "is stm32f405, not microbit", "--board",
        ),
        (
            "ran on another board", "run small.wasm --board microbit --port board",
            7, "is stm32f405, not microbit", "--board",
        ),
        (
            "took another chip", "flash --runtime --board stm32f405 --port another-chip",
            7, "0x410, stm32f405 has", "--board",
        ),
        ("kept an old runtime", "flash hello.wasm --port old-board", 15, r"for ISA \d+, .* ISA \d+", "flash --runtime"),
        (
            "ran on an old runtime", "run hello.wasm --board stm32f405 --port old-board",
            15, r"for ISA \d+, .* ISA \d+", "flash --runtime",
        ),
        (
            "protected the chip", "flash --runtime --board stm32f405 --port protected-board",
            11, "protected", "--unprotect",
        ),
        (
            "wore out the flash", "flash --runtime --board stm32f405 --port worn-board",
            10, "does not hold what", "worn out",
        ),
        (
            "protected sectors", "flash --runtime --board stm32f405 --port write-protected-board",
            9, "erasing sector 0 at 0x08000000", "--unprotect",
        ),
        (
            "counted on a real board", "run small.wasm --board stm32f405 --port board --fuel 5",
            2, "cannot count instructions", "--timeout",
        ),
        ("pulled the cable", "monitor --port unplugged --reset", 12, "connection to unplugged was lost", "plug it in"),
        ("pulled it while flashing", "flash hello.wasm --port unplugged", 12, "unplugged was lost", "plug it in"),
        # --- emulated boards ------------------------------------------------------------------------------------------
        ("booted a ROM that is none", "emulate microbit --boot rom", 2, "no serial bootloader", "without --boot rom"),
        ("showed a drive that is none", "emulate stm32f405 --drive x", 2, "no interface chip", "without --drive"),
        ("showed a drive over a folder", "emulate microbit --drive folder", 2, "folder exists", "name a folder"),
        ("booted from nothing", "emulate microbit --boot no", 2, "invalid choice: 'no'", "emulate --help"),
        ("served a word", "emulate microbit --rfc2217 here", 2, "cannot listen on here", "HOST:PORT"),
        ("served an address of others", "emulate microbit --rfc2217 192.0.2.1:0", 2, "Cannot assign", "HOST:PORT"),
        ("served a large port", "emulate microbit --rfc2217 :99999", 2, "cannot listen on :99999", "HOST:PORT"),
        (
            "linked over a folder", "emulate microbit --link folder",
            2, "cannot make the link folder: File exists", "another",
        ),
        ("linked into nowhere", "emulate microbit --link no/board", 2, "link no/board: No such file", "choose another"),
        (
            "kept flash in a folder", "emulate microbit --flash-file folder",
            2, "cannot keep the flash in folder", "name",
        ),
        (
            "kept flash in a large file", "emulate microbit --flash-file huge.bin",
            8, "huge.bin has 2097152 bytes", "name",
        ),
        # --- programs that go wrong -----------------------------------------------------------------------------------
        ("hit unreachable", "run add.wasm --invoke trap", 134, "trap: unreachable(.|\n)*in trap", ""),
        ("divided by zero", "run divide.wasm", 134, "trap: integer divide by zero(.|\n)*in _start", ""),
        ("read beyond the memory", "run beyond.wasm", 134, "trap: out of bounds memory access(.|\n)*in _start", ""),
        ("called without an end", "run recursive.wasm", 134, "trap: call stack exhausted(.|\n)*in f", ""),
        ("looped without an end", "run loop.wasm --timeout 0.05", 124, "stopped after 0.05 seconds", "--timeout"),
        ("ran out of fuel", "run loop.wasm --fuel 100000", 124, "fuel is used up(.|\n)*in _start", "--fuel"),
        # --- scripts --------------------------------------------------------------------------------------------------
        ("tested what is not a script", "wast malformed.wast", 2, "malformed.wast.*line 1", "mend the script"),
        ("saved a script as Latin-1", "wast latin1.wast", 2, "latin1.wast: line 2: .*UTF-8", "mend the script"),
        ("ran no scripts at a time", "wast fails.wast --workers 0", 2, "'0'", "wast --help"),
    ]
]

ODDITIES = [
    # What looks like a mistake, and is none.
    ("a program's own status", "run exit.wasm", 3),
    ("blocks nested 100000 deep", "build nested.wasm", 0),
    ("a million locals in a file of 200 bytes", "build locals_of_many.wasm", 0),
    ("blocks nested 10000 deep in text", "build nested.wat", 0),
    ("ifs nested 1000 deep", "build nested_ifs.wasm", 0),
    ("a name section that is damaged", "build bad_names.wasm", 0),
    ("debug information that is damaged", "build bad_dwarf.wasm", 0),
    ("an assertion that fails", "wast fails.wast", 10),
]
