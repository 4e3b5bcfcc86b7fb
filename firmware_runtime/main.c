/* The firmware's life: say who it is, run the installed programs, answer SMP for ever. */

#include "board.h"
#include "console.h"
#include "generated/isa.h"
#include "module.h"
#include "platform.h"
#include "smp.h"

/* A program runs below main: what else main does has its own functions, so that their stack is not below the program. */
#define APART __attribute__((noinline))

static APART void print_banner(void) {
    console_print("\r\nmcutool " FIRMWARE_VERSION " " BOARD_NAME " (" CORE_NAME "), ISA ");
    console_print_number(ISA_VERSION);
    console_print(", ");
    console_print_number(module_arena_size());
    console_print(" bytes for modules\r\n");
}

bool platform_poll(void) {
    smp_poll();
    return !module_must_stop();
}

int main(void) {
    platform_start();
    print_banner();
    module_start();
    for (;;) {
        platform_poll();
        if (module_step()) {
            smp_runtime_answer_call();
        } else if (!smp_runtime_answer_call()) {
            platform_wait(PLATFORM_FOREVER);
        }
    }
}
