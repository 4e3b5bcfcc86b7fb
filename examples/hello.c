/* The first program: wasi-libc's printf on the board's console. */
#include <stdio.h>

int main(void) {
    printf("Hello from %u-bit WebAssembly!\n", (unsigned)(8 * sizeof(void *)));
    return 0;
}
