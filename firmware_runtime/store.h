/* What is installed. A stand-in: the module area is the one version of image 0; a second image may stand in its second
   half. Nothing is ever on trial. */

#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef IMAGES
#define IMAGES 2
#endif

/* The container that the image is to start with, and the bytes of flash that belong to it; NULL when none is. */
const uint8_t *store_chosen(uint32_t image, uint32_t *size);
/* The installed version of any image that has this SHA-256 (32 bytes); NULL when there is none. */
const uint8_t *store_find(const uint8_t *digest, uint32_t *size, uint32_t *image);
/* At the board's start, once for each image, before it is loaded: rolls back or begins a trial. */
enum store_trial { STORE_SETTLED, STORE_TRIAL, STORE_ROLLED_BACK } store_begin(uint32_t image);
/* The version that is chosen is good. False when flash fails. */
bool store_confirm(uint32_t image);
/* Settings. The strings come in order: arguments, then environment; false when `take` refused one. */
bool store_settings(uint32_t image, bool (*take)(bool environment, const char *text, size_t length));
uint32_t store_fuel(uint32_t image);   /* milliseconds, 0: unlimited */
uint32_t store_grants(uint32_t image); /* mask of capabilities */
uint32_t store_counter(uint32_t image);

#endif
