/* See cbor.h. The reader works on what came over the line and believes nothing of it. */

#include "cbor.h"

#include <string.h>

#define BREAK 0xFF
#define INDEFINITE 31
#define SIMPLE_FALSE 20u
#define SIMPLE_TRUE 21u
#define MOST_PAIRS 23
#define DEEPEST 6

/* The argument of an item's head: `info` bits, or 1, 2 or 4 bytes that follow. */
static bool read_argument(struct cbor_reader *reader, unsigned info, uint32_t *value) {
    *value = info;
    if (info < 24) {
        return true;
    }
    if (info == INDEFINITE) {
        *value = CBOR_UNTIL_BREAK;
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

bool cbor_passed(struct cbor_reader *reader, uint32_t *left) {
    if (*left != CBOR_UNTIL_BREAK) {
        return (*left)-- == 0;
    }
    bool ended = reader->next < reader->end && *reader->next == BREAK;
    reader->next += ended;
    return ended;
}

/* How many items follow the head of an item as its contents. */
static uint32_t contained(const struct cbor_item *item) {
    if (item->type == CBOR_TAG) {
        return 1;
    }
    return item->type == CBOR_MAP && item->value != CBOR_UNTIL_BREAK ? 2 * item->value : item->value;
}

/* Passes over the contents of an item that was read. Deeper nesting than any client has is refused instead of recursed
   into: the input chooses the depth. */
static bool skip_contents(struct cbor_reader *reader, struct cbor_item item) {
    uint32_t left[DEEPEST], depth = 0;
    for (;;) {
        if (item.type == CBOR_ARRAY || item.type == CBOR_MAP || item.type == CBOR_TAG) {
            if (depth == DEEPEST || (item.type == CBOR_MAP && item.value > UINT32_MAX / 2 &&
                                     item.value != CBOR_UNTIL_BREAK)) {
                return false;
            }
            left[depth++] = contained(&item);
        }
        while (depth > 0 && cbor_passed(reader, &left[depth - 1])) {
            depth--;
        }
        if (depth == 0) {
            return true;
        }
        if (!cbor_read(reader, &item)) {
            return false;
        }
    }
}

static bool is_key(const struct cbor_item *item, const char *key) {
    return item->type == CBOR_TEXT && item->value == strlen(key) && memcmp(item->content, key, item->value) == 0;
}

bool cbor_find(struct cbor_reader map, const char *key, struct cbor_item *item) {
    struct cbor_item head;
    if (!cbor_read(&map, &head) || head.type != CBOR_MAP) {
        return false;
    }
    for (uint32_t i = 0; i < head.value; i++) {
        struct cbor_item name;
        if (!cbor_read(&map, &name) || !skip_contents(&map, name) || !cbor_read(&map, item)) {
            return false;
        }
        if (is_key(&name, key)) {
            return true;
        }
        if (!skip_contents(&map, *item)) {
            return false;
        }
    }
    return false;
}

bool cbor_find_unsigned(struct cbor_reader map, const char *key, uint32_t *value) {
    struct cbor_item item;
    if (!cbor_find(map, key, &item) || item.type != CBOR_UNSIGNED) {
        return false;
    }
    *value = item.value;
    return true;
}

bool cbor_find_bytes(struct cbor_reader map, const char *key, const uint8_t **bytes, uint32_t *size) {
    struct cbor_item item;
    if (!cbor_find(map, key, &item) || (item.type != CBOR_BYTES && item.type != CBOR_TEXT)) {
        return false;
    }
    *bytes = item.content;
    *size = item.value;
    return true;
}

bool cbor_find_true(struct cbor_reader map, const char *key) {
    struct cbor_item item;
    return cbor_find(map, key, &item) && item.type == CBOR_SIMPLE && item.value == SIMPLE_TRUE;
}

static void put_raw(struct cbor_writer *writer, const uint8_t *bytes, size_t size) {
    if (writer->full || size > (size_t)(writer->end - writer->next)) {
        writer->full = true;
        return;
    }
    memcpy(writer->next, bytes, size);
    writer->next += size;
}

void cbor_put_head(struct cbor_writer *writer, enum cbor_type type, uint32_t value) {
    uint8_t head[5] = {(uint8_t)(type << 5)};
    size_t size = value < 24 ? 0 : value <= UINT8_MAX ? 1 : value <= UINT16_MAX ? 2 : 4;
    head[0] |= (uint8_t)(size == 0 ? value : 24u + size / 2);
    for (size_t i = 0; i < size; i++) {
        head[1 + i] = (uint8_t)(value >> 8 * (size - 1 - i));
    }
    put_raw(writer, head, 1 + size);
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
    put_raw(writer, (const uint8_t *)key, strlen(key));
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
    put_raw(writer, bytes, size);
}

void cbor_put_text(struct cbor_writer *writer, const char *key, const char *text) {
    cbor_put_string(writer, key, CBOR_TEXT, text, (uint32_t)strlen(text));
}
