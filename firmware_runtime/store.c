/* See store.h. The directory is one record (mcutool/image/state.py). A change writes a new one behind the last, with the
   next sequence number; when there is no blank room the other area is erased and begins with it. So at each moment one
   sound record is in flash, and a record that was cut off is none: its CRC comes last. */

#include "store.h"

#include <string.h>

#include "board.h"
#include "platform.h"
#include "sha256.h"
#include "vm.h"

#define APART __attribute__((noinline)) /* has C stack of its own, which is not below the other's */
#define AREAS 2u
#define CRC_SIZE 4u
/* What is written at once: a whole write unit. */
#define UNIT (FLASH_WRITE_UNIT > STATE_ALIGNMENT ? FLASH_WRITE_UNIT : STATE_ALIGNMENT)

static const struct {
    uint32_t address, size;
} areas[AREAS] = STATE_AREAS;

static const struct state_record *newest; /* the directory, NULL when there is none */

/* A change that is not in flash yet: the entry of one image, and its settings. */
static struct {
    bool active;
    uint8_t image;
    const uint8_t *settings;
    struct state_image entry;
} draft;

static const struct state_image *first_image(const struct state_record *record) {
    return (const struct state_image *)(record + 1);
}

/// CRC-32 ///

static uint32_t crc32(uint32_t crc, const uint8_t *bytes, uint32_t size) {
    for (uint32_t i = 0; i < 8 * size; i++) {
        crc ^= i % 8 == 0 ? bytes[i / 8] : 0;
        crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return crc;
}

static bool lies_in_slot(const struct state_version *version) {
    return version->state == STATE_EMPTY ||
           (version->state <= STATE_CONFIRMED && version->offset % STATE_ALIGNMENT == 0 &&
            version->offset < SLOT_SIZE && version->size - 1 < SLOT_SIZE - version->offset);
}

/* All that the record names is there: a firmware whose flash is divided otherwise may have written it. */
static APART bool makes_sense(const struct state_record *record) {
    const struct state_image *entry = first_image(record);
    uint32_t left = record->size - sizeof *record - CRC_SIZE;
    bool good = true;
    for (uint32_t i = 0; good && i < record->images; i++, entry++) {
        good = left >= sizeof *entry && entry->settings_size <= left - sizeof *entry &&
               lies_in_slot(&entry->versions[0]) && lies_in_slot(&entry->versions[1]);
        left -= sizeof *entry + entry->settings_size;
    }
    return good;
}

static bool is_sound(const struct state_record *record) {
    if (record == NULL || !makes_sense(record)) {
        return false;
    }
    const uint8_t *bytes = (const uint8_t *)record;
    const uint32_t size = record->size - CRC_SIZE, crc = ~crc32(~0u, bytes, size);
    return memcmp(bytes + size, &crc, sizeof crc) == 0;
}

/// Finding the directory ///

/* What looks like a record there. */
static const struct state_record *record_at(uint32_t area, uint32_t address) {
    const struct state_record *record = (const struct state_record *)address;
    const uint32_t left = areas[area].address + areas[area].size - address;
    const bool there = left > sizeof *record && record->magic == STATE_MAGIC && record->size <= left &&
                       record->size >= sizeof *record + CRC_SIZE && record->size % STATE_ALIGNMENT == 0;
    return there ? record : NULL;
}

/* Only the last one of an area can have been cut off: behind it nothing is written. */
static const struct state_record *newest_in(uint32_t area) {
    const struct state_record *last = NULL, *before = NULL, *next = record_at(area, areas[area].address);
    while (next != NULL && (last == NULL || next->sequence == last->sequence + 1)) {
        before = last;
        last = next;
        next = record_at(area, (uint32_t)last + last->size);
    }
    return is_sound(last) ? last : is_sound(before) ? before : NULL;
}

/* Also when a debug probe has written another one. */
void store_open(void) {
    if (newest == NULL || newest->magic != STATE_MAGIC) {
        const struct state_record *first = newest_in(0), *second = newest_in(1);
        newest = second == NULL || (first != NULL && first->sequence > second->sequence) ? first : second;
    }
}

static bool is_drafted(uint32_t image) {
    return draft.active && draft.image == image;
}

static const struct state_image *written_image(uint32_t image) {
    static const struct state_image none;
    return newest == NULL || image >= newest->images ? &none : first_image(newest) + image;
}

const struct state_image *store_image(uint32_t image) {
    return is_drafted(image) ? &draft.entry : written_image(image);
}

static const uint8_t *settings_of(uint32_t image) {
    if (is_drafted(image)) {
        return draft.settings;
    }
    const uint8_t *settings = newest == NULL ? NULL : (const uint8_t *)(first_image(newest) + newest->images);
    for (uint32_t i = 0; i < image; i++) {
        settings += written_image(i)->settings_size;
    }
    return settings;
}

/// Writing another one ///

static uint32_t size_of_record(void) {
    uint32_t size = sizeof(struct state_record) + CRC_SIZE;
    for (uint32_t i = 0; i < IMAGES; i++) {
        size += sizeof(struct state_image) + store_image(i)->settings_size;
    }
    return (size + UNIT - 1) & ~(UNIT - 1);
}

/* What stands behind the head of a record: the entries, then the settings. */
#define PIECES (2 * IMAGES)

static const uint8_t *piece(uint32_t number, uint32_t *size) {
    const struct state_image *entry = store_image(number % IMAGES);
    *size = number < IMAGES ? sizeof *entry : entry->settings_size;
    return number < IMAGES ? (const uint8_t *)entry : settings_of(number % IMAGES);
}

/* Little is on the C stack here: a change may come while a program is deep in its own. */
static APART bool write_record(uint32_t address, uint32_t size) {
    static struct state_record head;
    static uint8_t unit[UNIT];
    const uint8_t *bytes = (const uint8_t *)&head;
    uint32_t left = sizeof head, next_piece = 0, crc = ~0u;
    head = (struct state_record){STATE_MAGIC, newest == NULL ? 1 : newest->sequence + 1, (uint16_t)size, IMAGES};
    for (uint32_t done = 0; done < size; done++) {
        while (left == 0 && next_piece < PIECES) {
            bytes = piece(next_piece++, &left);
        }
        if (done == size - CRC_SIZE) {
            head.magic = ~crc; /* has been written */
            bytes = (const uint8_t *)&head;
            left = CRC_SIZE;
        }
        const uint8_t byte = left > 0 ? *bytes++ : 0;
        left -= left > 0;
        crc = crc32(crc, &byte, 1);
        unit[done % UNIT] = byte;
        if (done % UNIT == UNIT - 1 && !flash_write(address + done + 1 - UNIT, unit, UNIT)) {
            return false;
        }
    }
    return true;
}

/* What was written is read back: not every controller notices a failure. */
static bool accept(uint32_t area, uint32_t address) {
    const struct state_record *record = record_at(area, address);
    const bool sound = is_sound(record);
    newest = sound ? record : newest;
    return sound;
}

static bool erase_area(uint32_t area) {
    for (uint32_t address = areas[area].address; address < areas[area].address + areas[area].size;) {
        const struct flash_sector sector = flash_sector_at(address);
        if (!flash_erase(&sector)) {
            return false;
        }
        address = sector.address + sector.size;
    }
    return true;
}

static bool is_blank(uint32_t address, uint32_t size) {
    const uint8_t *bytes = (const uint8_t *)address;
    while (size > 0 && bytes[size - 1] == FLASH_ERASED) {
        size--;
    }
    return size == 0;
}

/* Behind the last record; when that cannot be, at the start of the other area. */
static bool append(void) {
    const uint32_t size = size_of_record();
    uint32_t area = newest != NULL && (uint32_t)newest - areas[0].address < areas[0].size ? 0 : 1;
    uint32_t address = newest == NULL ? 0 : (uint32_t)newest + newest->size;
    bool fits = newest != NULL && size <= areas[area].address + areas[area].size - address && is_blank(address, size);
    for (uint32_t attempt = 0; size <= UINT16_MAX && attempt < AREAS; attempt++) {
        if (fits && write_record(address, size) && accept(area, address)) {
            return true;
        }
        area ^= 1;
        address = areas[area].address;
        fits = attempt == 0 && size <= areas[area].size && erase_area(area);
    }
    return false;
}

void store_forget(void) {
    draft.active = false;
}

bool store_commit(void) {
    const bool done = !draft.active || append();
    draft.active = false;
    return done;
}

/* The entry of an image, to be changed; its settings stay what they are. */
static struct state_image *begin_change(uint32_t image) {
    draft.entry = *store_image(image);
    draft.settings = settings_of(image);
    draft.image = (uint8_t)image;
    draft.active = true;
    return &draft.entry;
}

/* Nothing is written when nothing changes. */
static void end_change(void) {
    draft.active = memcmp(written_image(draft.image), &draft.entry, sizeof draft.entry) != 0;
}

/// Versions ///

const uint8_t *store_container(const struct state_version *version) {
    return (const uint8_t *)SLOT_ADDRESS + version->offset;
}

static uint32_t index_of(const struct state_image *entry, uint32_t state) {
    uint32_t index = 0;
    while (index < STATE_VERSIONS && entry->versions[index].state != state) {
        index++;
    }
    return index;
}

uint32_t store_chosen_index(const struct state_image *entry) {
    const uint32_t tried = index_of(entry, STATE_TRIED);
    return tried < STATE_VERSIONS ? tried : index_of(entry, STATE_CONFIRMED);
}

const uint8_t *store_chosen(uint32_t image, uint32_t *size) {
    const struct state_image *entry = store_image(image);
    const uint32_t index = store_chosen_index(entry);
    if (index == STATE_VERSIONS) {
        return NULL;
    }
    *size = entry->versions[index].size;
    return store_container(&entry->versions[index]);
}

const uint8_t *store_find(const uint8_t *digest, uint32_t *size, uint32_t *image) {
    for (uint32_t i = 0; i < IMAGES * STATE_VERSIONS; i++) {
        const struct state_version *version = &store_image(i / STATE_VERSIONS)->versions[i % STATE_VERSIONS];
        const uint8_t *container = store_container(version);
        const uint8_t *found = version->state == STATE_EMPTY ? NULL : image_digest(container, version->size);
        if (found != NULL && memcmp(found, digest, SHA256_SIZE) == 0) {
            *size = version->size;
            *image = i / STATE_VERSIONS;
            return container;
        }
    }
    return NULL;
}

/* One confirmed version is enough. A trial that is due stays due when the version before it is confirmed. */
static void set_confirmed(struct state_image *entry, uint32_t index) {
    struct state_version *version = &entry->versions[index], *other = &entry->versions[index ^ 1];
    const uint32_t counter = image_counter(store_container(version), version->size);
    entry->counter = counter > entry->counter ? counter : entry->counter;
    version->state = STATE_CONFIRMED;
    if (other->state == STATE_TRIED || other->state == STATE_CONFIRMED) {
        other->state = STATE_CANDIDATE;
    }
}

/* To activate the confirmed one means to give up the other. */
static void set_pending(struct state_image *entry, uint32_t index) {
    struct state_version *version = &entry->versions[index], *other = &entry->versions[index ^ 1];
    if (version->state == STATE_CONFIRMED ? other->state != STATE_EMPTY : other->state == STATE_PENDING) {
        other->state = STATE_CANDIDATE;
    }
    if (version->state == STATE_CANDIDATE) {
        version->state = STATE_PENDING;
    }
}

void store_change(uint32_t image, uint32_t index, uint32_t state) {
    struct state_image *entry = begin_change(image);
    if (state == STATE_CONFIRMED) {
        set_confirmed(entry, index);
    } else if (state == STATE_PENDING) {
        set_pending(entry, index);
    } else {
        memset(&entry->versions[index], 0, sizeof entry->versions[index]);
    }
    end_change();
}

bool store_confirm(uint32_t image) {
    const uint32_t index = store_chosen_index(store_image(image));
    if (index == STATE_VERSIONS) {
        return false;
    }
    store_change(image, index, STATE_CONFIRMED);
    return store_commit();
}

enum store_trial store_begin(uint32_t image) {
    store_open();
    const struct state_image *before = written_image(image);
    struct state_image *entry = begin_change(image);
    enum store_trial found = STORE_SETTLED;
    for (uint32_t i = 0; i < STATE_VERSIONS; i++) {
        const uint32_t state = before->versions[i].state, other = before->versions[i ^ 1].state;
        if (state == STATE_PENDING) {
            entry->versions[i].state = STATE_TRIED;
            found = STORE_TRIAL;
        } else if (state == STATE_TRIED && other < STATE_PENDING) {
            found = STORE_TRIAL;
        } else if (state == STATE_TRIED) {
            entry->versions[i].state = STATE_CANDIDATE;
            found = other == STATE_CONFIRMED ? STORE_ROLLED_BACK : STORE_TRIAL;
        }
    }
    end_change();
    return store_commit() ? found : STORE_SETTLED;
}

/// Room ///

static uint32_t end_of(const struct state_version *version) {
    const struct flash_sector last = flash_sector_at(SLOT_ADDRESS + version->offset + version->size - 1);
    return last.address + last.size;
}

/* The first free sectors in a row that are enough; beside all versions but those of the image that have this state. */
static APART uint32_t find_room(uint32_t size, uint32_t image, uint32_t replaced) {
    uint32_t address = SLOT_ADDRESS;
    for (uint32_t i = 0; i < IMAGES * STATE_VERSIONS; i++) {
        const struct state_version *version = &store_image(i / STATE_VERSIONS)->versions[i % STATE_VERSIONS];
        const bool counts = version->state != STATE_EMPTY && i != image * STATE_VERSIONS + replaced;
        if (counts && address < end_of(version) && SLOT_ADDRESS + version->offset < address + size) {
            address = end_of(version);
            i = UINT32_MAX; /* once more from the first, from there on */
        }
    }
    return size <= SLOT_ADDRESS + SLOT_SIZE - address ? address : 0;
}

/* The version whose place a new one takes. */
static uint32_t replaced_index(const struct state_image *entry) {
    return entry->versions[0].state < entry->versions[1].state ? 0 : 1;
}

uint32_t store_make_room(uint32_t image, uint32_t size) {
    const uint32_t replaced = replaced_index(store_image(image));
    const uint32_t address = find_room(size, image, replaced);
    if (address != 0) {
        store_change(image, replaced, STATE_EMPTY);
    }
    return store_commit() ? address : 0;
}

bool store_install(uint32_t image, uint32_t address, uint32_t size) {
    struct state_image *entry = begin_change(image);
    entry->versions[replaced_index(entry)] = (struct state_version){address - SLOT_ADDRESS, size, STATE_CANDIDATE};
    return store_commit();
}

/// Settings ///

struct cbor_reader store_settings_map(uint32_t image) {
    const uint8_t *settings = settings_of(image);
    return (struct cbor_reader){settings, settings + store_image(image)->settings_size};
}

void store_set_settings(uint32_t image, const struct cbor_reader *map) {
    begin_change(image)->settings_size = (uint32_t)(map->end - map->next);
    draft.settings = map->next;
}

/* A missing array is an empty one. */
static bool each_string(const struct cbor_reader *map, bool environment,
                        bool (*take)(bool environment, const char *text, size_t length)) {
    struct cbor_item array, text;
    if (!cbor_find(map, environment ? "env" : "args", &array)) {
        return true;
    }
    struct cbor_reader strings = {array.content, map->end};
    uint16_t left = cbor_contained(&array);
    bool good = array.type == CBOR_ARRAY;
    while (good && !cbor_passed(&strings, &left)) {
        good = cbor_read(&strings, &text) && text.type == CBOR_TEXT &&
               take(environment, (const char *)text.content, text.value);
    }
    return good;
}

bool store_settings(uint32_t image, bool (*take)(bool environment, const char *text, size_t length)) {
    const struct cbor_reader map = store_settings_map(image);
    return each_string(&map, false, take) && each_string(&map, true, take);
}

static uint32_t number_of(uint32_t image, const char *key, uint32_t otherwise) {
    const struct cbor_reader map = store_settings_map(image);
    cbor_find_unsigned(&map, key, &otherwise);
    return otherwise;
}

uint32_t store_fuel(uint32_t image) {
    return number_of(image, "fuel", 0);
}

uint32_t store_grants(uint32_t image) {
    return number_of(image, "grants", UINT32_MAX);
}

uint32_t store_counter(uint32_t image) {
    return store_image(image)->counter;
}
