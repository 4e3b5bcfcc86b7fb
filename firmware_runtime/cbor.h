/* The part of CBOR (RFC 8949) that SMP needs: maps with text keys, integers, booleans, byte and text strings, arrays of
   strings. Reading copies nothing and trusts no length; writing stops at the end of the buffer and remembers. */

#ifndef CBOR_H
#define CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Major types. */
enum cbor_type { CBOR_UNSIGNED, CBOR_NEGATIVE, CBOR_BYTES, CBOR_TEXT, CBOR_ARRAY, CBOR_MAP, CBOR_TAG, CBOR_SIMPLE };

#define CBOR_OPEN UINT32_MAX

/* One data item. `value`: the number, the string's size, or the count of items (pairs of a map), CBOR_OPEN when it
   is open-ended. `content`: where a string's bytes or the first contained item begin. */
struct cbor_item {
    enum cbor_type type;
    uint32_t value;
    const uint8_t *content;
};

struct cbor_reader {
    const uint8_t *next;
    const uint8_t *end;
};

/* Reads the next item; a string is passed over, an array or map only entered. False at a break, at the end, and when
   the bytes are no CBOR or hold a number of more than 32 bits. */
bool cbor_read(struct cbor_reader *reader, struct cbor_item *item);

/* How many items the container holds that was entered: a map's keys and values, CBOR_UNTIL_BREAK of an open-ended one. */
#define CBOR_UNTIL_BREAK UINT16_MAX
uint16_t cbor_contained(const struct cbor_item *item);

/* Whether all of a container's items were read: `left` is first cbor_contained, and counted down here. Of an open-ended
   one, passes over the break at its end. */
bool cbor_passed(struct cbor_reader *reader, uint16_t *left);

/* Finds the value of a key in the map that `map` is at. The finders below also compare the type. */
bool cbor_find(const struct cbor_reader *map, const char *key, struct cbor_item *item);
bool cbor_find_unsigned(const struct cbor_reader *map, const char *key, uint32_t *value);
bool cbor_find_bytes(const struct cbor_reader *map, const char *key, const uint8_t **bytes, uint32_t *size);
bool cbor_find_true(const struct cbor_reader *map, const char *key);

struct cbor_writer {
    uint8_t *next;
    uint8_t *end;
    uint8_t *map; /* head of the open map */
    bool full;    /* something did not fit; the message is useless */
};

/* Opens a map of at most 23 pairs; gives what cbor_end_map needs. */
uint8_t *cbor_begin_map(struct cbor_writer *writer);
void cbor_end_map(struct cbor_writer *writer, uint8_t *outer);

/* One pair of the open map each; cbor_put_key alone is followed by a value of another kind. */
void cbor_put_key(struct cbor_writer *writer, const char *key);
void cbor_put_unsigned(struct cbor_writer *writer, const char *key, uint32_t value);
void cbor_put_bool(struct cbor_writer *writer, const char *key, bool value);
void cbor_put_text(struct cbor_writer *writer, const char *key, const char *text);
void cbor_put_string(struct cbor_writer *writer, const char *key, enum cbor_type type, const void *bytes, uint32_t size);

/* A head alone: the beginning of an array of `value` items, or of a string whose bytes follow. */
void cbor_put_head(struct cbor_writer *writer, enum cbor_type type, uint32_t value);
void cbor_put_raw(struct cbor_writer *writer, const void *bytes, size_t size);

#endif
