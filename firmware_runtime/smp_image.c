/* SMP's image group: lists what is installed, takes uploads, activates, confirms, removes. And the settings of an image.

   An upload goes to free sectors and erases them one by one as it goes; the directory names it when it is whole and a
   start would take it, so it may be cut off anywhere. A chunk for another offset than the expected one is answered with
   the expected one: repeating and resuming are the same thing. Slot 0 of an image is the version that is started, slot 1
   the other. */

#include <string.h>

#include "board.h"
#include "console.h"
#include "module.h"
#include "platform.h"
#include "sha256.h"
#include "smp.h"
#include "store.h"
#include "vm.h"

#define SLOTS STATE_VERSIONS
/* Functions whose C stack is not below each other's: requests come while a program is deep in its own. */
#define APART __attribute__((noinline))

static struct {
    bool active;
    bool has_digest;
    uint8_t image;
    uint32_t address;
    uint32_t length;
    uint32_t offset;             /* the next byte that is wanted */
    uint32_t erased;             /* address up to which the sectors were erased */
    uint8_t digest[SHA256_SIZE]; /* of all that is uploaded, as the client says */
} upload;

static bool is_write(const struct smp_request *request) {
    return (request->header[0] & 7) == SMP_WRITE;
}

/// State ///

/* Writes major.minor.revision, and .build when there is one; or, without a writer, only counts the characters. */
static uint32_t put_version_parts(struct cbor_writer *reply, const struct image_container *head) {
    char text[CONSOLE_DIGITS + 1];
    uint32_t total = 0;
    for (uint32_t i = 0; i < 3 || (i == 3 && head->build != 0); i++) {
        const uint32_t part = i == 0 ? head->major : i == 1 ? head->minor : i == 2 ? head->revision : head->build;
        char *begin = console_decimal(text + sizeof text, part);
        if (i > 0) {
            *--begin = '.';
        }
        const size_t size = (size_t)(text + sizeof text - begin);
        total += (uint32_t)size;
        if (reply != NULL) {
            cbor_put_raw(reply, begin, size);
        }
    }
    return total;
}

static void put_version(struct cbor_writer *reply, const struct image_container *head) {
    cbor_put_key(reply, "version");
    cbor_put_head(reply, CBOR_TEXT, put_version_parts(NULL, head));
    put_version_parts(reply, head);
}

/* By the version that is started; while none is, by its place in the directory. */
static uint32_t slot_of(const struct state_image *entry, uint32_t index) {
    const uint32_t chosen = store_chosen_index(entry);
    return chosen == STATE_VERSIONS ? index : index != chosen;
}

/* What is not true is left out. */
static void put_true(struct cbor_writer *reply, const char *key, bool value) {
    if (value) {
        cbor_put_bool(reply, key, true);
    }
}

/* NULL when flash has changed and there is none. */
static const uint8_t *digest_of(const struct state_version *version) {
    return image_digest(store_container(version), version->size);
}

static void put_image(struct cbor_writer *reply, uint32_t image, uint32_t index) {
    const struct state_image *entry = store_image(image);
    const struct state_version *version = &entry->versions[index];
    uint8_t *outer = cbor_begin_map(reply);
    cbor_put_unsigned(reply, "image", image);
    cbor_put_unsigned(reply, "slot", slot_of(entry, index));
    put_version(reply, (const struct image_container *)store_container(version));
    const uint8_t *digest = digest_of(version);
    if (digest != NULL) {
        cbor_put_string(reply, "hash", CBOR_BYTES, digest, SHA256_SIZE);
    }
    put_true(reply, "bootable", digest != NULL);
    put_true(reply, "pending", version->state == STATE_PENDING);
    put_true(reply, "confirmed", version->state == STATE_CONFIRMED);
    put_true(reply, "active", store_chosen_index(entry) == index);
    cbor_end_map(reply, outer);
}

static bool is_installed(uint32_t image, uint32_t index) {
    return store_image(image)->versions[index].state != STATE_EMPTY;
}

static void begin_images(struct cbor_writer *reply) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < SLOTS * IMAGES; i++) {
        count += is_installed(i / SLOTS, i % SLOTS);
    }
    cbor_put_key(reply, "images");
    cbor_put_head(reply, CBOR_ARRAY, count);
}

/* Every installed version, each image's in the order of the slots. */
static APART enum smp_result put_images(struct cbor_writer *reply) {
    begin_images(reply);
    for (uint32_t i = 0; i < SLOTS * IMAGES; i++) {
        const uint32_t index = slot_of(store_image(i / SLOTS), 0) ^ (i % SLOTS);
        if (is_installed(i / SLOTS, index)) {
            put_image(reply, i / SLOTS, index);
        }
    }
    return SMP_OK;
}

#define NO_VERSION (SLOTS * IMAGES)
#define ANY_IMAGE UINT32_MAX

/* Which version a request is about: that with `hash`, NULL when it names none, of `image`. */
static struct {
    const uint8_t *hash;
    uint32_t hash_size, image;
} wanted;

static APART void read_wanted(const struct smp_request *request) {
    wanted.hash = NULL;
    wanted.image = ANY_IMAGE;
    cbor_find_bytes(&request->payload, "hash", &wanted.hash, &wanted.hash_size);
    cbor_find_unsigned(&request->payload, "image", &wanted.image);
}

/* The first version that is wanted, counted through all images. */
static APART uint32_t find_version(void) {
    for (uint32_t i = 0; i < NO_VERSION && wanted.hash_size == SHA256_SIZE; i++) {
        const struct state_version *version = &store_image(i / SLOTS)->versions[i % SLOTS];
        const bool meant = wanted.image == ANY_IMAGE || wanted.image == i / SLOTS;
        const uint8_t *digest = meant && version->state != STATE_EMPTY ? digest_of(version) : NULL;
        if (digest != NULL && memcmp(digest, wanted.hash, SHA256_SIZE) == 0) {
            return i;
        }
    }
    return NO_VERSION;
}

static uint32_t chosen_version(uint32_t image) {
    const uint32_t index = store_chosen_index(store_image(image));
    return index == STATE_VERSIONS ? NO_VERSION : image * SLOTS + index;
}

/* A start would refuse it: what has been confirmed since has a higher counter. */
static APART bool is_older(uint32_t version) {
    const struct state_image *entry = store_image(version / SLOTS);
    const struct state_version *its = &entry->versions[version % SLOTS];
    return image_check_counter(store_container(its), its->size, entry->counter) != IMAGE_GOOD;
}

static APART enum smp_result change_state(bool confirm) {
    const bool named = wanted.hash != NULL;
    const uint32_t version = named ? find_version() : chosen_version(wanted.image == ANY_IMAGE ? 0 : wanted.image);
    if (!named && !confirm) {
        return SMP_INVALID;
    }
    if (version == NO_VERSION) {
        return SMP_NO_ENTRY;
    }
    if (is_older(version)) {
        return SMP_INVALID;
    }
    module_trust(); /* bad starts were those of another version, or shall be forgiven */
    store_change(version / SLOTS, version % SLOTS, confirm ? STATE_CONFIRMED : STATE_PENDING);
    return SMP_OK;
}

enum smp_result smp_image_state(const struct smp_request *request, struct cbor_writer *reply) {
    enum smp_result result = SMP_OK;
    if (is_write(request)) {
        read_wanted(request);
        result = change_state(cbor_find_true(&request->payload, "confirm"));
    }
    return result == SMP_OK ? put_images(reply) : result;
}

/// Upload ///

static bool same_upload(uint32_t image, uint32_t length, const uint8_t *digest) {
    return upload.active && upload.image == image && upload.length == length && upload.has_digest && digest != NULL &&
           memcmp(upload.digest, digest, SHA256_SIZE) == 0;
}

static APART enum smp_result begin_upload(const struct smp_request *request) {
    uint32_t length, digest_size = 0, image = 0;
    const uint8_t *digest = NULL;
    cbor_find_unsigned(&request->payload, "image", &image);
    if (!cbor_find_unsigned(&request->payload, "len", &length) || image >= IMAGES) {
        return SMP_INVALID;
    }
    cbor_find_bytes(&request->payload, "sha", &digest, &digest_size);
    digest = digest_size == SHA256_SIZE ? digest : NULL;
    if (same_upload(image, length, digest)) {
        return SMP_OK;
    }
    memset(&upload, 0, sizeof upload);
    if (length > SLOT_SIZE) {
        return SMP_NO_MEMORY;
    }
    module_unload(); /* the version that has to go may be the one that is loaded */
    upload.address = store_make_room(image, length);
    if (upload.address == 0) {
        return SMP_NO_MEMORY;
    }
    upload.active = true;
    upload.image = (uint8_t)image;
    upload.length = length;
    upload.erased = upload.address;
    upload.has_digest = digest != NULL;
    if (digest != NULL) {
        memcpy(upload.digest, digest, SHA256_SIZE);
    }
    return SMP_OK;
}

static bool erase_up_to(uint32_t end) {
    while (upload.erased < end) {
        struct flash_sector sector = flash_sector_at(upload.erased);
        if (!flash_erase(&sector)) {
            return false;
        }
        upload.erased = sector.address + sector.size;
    }
    return true;
}

/* Whole write units, the last one filled up; read back, since not every controller notices a failure. */
static bool write_chunk(const uint8_t *bytes, uint32_t size) {
    uint32_t address = upload.address + upload.offset, whole = size - size % FLASH_WRITE_UNIT;
    uint8_t last[FLASH_WRITE_UNIT];
    memset(last, FLASH_ERASED, sizeof last);
    memcpy(last, bytes + whole, size - whole);
    return erase_up_to(address + size) && flash_write(address, bytes, whole) &&
           (size == whole || flash_write(address + whole, last, sizeof last)) &&
           memcmp((const uint8_t *)address, bytes, size) == 0;
}

/* A chunk that is not the last is taken up to a whole write unit; the client sends the rest again. */
static enum smp_result take_chunk(const uint8_t *bytes, uint32_t size) {
    uint32_t left = upload.length - upload.offset;
    if (size > left) {
        return SMP_INVALID;
    }
    if (size < left) {
        size -= size % FLASH_WRITE_UNIT;
    }
    module_unload(); /* each time: an upload that writes nothing yet leaves an image that can be loaded */
    if (!write_chunk(bytes, size)) {
        upload.active = false;
        return SMP_UNKNOWN;
    }
    upload.offset += size;
    return SMP_OK;
}

/* Hashes in the arena, which is free: a chunk has unloaded the program, or there was none and this does. The image's own
   hash is compared on the way: a second pass over all of it would be seen in the time that an upload takes. */
static APART bool is_as_sent(void) {
    module_unload();
    struct sha256 *work = (struct sha256 *)module_arena();
    const uint8_t *bytes = (const uint8_t *)upload.address, *own = image_digest(bytes, upload.length);
    bool unaltered = false;
    if (!upload.has_digest) {
        return true;
    }
    const uint8_t *digest =
        own == NULL ? sha256(work, bytes, upload.length)
                    : sha256_and_prefix(work, bytes, upload.length, image_hashed(bytes, upload.length), own, &unaltered);
    const bool match = memcmp(digest, upload.digest, SHA256_SIZE) == 0;
    if (match && unaltered) {
        image_hash_is_known();
    }
    return match;
}

/* Why a start would not take it, and a name that this is about; NULL without. */
static const char *wrong, *wrong_detail;

static APART enum smp_result finish(struct cbor_writer *reply, bool match) {
    if (match && wrong == NULL && !store_install(upload.image, upload.address, upload.length)) {
        return SMP_UNKNOWN;
    }
    cbor_put_unsigned(reply, "rc", wrong == NULL ? SMP_OK : SMP_BAD_STATE);
    if (wrong != NULL) {
        cbor_put_text(reply, "msg", wrong);
    }
    if (wrong_detail != NULL) {
        cbor_put_text(reply, "detail", wrong_detail);
    }
    if (upload.has_digest) {
        cbor_put_bool(reply, "match", match);
    }
    return SMP_OK;
}

static APART enum smp_result take_data(const struct smp_request *request, uint32_t offset) {
    uint32_t size;
    const uint8_t *bytes;
    if (!cbor_find_bytes(&request->payload, "data", &bytes, &size)) {
        return SMP_INVALID;
    }
    return upload.active && offset == upload.offset ? take_chunk(bytes, size) : SMP_OK;
}

static APART enum smp_result take_request(const struct smp_request *request) {
    uint32_t offset;
    enum smp_result result = SMP_OK;
    if (!cbor_find_unsigned(&request->payload, "off", &offset)) {
        return SMP_INVALID;
    }
    if (offset == 0) {
        result = begin_upload(request);
    }
    return result == SMP_OK ? take_data(request, offset) : result;
}

/* What is as the client sent it is installed when a start would take it. */
enum smp_result smp_image_upload(const struct smp_request *request, struct cbor_writer *reply) {
    const enum smp_result result = take_request(request);
    if (result != SMP_OK) {
        return result;
    }
    cbor_put_unsigned(reply, "off", upload.offset);
    if (!upload.active || upload.offset < upload.length) {
        cbor_put_unsigned(reply, "rc", SMP_OK);
        return SMP_OK;
    }
    const bool match = is_as_sent();
    upload.active = false;
    wrong_detail = NULL;
    wrong = match ? module_check(upload.image, (const uint8_t *)upload.address, upload.length, &wrong_detail) : NULL;
    return finish(reply, match);
}

/// Erase ///

/* Removes the version with the request's hash, else the one in its slot. What is not there has been removed. */
enum smp_result smp_image_erase(const struct smp_request *request, struct cbor_writer *reply) {
    (void)reply;
    uint32_t slot = 1;
    module_unload();
    read_wanted(request);
    cbor_find_unsigned(&request->payload, "slot", &slot);
    const uint32_t version =
        wanted.hash != NULL ? find_version() : slot ^ slot_of(store_image(slot / SLOTS), 0);
    if (version < NO_VERSION) {
        store_change(version / SLOTS, version % SLOTS, STATE_EMPTY);
    }
    return SMP_OK;
}

/// Settings ///

#define MOST_SETTINGS (REPLY_SIZE - 64) /* they have to fit into a reply */

/* What is written takes the place of all that was; it counts from the next start on. Its strings are checked then, where
   there is more C stack. */
enum smp_result smp_image_settings(const struct smp_request *request, struct cbor_writer *reply) {
    uint32_t image = 0;
    cbor_find_unsigned(&request->payload, "image", &image);
    if (image >= IMAGES) {
        return SMP_INVALID;
    }
    if (is_write(request)) {
        store_set_settings(image, &request->payload);
        return store_image(image)->settings_size <= MOST_SETTINGS ? SMP_OK : SMP_NO_MEMORY;
    }
    const struct cbor_reader map = store_settings_map(image);
    cbor_put_key(reply, "settings");
    if (map.next == map.end) {
        cbor_put_head(reply, CBOR_MAP, 0);
    }
    cbor_put_raw(reply, map.next, (size_t)(map.end - map.next));
    return SMP_OK;
}
