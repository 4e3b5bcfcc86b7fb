/* SMP's image group on the one slot of a board: list it, fill it, erase it.

   An upload erases sector by sector as it goes. The container's hash decides at the start whether what lies in the
   slot is whole, so an upload may be cut off anywhere. A chunk for another offset than the expected one is answered
   with the expected one: repeating and resuming are the same thing. */

#include <string.h>

#include "board.h"
#include "console.h"
#include "module.h"
#include "platform.h"
#include "sha256.h"
#include "smp.h"
#include "vm.h"

static struct {
    bool active;
    uint32_t length;
    uint32_t offset; /* the next byte that is wanted */
    uint32_t erased; /* address up to which the slot was erased */
    uint32_t digest_size;
    uint8_t digest[SHA256_SIZE]; /* of all that is uploaded, as the client says */
} upload;

static const uint8_t *const slot = (const uint8_t *)SLOT_ADDRESS;

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

/* One image, or none. There is nothing to confirm: what is in the slot runs when it is whole. */
enum smp_result smp_image_state(const struct smp_request *request, struct cbor_writer *reply) {
    static const char *const always_true[] = {"bootable", "confirmed", "active"};
    (void)request;
    const uint8_t *digest = image_digest(slot, SLOT_SIZE);
    cbor_put_key(reply, "images");
    cbor_put_head(reply, CBOR_ARRAY, digest != NULL);
    if (digest != NULL) {
        uint8_t *outer = cbor_begin_map(reply);
        cbor_put_unsigned(reply, "slot", 0);
        put_version(reply, (const struct image_container *)slot);
        cbor_put_string(reply, "hash", CBOR_BYTES, digest, SHA256_SIZE);
        for (size_t i = 0; i < sizeof always_true / sizeof *always_true; i++) {
            cbor_put_bool(reply, always_true[i], true);
        }
        cbor_end_map(reply, outer);
    }
    return SMP_OK;
}

/// Upload ///

static bool same_upload(uint32_t length, const uint8_t *digest, uint32_t digest_size) {
    return upload.active && upload.length == length && digest_size == SHA256_SIZE &&
           upload.digest_size == digest_size && memcmp(upload.digest, digest, digest_size) == 0;
}

static enum smp_result begin_upload(const struct smp_request *request) {
    uint32_t length, digest_size = 0;
    const uint8_t *digest = NULL;
    if (!cbor_find_unsigned(&request->payload, "len", &length)) {
        return SMP_INVALID;
    }
    if (length > SLOT_SIZE) {
        return SMP_NO_MEMORY;
    }
    cbor_find_bytes(&request->payload, "sha", &digest, &digest_size);
    if (same_upload(length, digest, digest_size)) {
        return SMP_OK;
    }
    memset(&upload, 0, sizeof upload);
    upload.active = true;
    upload.length = length;
    upload.erased = SLOT_ADDRESS;
    if (digest_size == SHA256_SIZE) {
        upload.digest_size = digest_size;
        memcpy(upload.digest, digest, digest_size);
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
    uint32_t address = SLOT_ADDRESS + upload.offset, whole = size - size % FLASH_WRITE_UNIT;
    uint8_t last[FLASH_WRITE_UNIT];
    memset(last, FLASH_ERASED, sizeof last);
    memcpy(last, bytes + whole, size - whole);
    return erase_up_to(address + size) && flash_write(address, bytes, whole) &&
           (size == whole || flash_write(address + whole, last, sizeof last)) &&
           memcmp(slot + upload.offset, bytes, size) == 0;
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

/* Hashes in the arena, which is free: a chunk has unloaded the program, or there was none and this does. */
static void put_match(struct cbor_writer *reply) {
    upload.active = false;
    module_unload();
    if (upload.digest_size == SHA256_SIZE) {
        const uint8_t *digest = sha256((struct sha256 *)module_arena(), slot, upload.length);
        cbor_put_bool(reply, "match", memcmp(digest, upload.digest, SHA256_SIZE) == 0);
    }
}

enum smp_result smp_image_upload(const struct smp_request *request, struct cbor_writer *reply) {
    uint32_t offset, size;
    const uint8_t *bytes;
    enum smp_result result = SMP_OK;
    if (!cbor_find_unsigned(&request->payload, "off", &offset) ||
        !cbor_find_bytes(&request->payload, "data", &bytes, &size)) {
        return SMP_INVALID;
    }
    if (offset == 0) {
        result = begin_upload(request);
    }
    if (result == SMP_OK && upload.active && offset == upload.offset) {
        result = take_chunk(bytes, size);
    }
    if (result != SMP_OK) {
        return result;
    }
    cbor_put_unsigned(reply, "rc", SMP_OK);
    cbor_put_unsigned(reply, "off", upload.offset);
    if (upload.active && upload.offset == upload.length) {
        put_match(reply);
    }
    return SMP_OK;
}

/// Erase ///

static bool is_blank(const struct flash_sector *sector) {
    const uint8_t *bytes = (const uint8_t *)sector->address;
    uint32_t i = 0;
    while (i < sector->size && bytes[i] == FLASH_ERASED) {
        i++;
    }
    return i == sector->size;
}

enum smp_result smp_image_erase(const struct smp_request *request, struct cbor_writer *reply) {
    (void)request, (void)reply;
    module_unload();
    memset(&upload, 0, sizeof upload);
    for (uint32_t address = SLOT_ADDRESS; address < SLOT_ADDRESS + SLOT_SIZE;) {
        struct flash_sector sector = flash_sector_at(address);
        if (!is_blank(&sector) && !flash_erase(&sector)) {
            return SMP_UNKNOWN;
        }
        address = sector.address + sector.size;
    }
    return SMP_OK;
}
