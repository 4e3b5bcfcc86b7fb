/* The firmware's store and image group on a PC, over a model of flash whose power is cut at every operation.

       harness FLASH-FILE < SCRIPT

   A script is words of 32 bits: a command, a size, so many bytes. What runs without a cut runs here; each cut runs in a
   process of its own, which shares the flash and dies in the middle of its operation. Answers are lines. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../firmware_runtime/store.c"

#include "module.h"
#include "smp.h"

/* What of flash changes: the areas, and some sectors of the modules' part. */
#define CHANGED_SECTORS 6u

/// Flash ///

static uint32_t changed_end;
static long operation, cut_at = -1;
static int cut_kind; /* 0: before it, 1 and 2: torn, 3: behind it */
static unsigned chance;

static unsigned draw(void) {
    chance = chance * 1664525u + 1013904223u;
    return chance >> 16;
}

static void change(uint8_t *cells, const uint8_t *after, uint32_t size) {
    const bool cut = operation++ == cut_at;
    if (!cut || cut_kind == 3) {
        memcpy(cells, after, size);
    } else if (cut_kind != 0) {
        /* Up to somewhere it is done, for some bytes some bits are. */
        chance = (unsigned)cut_at * 7919u + (unsigned)cut_kind;
        const uint32_t whole = draw() % (size + 1), doubtful = whole + (cut_kind == 1 ? 16 : size);
        for (uint32_t i = 0; i < size; i++) {
            const uint8_t bits = i < whole ? 0xFF : i < doubtful ? (uint8_t)draw() : 0;
            cells[i] = (uint8_t)((cells[i] & ~bits) | (after[i] & bits));
        }
    }
    if (cut) {
        _exit(0);
    }
}

bool flash_erase(const struct flash_sector *sector) {
    static uint8_t erased[1 << 18];
    if (sector->address + sector->size > changed_end) {
        abort();
    }
    memset(erased, FLASH_ERASED, sector->size);
    change((uint8_t *)(uintptr_t)sector->address, erased, sector->size);
    return true;
}

bool flash_write(uint32_t address, const uint8_t *bytes, uint32_t size) {
    if (address + size > changed_end || address % FLASH_WRITE_UNIT != 0 || size % FLASH_WRITE_UNIT != 0) {
        abort();
    }
    for (uint32_t i = 0; i < size; i += FLASH_WRITE_UNIT) {
        uint8_t *cells = (uint8_t *)(uintptr_t)(address + i);
        for (uint32_t j = 0; j < FLASH_WRITE_UNIT; j++) {
            if (cells[j] != FLASH_ERASED) {
                abort(); /* only erased bytes are written */
            }
        }
        change(cells, bytes + i, FLASH_WRITE_UNIT);
    }
    return true;
}

bool gpio_configure(uint32_t pin, enum gpio_mode mode) {
    (void)pin, (void)mode;
    return false;
}

bool gpio_write(uint32_t pin, bool level) {
    (void)pin, (void)level;
    return false;
}

/// The rest of the firmware ///

static uint8_t arena[4096];

uint8_t *module_arena(void) {
    return arena;
}

void module_unload(void) {
}

void module_trust(void) {
}

const char *module_check(uint32_t image, const uint8_t *container, uint32_t size, const char **detail) {
    (void)image;
    *detail = NULL;
    return image_digest(container, size) == NULL ? "there is no image" : NULL;
}

char *console_decimal(char *end, uint32_t number) {
    (void)number;
    *--end = '0';
    return end;
}

/// Operations ///

static void boot(void) {
    newest = NULL;
    for (uint32_t i = 0; i < IMAGES; i++) {
        store_begin(i);
    }
}

/* A request: its command's letter, then the CBOR map. As smp.c does it. */
static int request(const uint8_t *bytes, uint32_t size) {
    static uint8_t buffer[4096];
    struct cbor_writer reply = {buffer, buffer + sizeof buffer, NULL, false};
    const struct smp_request message = {{SMP_WRITE}, {bytes + 1, bytes + size}};
    const smp_handler handler = bytes[0] == 'u'   ? smp_image_upload
                                : bytes[0] == 's' ? smp_image_state
                                : bytes[0] == 'e' ? smp_image_erase
                                                  : smp_image_settings;
    cbor_begin_map(&reply);
    store_open();
    int result = handler(&message, &reply);
    if (result != SMP_OK) {
        store_forget();
    } else if (!store_commit()) {
        result = SMP_UNKNOWN;
    }
    return result;
}

/* Writes settings of the last image until there is no room for another record behind the last. */
static void fill_area(void) {
    static uint8_t settings[] = {'c', 0xA2, 0x65, 'i', 'm', 'a', 'g', 'e', IMAGES - 1, 0x61, 'x', 0};
    const struct state_record *before;
    store_open();
    do {
        before = newest;
        settings[sizeof settings - 1] ^= 1;
        request(settings, sizeof settings);
    } while ((uintptr_t)newest > (uintptr_t)before &&
             (uint32_t)(uintptr_t)newest + 2 * newest->size <=
                 areas[(uint32_t)(uintptr_t)newest - areas[0].address < areas[0].size ? 0 : 1].address +
                     areas[(uint32_t)(uintptr_t)newest - areas[0].address < areas[0].size ? 0 : 1].size);
}

struct operation {
    const uint8_t *bytes;
    uint32_t size;
};

/* Requests, each with its size before it; of none, a start of the board. */
static void perform(const struct operation *what) {
    if (what->size == 0) {
        boot();
    }
    for (uint32_t at = 0; at < what->size;) {
        uint32_t size;
        memcpy(&size, what->bytes + at, sizeof size);
        const int result = request(what->bytes + at + sizeof size, size);
        if (result != SMP_OK) {
            printf("refused %d\n", result);
        }
        at += sizeof size + size;
    }
}

static bool is_whole(const struct state_version *version) {
    const uint8_t *container = store_container(version);
    const uint8_t *stored = image_digest(container, version->size);
    const struct image_container *head = (const struct image_container *)container;
    return stored != NULL && memcmp(stored, sha256((struct sha256 *)arena, container, head->header_size + head->image_size),
                                    SHA256_SIZE) == 0;
}

/* For each image: chosen digest's first bytes, counter, settings; then each version's digest, state, and whether it is whole. */
static void describe(void) {
    store_open();
    for (uint32_t i = 0; i < IMAGES; i++) {
        const struct state_image *entry = store_image(i);
        const struct cbor_reader map = store_settings_map(i);
        uint32_t size;
        const uint8_t *chosen = store_chosen(i, &size);
        printf("%08x %u ", chosen ? *(const uint32_t *)image_digest(chosen, size) : 0, store_counter(i));
        for (const uint8_t *byte = map.next; byte < map.end; byte++) {
            printf("%02x", *byte);
        }
        for (uint32_t j = 0; j < STATE_VERSIONS; j++) {
            const struct state_version *version = &entry->versions[j];
            const bool whole = version->state == STATE_EMPTY || is_whole(version);
            const uint8_t *digest = version->state == STATE_EMPTY || !whole ? NULL : image_digest(store_container(version), version->size);
            printf(" %08x/%u/%s", digest ? *(const uint32_t *)digest : 0, version->state, whole ? "whole" : "BROKEN");
        }
        printf(";");
    }
    printf("\n");
}

/// Cuts ///

static uint8_t *snapshot;

/* Runs in a process that ends with the power. */
static void apart(const struct operation *what, bool then_describe, long at, int kind) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        cut_at = at;
        cut_kind = kind;
        operation = 0;
        newest = NULL;
        if (what != NULL) {
            perform(what);
        }
        if (then_describe) {
            boot();
            describe();
        }
        fflush(stdout);
        _exit(at < 0 ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status)) {
        printf("died of signal %d\n", WTERMSIG(status));
    }
}

static void cut_everywhere(const struct operation *what, uint32_t operations, uint32_t every, uint32_t first) {
    const uint32_t changed = changed_end - FLASH_BASE;
    for (uint32_t i = first; i < 4 * operations; i += every) {
        memcpy((void *)(uintptr_t)FLASH_BASE, snapshot, changed);
        apart(what, false, i / 4, (int)(i % 4));
        printf("%u ", i);
        apart(NULL, true, -1, 0);
        apart(what, true, -1, 0);
    }
    memcpy((void *)(uintptr_t)FLASH_BASE, snapshot, changed);
}

static uint32_t count_operations(const struct operation *what) {
    const uint32_t changed = changed_end - FLASH_BASE;
    memcpy(snapshot, (void *)(uintptr_t)FLASH_BASE, changed);
    operation = 0;
    newest = NULL;
    perform(what);
    const long count = operation;
    memcpy((void *)(uintptr_t)FLASH_BASE, snapshot, changed);
    newest = NULL;
    return (uint32_t)count;
}

int main(void) {
    static uint8_t bytes[1 << 20];
    uint32_t head[4];
    const struct flash_sector first = flash_sector_at(SLOT_ADDRESS);
    changed_end = SLOT_ADDRESS + (CHANGED_SECTORS * first.size < SLOT_SIZE ? CHANGED_SECTORS * first.size : SLOT_SIZE);
    void *flash = mmap((void *)(uintptr_t)FLASH_BASE, changed_end - FLASH_BASE, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (flash != (void *)(uintptr_t)FLASH_BASE) {
        return 1;
    }
    snapshot = malloc(changed_end - FLASH_BASE);
    memset(flash, FLASH_ERASED, changed_end - FLASH_BASE);
    while (fread(head, sizeof head, 1, stdin) == 1 && fread(bytes, 1, head[1], stdin) == head[1]) {
        const struct operation what = {bytes, head[1]};
        switch (head[0]) {
        case 'p': /* perform */
            perform(&what);
            break;
        case 'f':
            fill_area();
            break;
        case 'd': /* what it is after a start, and after the operation and a start; nothing stays of it */
            count_operations(&what);
            apart(NULL, true, -1, 0);
            memcpy(flash, snapshot, changed_end - FLASH_BASE);
            apart(&what, true, -1, 0);
            memcpy(flash, snapshot, changed_end - FLASH_BASE);
            break;
        case 'c': { /* cut: every, first */
            const uint32_t operations = count_operations(&what);
            printf("operations %u\n", operations);
            cut_everywhere(&what, operations, head[2], head[3]);
            break;
        }
        case 't': /* the power is cut at operation head[2], and that stays */
            apart(&what, false, head[2], 1);
            newest = NULL;
            break;
        case 'e': /* everything is erased */
            memset(flash, FLASH_ERASED, changed_end - FLASH_BASE);
            newest = NULL;
            break;
        }
        printf("done\n");
        fflush(stdout);
    }
    return 0;
}
