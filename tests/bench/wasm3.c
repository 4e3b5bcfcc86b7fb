/* A benchmark as a module in wasm3 on a bare Cortex-M: loads and compiles it whole, calls it once, ends through
   semihosting. The symbol `run` is that one call, as in a native program; loading and compiling are outside it. */
#include <errno.h>
#include <malloc.h>
#include <stddef.h>

#include "bare.h"
#include "m3_env.h"
#include "wasm3.h"

#define STACK_BYTES 16384
#define HEAP_BYTES (768 * 1024)

__asm(".section .rodata.module, \"a\"\n"
      "module_begin: .incbin \"" MODULE "\"\n"
      "module_end:\n"
      ".text\n");

extern const uint8_t module_begin[], module_end[];

/* Read from outside when the program has ended: bytes of RAM, and what wasm3 complains of. */
volatile uint32_t result, module_ram, code_ram;
const char *volatile failure;

static uint8_t heap[HEAP_BYTES] __attribute__((aligned(8)));
static IM3Function function;

void *_sbrk(ptrdiff_t increment) {
    static uint8_t *end = heap;
    if (increment > heap + sizeof heap - end) {
        errno = ENOMEM;
        return (void *)-1;
    }
    end += increment;
    return end - increment;
}

static uint32_t code_bytes(const M3CodePage *page) {
    uint32_t bytes = 0;
    for (; page; page = page->info.next)
        bytes += page->info.lineIndex * sizeof(code_t);
    return bytes;
}

static M3Result load(void) {
    IM3Environment environment = m3_NewEnvironment();
    IM3Runtime runtime = m3_NewRuntime(environment, STACK_BYTES, NULL);
    uint32_t before = mallinfo().uordblks;
    IM3Module module;
    M3Result wrong = m3_ParseModule(environment, &module, module_begin, module_end - module_begin);
    if (!wrong)
        wrong = m3_LoadModule(runtime, module);
    if (!wrong)
        wrong = m3_CompileModule(module);
    if (!wrong)
        wrong = m3_FindFunction(&function, runtime, "run");
    module_ram = mallinfo().uordblks - before - m3_GetMemorySize(runtime);
    code_ram = code_bytes(runtime->pagesOpen) + code_bytes(runtime->pagesFull);
    return wrong;
}

__attribute__((noipa)) M3Result run(uint32_t n) {
    return m3_CallV(function, n);
}

static M3Result work(void) {
    uint32_t checksum = 0;
    M3Result wrong = load();
    if (!wrong)
        wrong = run(N);
    if (!wrong)
        wrong = m3_GetResultsV(function, &checksum);
    result = checksum;
    return wrong;
}

int main(void) {
    failure = work();
    return 0;
}
