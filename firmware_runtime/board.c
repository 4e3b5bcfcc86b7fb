/* What follows from the board's facts alone, on every chip: flash sectors, the light. */

#include "board.h"

#include "platform.h"

static const struct {
    uint32_t size, count;
} sector_runs[] = FLASH_SECTORS;

struct flash_sector flash_sector_at(uint32_t address) {
    struct flash_sector sector = {0, FLASH_BASE, sector_runs[0].size};
    for (uint32_t run = 0; run < sizeof sector_runs / sizeof *sector_runs; run++) {
        sector.size = sector_runs[run].size;
        uint32_t within = (address - sector.address) / sector.size;
        uint32_t passed = within < sector_runs[run].count ? within : sector_runs[run].count;
        sector.number += passed;
        sector.address += passed * sector.size;
        if (passed < sector_runs[run].count) {
            break;
        }
    }
    return sector;
}

/* The level comes before the direction, so that the light does not flash when it is first switched off. */
static bool drive(uint32_t pin, bool level) {
    return gpio_write(pin, level) && gpio_configure(pin, GPIO_OUTPUT);
}

bool led_set(bool on) {
#ifdef LED_LOW_PIN
    drive(LED_LOW_PIN, false);
#endif
#ifdef LED_PIN
    return drive(LED_PIN, on == LED_ACTIVE_HIGH);
#else
    (void)drive, (void)on;
    return false;
#endif
}
