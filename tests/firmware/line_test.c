/* The arbiter and the CBOR reader on the PC, under sanitizers: takes bytes as if from the line, tells what came of them.
   Standard input: bytes. Standard output: "input N" with the bytes of program input, and one line a request. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cbor.h"
#include "console.h"
#include "platform.h"

static uint64_t now;

uint64_t platform_microseconds(void) {
    return now += 1000;
}

void platform_mask(bool masked) {
    (void)masked;
}

bool platform_poll(void) {
    return true;
}

void console_frame_came(void) {
}

void console_write_raw(const uint8_t *bytes, size_t size) {
    fwrite(bytes, 1, size, stdout);
}

static void print_string(const char *key, struct cbor_reader map) {
    const uint8_t *bytes;
    uint32_t size;
    if (cbor_find_bytes(&map, key, &bytes, &size)) {
        printf(" %s=", key);
        for (uint32_t i = 0; i < size; i++) {
            printf("%02x", bytes[i]);
        }
    }
}

/* The frame is copied to a block of its very size, so that the sanitizer sees a read beyond it. */
static void print_request(const uint8_t *frame, size_t size) {
    uint8_t *copy = malloc(size);
    memcpy(copy, frame, size);
    struct cbor_reader map = {copy + (size > 10 ? 10 : size), copy + (size > 12 ? size - 2 : size)};
    uint32_t number;
    printf("request %zu", size);
    if (map.next < map.end) {
        print_string("d", map);
        print_string("data", map);
        printf("%s%s", cbor_find_unsigned(&map, "off", &number) ? " off" : "", cbor_find_true(&map, "eof") ? " eof" : "");
    }
    printf("\n");
    free(copy);
}

int main(void) {
    int byte;
    size_t inputs = 0;
    uint8_t buffer[64];
    while ((byte = getchar()) != EOF) {
        console_receive((uint8_t)byte);
        const uint8_t *frame = console_frame();
        if (frame != NULL) {
            print_request(frame, 2u + (size_t)(frame[0] << 8 | frame[1]));
            console_release_frame();
        }
        inputs += console_input(buffer, sizeof buffer);
    }
    printf("input %zu\n", inputs);
    return 0;
}
