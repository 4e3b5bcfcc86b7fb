/* The firmware's life: say who it is, run the installed program, answer SMP for ever. */

#include "board.h"
#include "console.h"
#include "generated/isa.h"
#include "module.h"
#include "platform.h"
#include "smp.h"

static void print_banner(void) {
    console_print("\r\nmcutool " FIRMWARE_VERSION " " BOARD_NAME " (" CORE_NAME "), ISA ");
    console_print_number(ISA_VERSION);
    console_print(", ");
    console_print_number(module_arena_size());
    console_print(" bytes for modules\r\n");
}

/* What went wrong with a program would go wrong again, so after such a reset it waits to be told. */
static void run_installed(void) {
    static const char *const reasons[] = {
        [HOLD_FAULT] = "the firmware had a fault",
        [HOLD_DEAF] = "the program kept the board from answering",
    };
    enum hold reason = platform_held();
    if (reason == HOLD_NOTHING) {
        module_run();
        return;
    }
    console_print("[program not started: ");
    console_print(reasons[reason]);
    console_print("; reset to try again]\r\n");
}

bool platform_poll(void) {
    smp_poll();
    return !module_must_stop();
}

int main(void) {
    platform_start();
    print_banner();
    run_installed();
    for (;;) {
        platform_poll();
        if (!smp_runtime_run_call()) {
            platform_wait(PLATFORM_FOREVER);
        }
    }
}
