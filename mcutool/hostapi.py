"""The other table: every function that a board offers to a module, one row each.

A row's place is its number in an image, so rows are only ever appended. From the rows come the firmware's dispatch
table, the C header for guest programs, the linker's knowledge of signatures and what `info` says a board cannot do.
This file decides names, types and capabilities; it refuses to know how a function does its work
(`firmware_runtime/host.c`) and which board has what (`boards/`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

# The kinds that a signature may name -> (WebAssembly value type, C type in the guest's header).
KINDS = {
    "s32": ("i32", "int32_t"),
    "u32": ("i32", "uint32_t"),
    "size": ("i32", "size_t"),
    "errno": ("i32", "int32_t"),
    "in": ("i32", "const void *"),
    "out": ("i32", "void *"),
    "s64": ("i64", "int64_t"),
    "u64": ("i64", "uint64_t"),
    "f64": ("f64", "double"),
}

SLOTS = {"i32": 1, "f32": 1, "i64": 2, "f64": 2}

# What a function needs from the board. ABSENT is what no board of ours has: those functions link and answer ENOSYS.
CAPABILITIES = {
    "always": "every board",
    "console": "the console UART",
    "clock": "the microsecond clock",
    "random": "a noise source, or a seed given at the start",
    "gpio": "pins that the board's file describes",
    "led": "a user LED",
    "files": "a file system",
    "sockets": "a network",
    "signals": "processes",
}
ABSENT = frozenset({"files", "sockets", "signals"})

# What has to be granted, as a bit of a mask: the row of CAPABILITIES, so that rows are only ever appended.
GRANTS = {name: 1 << number for number, name in enumerate(CAPABILITIES) if name != "always"}


@dataclass(frozen=True)
class HostFunction:
    """One row: `signature` is `name:kind ... -> kind`, `c_name` the function in host.c that does the work."""

    number: int
    module: str
    name: str
    signature: str
    capability: str
    c_name: str
    sentence: str

    @property
    def arguments(self) -> tuple[tuple[str, str], ...]:
        """(name, kind) of each parameter."""
        words = self.signature.partition("->")[0].split()
        return tuple((name, kind) for name, _, kind in (word.partition(":") for word in words))

    @property
    def result_kind(self) -> str:
        """The kind of the result, or "" when there is none."""
        return self.signature.partition("->")[2].strip()

    @property
    def parameters(self) -> tuple[str, ...]:
        """WebAssembly value types of the parameters."""
        return tuple(KINDS[kind][0] for _, kind in self.arguments)

    @property
    def results(self) -> tuple[str, ...]:
        """WebAssembly value types of the results (none or one)."""
        return (KINDS[self.result_kind][0],) if self.result_kind else ()


WASI = "wasi_snapshot_preview1"

_ROWS = (
    # module, name, signature, capability, C function, sentence
    (
        WASI,
        "args_get",
        "argv:out buffer:out -> errno",
        "always",
        "wasi_args_get",
        "Stores the program's arguments and pointers to them.",
    ),
    (
        WASI,
        "args_sizes_get",
        "count:out size:out -> errno",
        "always",
        "wasi_args_sizes_get",
        "Stores the number of arguments and the bytes that they need.",
    ),
    (
        WASI,
        "environ_get",
        "environ:out buffer:out -> errno",
        "always",
        "wasi_environ_get",
        "Stores the environment strings and pointers to them.",
    ),
    (
        WASI,
        "environ_sizes_get",
        "count:out size:out -> errno",
        "always",
        "wasi_environ_sizes_get",
        "Stores the number of environment strings and the bytes that they need.",
    ),
    (
        WASI,
        "clock_res_get",
        "clock:u32 resolution:out -> errno",
        "clock",
        "wasi_clock_res_get",
        "Stores the resolution of a clock in nanoseconds.",
    ),
    (
        WASI,
        "clock_time_get",
        "clock:u32 precision:u64 time:out -> errno",
        "clock",
        "wasi_clock_time_get",
        "Stores the time of a clock in nanoseconds; every clock counts from the board's reset.",
    ),
    (
        WASI,
        "fd_advise",
        "fd:u32 offset:u64 length:u64 advice:u32 -> errno",
        "files",
        "wasi_enosys",
        "Says how a file will be read.",
    ),
    (WASI, "fd_allocate", "fd:u32 offset:u64 length:u64 -> errno", "files", "wasi_enosys", "Makes room in a file."),
    (
        WASI,
        "fd_close",
        "fd:u32 -> errno",
        "always",
        "wasi_fd_close",
        "Accepts the three standard descriptors, which stay open; EBADF for others.",
    ),
    (WASI, "fd_datasync", "fd:u32 -> errno", "files", "wasi_enosys", "Writes a file's data back."),
    (
        WASI,
        "fd_fdstat_get",
        "fd:u32 stat:out -> errno",
        "always",
        "wasi_fd_fdstat_get",
        "Stores that a standard descriptor is a character device, and its rights.",
    ),
    (
        WASI,
        "fd_fdstat_set_flags",
        "fd:u32 flags:u32 -> errno",
        "files",
        "wasi_enosys",
        "Changes the flags of a descriptor.",
    ),
    (
        WASI,
        "fd_fdstat_set_rights",
        "fd:u32 base:u64 inheriting:u64 -> errno",
        "files",
        "wasi_enosys",
        "Gives up rights of a descriptor.",
    ),
    (
        WASI,
        "fd_filestat_get",
        "fd:u32 stat:out -> errno",
        "always",
        "wasi_fd_filestat_get",
        "Stores that a standard descriptor is a character device of size 0.",
    ),
    (WASI, "fd_filestat_set_size", "fd:u32 size:u64 -> errno", "files", "wasi_enosys", "Changes the size of a file."),
    (
        WASI,
        "fd_filestat_set_times",
        "fd:u32 accessed:u64 modified:u64 flags:u32 -> errno",
        "files",
        "wasi_enosys",
        "Changes the times of a file.",
    ),
    (
        WASI,
        "fd_pread",
        "fd:u32 iovs:in count:size offset:u64 read:out -> errno",
        "files",
        "wasi_enosys",
        "Reads from a place in a file.",
    ),
    (
        WASI,
        "fd_prestat_get",
        "fd:u32 prestat:out -> errno",
        "always",
        "wasi_ebadf",
        "EBADF: no directory is opened beforehand.",
    ),
    (
        WASI,
        "fd_prestat_dir_name",
        "fd:u32 path:out length:size -> errno",
        "always",
        "wasi_ebadf",
        "EBADF: no directory is opened beforehand.",
    ),
    (
        WASI,
        "fd_pwrite",
        "fd:u32 iovs:in count:size offset:u64 written:out -> errno",
        "files",
        "wasi_enosys",
        "Writes to a place in a file.",
    ),
    (
        WASI,
        "fd_read",
        "fd:u32 iovs:in count:size read:out -> errno",
        "console",
        "wasi_fd_read",
        "Waits for program input on the console and stores what there is; 0 bytes at its end.",
    ),
    (
        WASI,
        "fd_readdir",
        "fd:u32 buffer:out size:size cookie:u64 used:out -> errno",
        "files",
        "wasi_enosys",
        "Lists a directory.",
    ),
    (WASI, "fd_renumber", "from:u32 to:u32 -> errno", "files", "wasi_enosys", "Gives a descriptor another number."),
    (
        WASI,
        "fd_seek",
        "fd:u32 offset:s64 whence:u32 position:out -> errno",
        "always",
        "wasi_fd_seek",
        "ESPIPE: the console cannot be rewound.",
    ),
    (WASI, "fd_sync", "fd:u32 -> errno", "files", "wasi_enosys", "Writes a file back."),
    (WASI, "fd_tell", "fd:u32 position:out -> errno", "always", "wasi_fd_tell", "ESPIPE: the console has no position."),
    (
        WASI,
        "fd_write",
        "fd:u32 iovs:in count:size written:out -> errno",
        "console",
        "wasi_fd_write",
        "Writes to the console (descriptors 1 and 2).",
    ),
    (
        WASI,
        "path_create_directory",
        "fd:u32 path:in length:size -> errno",
        "files",
        "wasi_enosys",
        "Makes a directory.",
    ),
    (
        WASI,
        "path_filestat_get",
        "fd:u32 flags:u32 path:in length:size stat:out -> errno",
        "files",
        "wasi_enosys",
        "Stores what a file is.",
    ),
    (
        WASI,
        "path_filestat_set_times",
        "fd:u32 flags:u32 path:in length:size accessed:u64 modified:u64 set:u32 -> errno",
        "files",
        "wasi_enosys",
        "Changes the times of a file.",
    ),
    (
        WASI,
        "path_link",
        "from:u32 flags:u32 path:in length:size to:u32 name:in name_length:size -> errno",
        "files",
        "wasi_enosys",
        "Makes a hard link.",
    ),
    (
        WASI,
        "path_open",
        "fd:u32 lookup:u32 path:in length:size flags:u32 rights:u64 inheriting:u64 fdflags:u32 opened:out -> errno",
        "files",
        "wasi_enosys",
        "Opens a file.",
    ),
    (
        WASI,
        "path_readlink",
        "fd:u32 path:in length:size buffer:out size:size used:out -> errno",
        "files",
        "wasi_enosys",
        "Stores where a symbolic link leads.",
    ),
    (
        WASI,
        "path_remove_directory",
        "fd:u32 path:in length:size -> errno",
        "files",
        "wasi_enosys",
        "Removes a directory.",
    ),
    (
        WASI,
        "path_rename",
        "from:u32 path:in length:size to:u32 name:in name_length:size -> errno",
        "files",
        "wasi_enosys",
        "Renames a file.",
    ),
    (
        WASI,
        "path_symlink",
        "target:in target_length:size fd:u32 path:in length:size -> errno",
        "files",
        "wasi_enosys",
        "Makes a symbolic link.",
    ),
    (WASI, "path_unlink_file", "fd:u32 path:in length:size -> errno", "files", "wasi_enosys", "Removes a file."),
    (
        WASI,
        "poll_oneoff",
        "subscriptions:in events:out count:size stored:out -> errno",
        "clock",
        "wasi_poll_oneoff",
        "Sleeps until a clock, the program's input or its output is ready.",
    ),
    (WASI, "proc_exit", "status:u32", "always", "wasi_proc_exit", "Ends the program with a status."),
    (WASI, "proc_raise", "signal:u32 -> errno", "signals", "wasi_enosys", "Raises a signal."),
    (WASI, "sched_yield", "-> errno", "always", "wasi_sched_yield", "Lets the firmware do its own work."),
    (
        WASI,
        "random_get",
        "buffer:out size:size -> errno",
        "random",
        "wasi_random_get",
        "Stores random bytes; ENOSYS without a noise source unless a seed was given.",
    ),
    (WASI, "sock_accept", "fd:u32 flags:u32 accepted:out -> errno", "sockets", "wasi_enosys", "Accepts a connection."),
    (
        WASI,
        "sock_recv",
        "fd:u32 iovs:in count:size flags:u32 read:out status:out -> errno",
        "sockets",
        "wasi_enosys",
        "Receives from a socket.",
    ),
    (
        WASI,
        "sock_send",
        "fd:u32 iovs:in count:size flags:u32 written:out -> errno",
        "sockets",
        "wasi_enosys",
        "Sends to a socket.",
    ),
    (WASI, "sock_shutdown", "fd:u32 how:u32 -> errno", "sockets", "wasi_enosys", "Shuts a socket down."),
    (
        "mcu",
        "gpio_mode",
        "pin:u32 mode:u32 -> errno",
        "gpio",
        "mcu_gpio_mode",
        "Makes a pin an input, an output or an input with a pull resistor (MCU_INPUT ...).",
    ),
    (
        "mcu",
        "gpio_write",
        "pin:u32 level:u32 -> errno",
        "gpio",
        "mcu_gpio_write",
        "Drives an output pin low (0) or high (1).",
    ),
    (
        "mcu",
        "gpio_read",
        "pin:u32 -> s32",
        "gpio",
        "mcu_gpio_read",
        "Gives the level of a pin, 0 or 1; -1 when the board has no such pin.",
    ),
    ("mcu", "led_set", "on:u32 -> errno", "led", "mcu_led_set", "Switches the board's LED on (1) or off (0)."),
    ("mcu", "millis", "-> u64", "clock", "mcu_millis", "Gives the milliseconds since the board's reset."),
    ("mcu", "sleep_ms", "milliseconds:u32", "clock", "mcu_sleep_ms", "Waits; the core sleeps meanwhile."),
    ("mcu", "uart_write", "data:in size:size -> errno", "console", "mcu_uart_write", "Writes bytes to the console."),
    # What AssemblyScript's compiler imports by default. A string is UTF-16, with its size in bytes before it.
    (
        "env",
        "abort",
        "message:in file:in line:u32 column:u32",
        "console",
        "env_abort",
        "Prints why an AssemblyScript program gave up, and ends it with status 255.",
    ),
    ("env", "console.log", "text:in", "console", "env_console_log", "Prints an AssemblyScript string on a line."),
    ("env", "console.error", "text:in", "console", "env_console_log", "Prints an AssemblyScript string on a line."),
    (
        "env",
        "seed",
        "-> f64",
        "clock",
        "env_seed",
        "Gives AssemblyScript's Math.random its seed: the microseconds since reset.",
    ),
    (
        "mcu",
        "confirm",
        "-> errno",
        "always",
        "mcu_confirm",
        "Confirms the version that runs: the board starts it from now on; EIO when the flash fails.",
    ),
)


def _numbered() -> tuple[HostFunction, ...]:
    functions = tuple(HostFunction(number, *row) for number, row in enumerate(_ROWS))
    for function in functions:
        if function.capability not in CAPABILITIES:
            raise ValueError(f"{function.module}.{function.name}: unknown capability {function.capability!r}")
        if (function.c_name == "wasi_enosys") != (function.capability in ABSENT):
            raise ValueError(f"{function.module}.{function.name}: ENOSYS and {function.capability!r} contradict")
    return functions


HOST_FUNCTIONS = _numbered()
BY_NAME = {(function.module, function.name): function for function in HOST_FUNCTIONS}


def find(module: str, name: str) -> HostFunction | None:
    """The row of an import, or None when no firmware of this version has it."""
    return BY_NAME.get((module, name))


def unavailable(functions: Collection[HostFunction], capabilities: Collection[str]) -> list[HostFunction]:
    """Those of `functions` that need another capability than these."""
    return [f for f in functions if f.capability != "always" and f.capability not in capabilities]


def needed(functions: Collection[HostFunction]) -> list[str]:
    """The capabilities that have to be granted to who imports the functions."""
    wanted = {function.capability for function in functions}
    return [name for name in GRANTS if name in wanted]


def mask(capabilities: Collection[str]) -> int:
    """The capabilities as bits; "always" is none of them."""
    return sum(bit for name, bit in GRANTS.items() if name in capabilities)


def granted(grants: int) -> list[str]:
    """The capabilities of a mask."""
    return [name for name, bit in GRANTS.items() if grants & bit]


def slots(types: Collection[str]) -> int:
    """Frame slots of 32 bits that values of these types take."""
    return sum(SLOTS[type] for type in types)


# The generated texts. `generate.py` writes them; nothing else in them is decided elsewhere.

_GENERATED = "Generated from mcutool/hostapi.py; do not edit."


def render_c_table() -> str:
    """`firmware_runtime/generated/hostapi.inc`: prototypes and the dispatch table, in the order of the numbers."""
    names = sorted({function.c_name for function in HOST_FUNCTIONS})
    prototypes = [f"uint32_t {name}(struct vm *vm, uint32_t *slots);" for name in names]
    rows = [
        f'    {{"{f.module}", "{f.name}", {f.c_name}, {slots(f.parameters)}, {slots(f.results)}, {_bit(f):#x}}},'
        f" /* {f.number} */"
        for f in HOST_FUNCTIONS
    ]
    return "\n".join(
        [
            f"/* {_GENERATED} */",
            *prototypes,
            "",
            "const struct host_function host_functions[] = {",
            *rows,
            "};",
            f"const uint32_t host_function_count = {len(HOST_FUNCTIONS)};",
            "",
        ]
    )


def _bit(function: HostFunction) -> int:
    return mask([function.capability])


def _guest_prototype(function: HostFunction) -> str:
    parameters = ", ".join(f"{KINDS[kind][1]} {name}".replace("* ", "*") for name, kind in function.arguments)
    result = KINDS[function.result_kind][1] if function.result_kind else "void"
    return f'MCU_IMPORT("{function.name}") {result} mcu_{function.name}({parameters or "void"});'


def render_guest_header() -> str:
    """`examples/include/mcu.h`: what a C program includes to use the module `mcu`."""
    lines = [
        f"/* {_GENERATED} Functions of the board for a WebAssembly guest.",
        "   Those that return int32_t give 0 or a WASI error number: 28 wrong argument, 52 not on this board. */",
        "#ifndef MCU_H",
        "#define MCU_H",
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "",
        "enum { MCU_INPUT, MCU_OUTPUT, MCU_INPUT_PULL_UP, MCU_INPUT_PULL_DOWN };",
        "",
        '#define MCU_IMPORT(name) __attribute__((import_module("mcu"), import_name(name)))',
        "",
    ]
    for function in HOST_FUNCTIONS:
        if function.module == "mcu":
            lines += [f"/* {function.sentence} */", _guest_prototype(function), ""]
    return "\n".join([*lines, "#endif", ""])


def _need(capability: str) -> str:
    """A capability for people, who grant it by its name."""
    name = f"`{capability}`: " if capability in GRANTS else ""
    return name + CAPABILITIES[capability]


def render_manual() -> str:
    """`examples/HOST_FUNCTIONS.md`: the table for people, one line a function."""
    lines = [
        "# What a program may import",
        "",
        f"{_GENERATED}",
        "",
        "What a function needs has to be granted: `mcutool build --grant`, or by default to who imports it.",
        "A function that needs what a board lacks links too, and answers ENOSYS (52), or EINVAL (28) for a pin.",
        "A pointer to memory that the board does not back traps, before anything has happened.",
        "",
        "| number | function | type | needs | what it does |",
        "|---|---|---|---|---|",
    ]
    for f in HOST_FUNCTIONS:
        type = f"({' '.join(f.parameters)}) -> ({' '.join(f.results)})"
        sentence = f"ENOSYS. {f.sentence}" if f.capability in ABSENT else f.sentence
        lines.append(f"| {f.number} | `{f.module}.{f.name}` | `{type}` | {_need(f.capability)} | {sentence} |")
    return "\n".join([*lines, ""])
