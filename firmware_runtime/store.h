/* What is installed on the board: for each image (program) up to two versions, their states, and the settings.

   This file decides which version is started and when it is given up, and makes each change one step that a power cut
   leaves done or undone. It refuses to know what a container holds (image.c) and who asks for a change (smp_image.c). */

#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cbor.h"
#include "generated/state.h"

/* The container that the image is to start with, and the bytes of flash that belong to it; NULL when none is. */
const uint8_t *store_chosen(uint32_t image, uint32_t *size);

/* The installed version of any image that has this SHA-256 (32 bytes); NULL when there is none. */
const uint8_t *store_find(const uint8_t *digest, uint32_t *size, uint32_t *image);

/* At the board's start, once for each image, before it is loaded: a version whose trial has begun and that nobody has
   confirmed is given up when there is a confirmed one; a trial that is due begins. */
enum store_trial { STORE_SETTLED, STORE_TRIAL, STORE_ROLLED_BACK } store_begin(uint32_t image);

/* The version that is chosen is good. False when flash fails, or none is chosen. */
bool store_confirm(uint32_t image);

/* Settings. The strings come in order: arguments, then environment; false when `take` refused one. */
bool store_settings(uint32_t image, bool (*take)(bool environment, const char *text, size_t length));
uint32_t store_fuel(uint32_t image);   /* milliseconds, 0: unlimited */
uint32_t store_grants(uint32_t image); /* mask of capabilities */
uint32_t store_counter(uint32_t image);

/// For the SMP server ///

/* Looks for the directory, when it is not known. */
void store_open(void);

/* What was changed since the last commit gets into flash, at once or not at all, and is forgotten when that fails. The
   changes below are of one image until then. Apart from them since it needs less stack so. */
bool store_commit(void);
void store_forget(void);

/* What the directory says of an image, with the change that is not committed. It holds until the next commit. */
const struct state_image *store_image(uint32_t image);
const uint8_t *store_container(const struct state_version *version);

/* The version of the image that is started, STATE_VERSIONS when none is. */
uint32_t store_chosen_index(const struct state_image *entry);

/* Brings one version of an image into another state, and the other one where it then belongs. STATE_EMPTY removes it. */
void store_change(uint32_t image, uint32_t index, uint32_t state);

/* Makes room for so many bytes of a new version of the image, which takes the place of the less important one. Gives
   the address of free sectors, 0 when there is no room or flash fails. Both commit. */
uint32_t store_make_room(uint32_t image, uint32_t size);
bool store_install(uint32_t image, uint32_t address, uint32_t size);

/* The settings as they lie in flash: a CBOR map, empty without bytes when there are none. */
struct cbor_reader store_settings_map(uint32_t image);
void store_set_settings(uint32_t image, const struct cbor_reader *map);

#endif
