/* The SMP server: takes requests from the arbiter, answers them from a table of commands.

   The groups: os (smp.c), image (smp_image.c), runtime (smp_runtime.c, our own, number 64). This file decides what a
   command is given and may answer; it refuses to know how bytes travel (console.h). */

#ifndef SMP_H
#define SMP_H

#include <stdbool.h>
#include <stdint.h>

#include "cbor.h"

enum smp_operation { SMP_READ = 0, SMP_WRITE = 2 };
enum smp_group { SMP_OS = 0, SMP_IMAGE = 1, SMP_RUNTIME = 64 };

/* MCUmgr's error codes. */
enum smp_result {
    SMP_OK = 0,
    SMP_UNKNOWN = 1,
    SMP_NO_MEMORY = 2,
    SMP_INVALID = 3,
    SMP_NO_ENTRY = 5,
    SMP_BAD_STATE = 6,
    SMP_TOO_LONG = 7,
    SMP_NOT_SUPPORTED = 8,
    SMP_BUSY = 10,
    SMP_ANSWERED_LATER = -1, /* not an answer: smp_send_reply will be called */
};

#define SMP_HEADER_SIZE 8

struct smp_request {
    uint8_t header[SMP_HEADER_SIZE];
    struct cbor_reader payload; /* the map, in the frame */
};

/* Adds the pairs of its answer to the open map, or gives an error. An error drops what was written. */
typedef enum smp_result (*smp_handler)(const struct smp_request *request, struct cbor_writer *reply);

struct smp_command {
    uint16_t group;
    uint8_t number;
    uint8_t stops_program; /* the running program is stopped first */
    uint8_t operations;    /* bit 0: read, bit 1: write */
    smp_handler handler;
};

enum { SMP_READS = 1, SMP_WRITES = 2 };

/* Answers at most one request. */
void smp_poll(void);

/* Answers a request of which only the header is left. */
void smp_begin_reply(struct cbor_writer *reply);
void smp_send_reply(const uint8_t header[SMP_HEADER_SIZE], struct cbor_writer *reply);

enum smp_result smp_image_state(const struct smp_request *request, struct cbor_writer *reply);
enum smp_result smp_image_upload(const struct smp_request *request, struct cbor_writer *reply);
enum smp_result smp_image_erase(const struct smp_request *request, struct cbor_writer *reply);
enum smp_result smp_image_settings(const struct smp_request *request, struct cbor_writer *reply);

enum smp_result smp_runtime_info(const struct smp_request *request, struct cbor_writer *reply);
enum smp_result smp_runtime_call(const struct smp_request *request, struct cbor_writer *reply);
enum smp_result smp_runtime_input(const struct smp_request *request, struct cbor_writer *reply);
enum smp_result smp_runtime_start(const struct smp_request *request, struct cbor_writer *reply);
enum smp_result smp_runtime_status(const struct smp_request *request, struct cbor_writer *reply);
enum smp_result smp_runtime_global(const struct smp_request *request, struct cbor_writer *reply);

/* Answers the request that asked for a call which has ended by now; false when there is none. */
bool smp_runtime_answer_call(void);

#endif
