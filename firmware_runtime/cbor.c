/* See cbor.h. The reader works on what came over the line and believes nothing of it. */

#include "cbor.h"

#include <string.h>

#define BREAK 0xFF
#define INDEFINITE 31
#define SIMPLE_FALSE 20u
#define SIMPLE_TRUE 21u
#define MOST_PAIRS 23
#define DEEPEST 4

/* The argument of an item's head: `info` bits, or 1, 2 or 4 bytes that follow. */
static bool read_argument(struct cbor_reader *reader, unsigned info, uint32_t *value) {
    *value = info;
    if (info < 24) {
        return true;
    }
    if (info == INDEFINITE) {
        *value = CBOR_OPEN;
        return true;
    }
    size_t size = (size_t)1 << (info - 24);
    if (info > 26 || size > (size_t)(reader->end - reader->next)) {
        return false;
    }
    *value = 0;
    while (size-- > 0) {
        *value = *value << 8 | *reader->next++;
    }
    return true;
}

bool cbor_read(struct cbor_reader *reader, struct cbor_item *item) {
    if (reader->next == reader->end || *reader->next == BREAK) {
        return false;
    }
    uint8_t head = *reader->next++;
    item->type = head >> 5;
    if (!read_argument(reader, head & 31, &item->value)) {
        return false;
    }
    item->content = reader->next;
    if (item->type == CBOR_BYTES || item->type == CBOR_TEXT) {
        if (item->value > (size_t)(reader->end - reader->next)) {
            return false;
        }
        reader->next += item->value;
    }
    return true;
}

bool cbor_passed(struct cbor_reader *reader, uint16_t *left) {
    if (*left != CBOR_UNTIL_BREAK) {
        return (*left)-- == 0;
    }
    bool ended = reader->next < reader->end && *reader->next == BREAK;
    reader->next += ended;
    return ended;
}

/* No message holds more items than one counter can count: such a container ends with the message, before its time. */
uint16_t cbor_contained(const struct cbor_item *item) {
    if (item->type == CBOR_TAG) {
        return 1;
    }
    if (item->value == CBOR_OPEN) {
        return CBOR_UNTIL_BREAK;
    }
    const uint32_t most = CBOR_UNTIL_BREAK - 1;
    const uint32_t items = item->type == CBOR_MAP && item->value <= most ? 2 * item->value : item->value;
    return (uint16_t)(items < most ? items : most);
}

/* Passes over the contents of an item that was read, and forgets it. Deeper nesting than any client has is refused
   instead of recursed into: the input chooses the depth. */
static inline bool skip_contents(struct cbor_reader *reader, struct cbor_item *item) {
    uint16_t left[DEEPEST];
    uint32_t depth = 0;
    for (;;) {
        if (item->type == CBOR_ARRAY || item->type == CBOR_MAP || item->type == CBOR_TAG) {
            if (depth == DEEPEST) {
                return false;
            }
            left[depth++] = cbor_contained(item);
        }
        while (depth > 0 && cbor_passed(reader, &left[depth - 1])) {
            depth--;
        }
        if (depth == 0) {
            return true;
        }
        if (!cbor_read(reader, item)) {
            return false;
        }
    }
}

static bool is_key(const struct cbor_item *item, const char *key) {
    return item->type == CBOR_TEXT && item->value == strlen(key) && memcmp(item->content, key, item->value) == 0;
}

/* Keys and values are read in turn; what follows the key is its value. */
bool cbor_find(const struct cbor_reader *map, const char *key, struct cbor_item *item) {
    struct cbor_reader reader = *map;
    if (!cbor_read(&reader, item) || item->type != CBOR_MAP) {
        return false;
    }
    const uint32_t pairs = item->value;
    bool found = false;
    for (uint32_t i = 0; i / 2 < pairs && cbor_read(&reader, item); i++) {
        if (found) {
            return true;
        }
        found = i % 2 == 0 && is_key(item, key);
        if (!skip_contents(&reader, item)) {
            return false;
        }
    }
    return false;
}

/* What a finder found; not on the C stack, which is deep where requests are answered. */
static struct cbor_item value_found;

bool cbor_find_unsigned(const struct cbor_reader *map, const char *key, uint32_t *value) {
    if (!cbor_find(map, key, &value_found) || value_found.type != CBOR_UNSIGNED) {
        return false;
    }
    *value = value_found.value;
    return true;
}

bool cbor_find_bytes(const struct cbor_reader *map, const char *key, const uint8_t **bytes, uint32_t *size) {
    if (!cbor_find(map, key, &value_found) || (value_found.type != CBOR_BYTES && value_found.type != CBOR_TEXT)) {
        return false;
    }
    *bytes = value_found.content;
    *size = value_found.value;
    return true;
}

bool cbor_find_true(const struct cbor_reader *map, const char *key) {
    return cbor_find(map, key, &value_found) && value_found.type == CBOR_SIMPLE && value_found.value == SIMPLE_TRUE;
}

void cbor_put_raw(struct cbor_writer *writer, const void *bytes, size_t size) {
    const uint8_t *next = bytes;
    if (size > (size_t)(writer->end - writer->next)) {
        writer->full = true;
    }
    while (!writer->full && size-- > 0) {
        *writer->next++ = *next++;
    }
}

static void put_byte(struct cbor_writer *writer, uint32_t byte) {
    if (writer->next == writer->end) {
        writer->full = true;
    } else {
        *writer->next++ = (uint8_t)byte;
    }
}

void cbor_put_head(struct cbor_writer *writer, enum cbor_type type, uint32_t value) {
    uint32_t bits = value < 24 ? 0 : value <= UINT8_MAX ? 8 : value <= UINT16_MAX ? 16 : 32;
    put_byte(writer, type << 5 | (bits == 0 ? value : 24 + bits / 16));
    while (bits > 0) {
        bits -= 8;
        put_byte(writer, value >> bits);
    }
}

uint8_t *cbor_begin_map(struct cbor_writer *writer) {
    uint8_t *outer = writer->map;
    writer->map = writer->next;
    cbor_put_head(writer, CBOR_MAP, 0);
    return outer;
}

void cbor_end_map(struct cbor_writer *writer, uint8_t *outer) {
    writer->map = outer;
}

void cbor_put_key(struct cbor_writer *writer, const char *key) {
    if (!writer->full && ++*writer->map > (CBOR_MAP << 5 | MOST_PAIRS)) {
        writer->full = true;
    }
    cbor_put_head(writer, CBOR_TEXT, (uint32_t)strlen(key));
    cbor_put_raw(writer, key, strlen(key));
}

void cbor_put_unsigned(struct cbor_writer *writer, const char *key, uint32_t value) {
    cbor_put_key(writer, key);
    cbor_put_head(writer, CBOR_UNSIGNED, value);
}

void cbor_put_bool(struct cbor_writer *writer, const char *key, bool value) {
    cbor_put_key(writer, key);
    cbor_put_head(writer, CBOR_SIMPLE, value ? SIMPLE_TRUE : SIMPLE_FALSE);
}

void cbor_put_string(struct cbor_writer *writer, const char *key, enum cbor_type type, const void *bytes,
                     uint32_t size) {
    cbor_put_key(writer, key);
    cbor_put_head(writer, type, size);
    cbor_put_raw(writer, bytes, size);
}

void cbor_put_text(struct cbor_writer *writer, const char *key, const char *text) {
    cbor_put_string(writer, key, CBOR_TEXT, text, (uint32_t)strlen(text));
}
