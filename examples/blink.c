/* Blinks the board's LED ten times, with no C library: only the functions of mcu.h. */
#include "mcu.h"

enum { BLINKS = 10, HALF_PERIOD_MS = 50 };

__attribute__((export_name("_start"))) void start(void) {
    for (int i = 0; i < BLINKS; i++) {
        mcu_led_set(1);
        mcu_sleep_ms(HALF_PERIOD_MS);
        mcu_led_set(0);
        mcu_sleep_ms(HALF_PERIOD_MS);
    }
    static const char message[] = "blinked\n";
    mcu_uart_write(message, sizeof message - 1);
}
