#!/bin/sh
# An emulated STM32F405 with its BOOT0 pin pulled, on a pseudo-terminal: flash it as a real board, and read its console.
# Each command is shown before it runs. Nothing is left behind.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH

folder=$(mktemp -d)
port=$folder/board
emulator=
trap '[ -z "$emulator" ] || kill "$emulator" 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

show() {
    printf '$ %s\n' "$*"
    "$@"
}

printf '$ %s\n' "mcutool emulate stm32f405 --boot rom --link $port &"
mcutool emulate stm32f405 --boot rom --link "$port" >"$folder/emulator" 2>&1 &
emulator=$!
until grep -s ready: "$folder/emulator"; do
    kill -0 "$emulator" 2>/dev/null || { cat "$folder/emulator" >&2; exit 1; }
    sleep 0.1
done

show mcutool flash examples/sha256.wasm --runtime --board stm32f405 --port "$port"
show mcutool monitor --port "$port" --reset --until '\[exit' --timeout 30 </dev/null
