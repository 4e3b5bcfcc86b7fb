/* Made by mcutool/generate.py from mcutool/image/state.py; do not edit. */
#ifndef STATE_FORMAT_H
#define STATE_FORMAT_H

#include <stdint.h>

#define STATE_MAGIC 0x5453434du
#define STATE_VERSIONS 2u
#define STATE_ALIGNMENT 4u

enum { STATE_EMPTY, STATE_CANDIDATE, STATE_PENDING, STATE_TRIED, STATE_CONFIRMED };

struct state_version {
    uint32_t offset;
    uint32_t size;
    uint32_t state;
};

struct state_image {
    uint32_t counter;
    uint32_t settings_size;
    struct state_version versions[STATE_VERSIONS];
};

struct state_record {
    uint32_t magic;
    uint32_t sequence;
    uint16_t size;
    uint16_t images;
};

#endif
