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

bool led_set(bool on) {
#ifdef LED_PIN
#ifdef LED_LOW_PIN
    gpio_configure(LED_LOW_PIN, GPIO_OUTPUT);
    gpio_write(LED_LOW_PIN, false);
#endif
    return gpio_configure(LED_PIN, GPIO_OUTPUT) && gpio_write(LED_PIN, on == LED_ACTIVE_HIGH);
#else
    (void)on;
    return false;
#endif
}
