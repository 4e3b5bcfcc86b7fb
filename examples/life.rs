//! Conway's Game of Life on a torus: a glider's way, in Rust without its standard library.
//! `--invoke population N` gives the number of living cells after N generations.
#![no_std]
#![no_main]

const WIDTH: usize = 24;
const HEIGHT: usize = 12;
const GENERATIONS: u32 = 8;

type Board = [[bool; WIDTH]; HEIGHT];

#[repr(C)]
struct Slice {
    data: *const u8,
    size: usize,
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
extern "C" {
    fn fd_write(fd: u32, slices: *const Slice, count: usize, written: *mut usize) -> u32;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

fn print(text: &[u8]) {
    let slice = Slice { data: text.as_ptr(), size: text.len() };
    let mut written = 0;
    unsafe { fd_write(1, &slice, 1, &mut written) };
}

/// A glider, and a blinker that it will meet.
fn first() -> Board {
    let mut board = [[false; WIDTH]; HEIGHT];
    for (row, column) in [(0, 1), (1, 2), (2, 0), (2, 1), (2, 2), (6, 9), (6, 10), (6, 11)] {
        board[row][column] = true;
    }
    board
}

fn neighbours(board: &Board, row: usize, column: usize) -> usize {
    let mut count = 0;
    for down in [HEIGHT - 1, 0, 1] {
        for right in [WIDTH - 1, 0, 1] {
            let here = down == 0 && right == 0;
            count += (!here && board[(row + down) % HEIGHT][(column + right) % WIDTH]) as usize;
        }
    }
    count
}

fn next(board: &Board) -> Board {
    let mut after = [[false; WIDTH]; HEIGHT];
    for row in 0..HEIGHT {
        for column in 0..WIDTH {
            after[row][column] = matches!((board[row][column], neighbours(board, row, column)), (true, 2) | (_, 3));
        }
    }
    after
}

fn show(board: &Board) {
    for row in board {
        let mut line = [b'\n'; WIDTH + 1];
        for (character, &alive) in line.iter_mut().zip(row) {
            *character = if alive { b'#' } else { b'.' };
        }
        print(&line);
    }
    print(b"\n");
}

#[no_mangle]
pub extern "C" fn population(generations: u32) -> usize {
    let mut board = first();
    for _ in 0..generations {
        board = next(&board);
    }
    board.iter().flatten().filter(|&&alive| alive).count()
}

#[no_mangle]
pub extern "C" fn _start() {
    let mut board = first();
    for _ in 0..GENERATIONS {
        show(&board);
        board = next(&board);
    }
}
