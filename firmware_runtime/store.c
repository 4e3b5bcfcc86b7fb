/* See store.h. */

#include "store.h"

#include "board.h"
#include "vm.h"

#include <string.h>

#define HALF (SLOT_SIZE / 2)
#define FUEL_MARK 0x4655454Cu /* a test's: the word before the end of the area, and milliseconds behind it */

const uint8_t *store_chosen(uint32_t image, uint32_t *size) {
    const uint8_t *place = (const uint8_t *)SLOT_ADDRESS + image * HALF;
    *size = SLOT_SIZE - image * HALF;
    return image < 2 && (image == 0 ? *(const uint32_t *)place != UINT32_MAX : image_size(place, *size) != 0) ? place : NULL;
}

const uint8_t *store_find(const uint8_t *digest, uint32_t *size, uint32_t *image) {
    for (*image = 0; *image < 2; ++*image) {
        const uint8_t *container = store_chosen(*image, size);
        const uint8_t *found = container == NULL ? NULL : image_digest(container, *size);
        if (found != NULL && memcmp(found, digest, 32) == 0) {
            return container;
        }
    }
    return NULL;
}

enum store_trial store_begin(uint32_t image) {
    (void)image;
    return STORE_SETTLED;
}

bool store_confirm(uint32_t image) {
    return image < IMAGES;
}

bool store_settings(uint32_t image, bool (*take)(bool environment, const char *text, size_t length)) {
    return image < IMAGES || take(false, "", 0);
}

uint32_t store_fuel(uint32_t image) {
    const uint32_t *end = (const uint32_t *)(SLOT_ADDRESS + SLOT_SIZE);
    return image == 1 && end[-2] == FUEL_MARK ? end[-1] : 0;
}

uint32_t store_grants(uint32_t image) {
    (void)image;
    return UINT32_MAX;
}

uint32_t store_counter(uint32_t image) {
    (void)image;
    return 0;
}
