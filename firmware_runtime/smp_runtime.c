/* Our own SMP group, number 64: what a program on the board is, calling its functions, giving it input.
   Slots travel as little-endian words, which is how they lie in memory. */

#include <string.h>

#include "board.h"
#include "console.h"
#include "module.h"
#include "smp.h"
#include "store.h"
#include "vm.h"

#define SLOT_BYTES 4u
#define MOST_PLACES 12
#define DIGEST_SIZE 32u
#define ALL_FEATURES 7u /* i64, f32, f64: every core computes them, if by library */

enum { NO_CALL, CALL_WANTED, CALL_ENDED, CALL_REPEATED };

/* The call that waits for its turn, or runs, or was the last to end. On a bad line its request or its reply is lost, so
   the client repeats the request: the same header again is the same call, which must not happen twice. */
static struct {
    uint8_t state, image;
    uint8_t header[SMP_HEADER_SIZE];
    uint32_t results;
    uint32_t trap;
} call;

static uint32_t input_taken; /* bytes of program input since it was loaded */

/* The image that a request is about: that of the first program unless it says another. */
static inline __attribute__((always_inline)) uint32_t image_of(const struct smp_request *request) {
    uint32_t image = module_first();
    cbor_find_unsigned(&request->payload, "image", &image);
    return image;
}

enum smp_result smp_runtime_info(const struct smp_request *request, struct cbor_writer *reply) {
    (void)request;
    cbor_put_text(reply, "board", BOARD_NAME);
    cbor_put_text(reply, "chip", CHIP_NAME);
    cbor_put_text(reply, "core", CORE_NAME);
    cbor_put_text(reply, "version", FIRMWARE_VERSION);
    cbor_put_unsigned(reply, "isa", ISA_VERSION);
    cbor_put_unsigned(reply, "format", IMAGE_FORMAT_VERSION);
    cbor_put_unsigned(reply, "slot_address", SLOT_ADDRESS);
    cbor_put_unsigned(reply, "slot_size", SLOT_SIZE);
    cbor_put_unsigned(reply, "arena", module_arena_size());
    cbor_put_unsigned(reply, "features", ALL_FEATURES);
    cbor_put_text(reply, "state", module_state_names[module_state()]);
    return SMP_OK;
}

/// Calls ///

/* Each call as two words; they are counted first. */
static void put_backtrace(struct cbor_writer *reply, uint32_t image) {
    static struct vm_trace trace;
    uint32_t count = 0;
    trace = module_trace(image);
    while (count < MOST_PLACES && module_next_call(image, &trace)) {
        count++;
    }
    trace = module_trace(image);
    cbor_put_key(reply, "bt");
    cbor_put_head(reply, CBOR_BYTES, 2 * sizeof(uint32_t) * count);
    for (; count > 0 && module_next_call(image, &trace); count--) {
        cbor_put_raw(reply, &trace.function, sizeof trace.function);
        cbor_put_raw(reply, &trace.offset, sizeof trace.offset);
    }
}

static void put_call_result(struct cbor_writer *reply) {
    if (call.trap == VM_TRAP_NONE) {
        cbor_put_string(reply, "r", CBOR_BYTES, module_results(call.image), call.results * SLOT_BYTES);
    } else {
        cbor_put_unsigned(reply, "t", call.trap);
        cbor_put_unsigned(reply, "x", module_exit_status(call.image));
        put_backtrace(reply, call.image);
    }
}

enum smp_result smp_runtime_call(const struct smp_request *request, struct cbor_writer *reply) {
    (void)reply;
    uint32_t function, results; /* those of the call before stay what they were when this one is refused */
    const uint8_t *arguments = NULL;
    uint32_t size = 0;
    const uint32_t image = image_of(request);
    if (module_state_of(image) == MODULE_NONE) {
        return SMP_BAD_STATE;
    }
    if (call.state != NO_CALL && memcmp(call.header, request->header, sizeof call.header) == 0) {
        call.state = call.state == CALL_ENDED ? CALL_REPEATED : call.state;
        return SMP_ANSWERED_LATER;
    }
    if (module_state_of(image) == MODULE_RUNNING || call.state == CALL_WANTED) {
        return SMP_BUSY;
    }
    cbor_find_bytes(&request->payload, "a", &arguments, &size);
    if (!cbor_find_unsigned(&request->payload, "f", &function) ||
        !cbor_find_unsigned(&request->payload, "n", &results) || size % SLOT_BYTES != 0 ||
        size / SLOT_BYTES > module_slot_room(image) || results > module_slot_room(image)) {
        return SMP_INVALID;
    }
    call.image = (uint8_t)image;
    call.results = results;
    if (size > 0) {
        module_set_arguments(image, arguments, size);
    }
    module_begin_call(image, function);
    memcpy(call.header, request->header, sizeof call.header);
    call.state = CALL_WANTED;
    return SMP_ANSWERED_LATER;
}

/* Apart from the call, whose stack is not above its. */
static __attribute__((noinline)) void answer_call(void) {
    static struct cbor_writer reply;
    call.state = CALL_ENDED;
    smp_begin_reply(&reply);
    put_call_result(&reply);
    smp_send_reply(call.header, &reply);
}

bool smp_runtime_answer_call(void) {
    const enum module_state state = module_state_of(call.image);
    if (state == MODULE_NONE) { /* erased since */
        call.state = NO_CALL;
    }
    if (call.state == CALL_WANTED && state != MODULE_RUNNING) {
        call.trap = module_last_trap(call.image);
    } else if (call.state != CALL_REPEATED) {
        return false;
    }
    answer_call();
    return true;
}

/// Starting, input, results ///

/* Gives each string of the array under `key` to the program; a missing array is an empty one. */
static enum smp_result add_strings(const struct smp_request *request, const char *key, bool environment) {
    struct cbor_item array, text;
    if (!cbor_find(&request->payload, key, &array)) {
        return SMP_OK;
    }
    if (array.type != CBOR_ARRAY) {
        return SMP_INVALID;
    }
    struct cbor_reader strings = {array.content, request->payload.end};
    uint16_t left = cbor_contained(&array);
    while (!cbor_passed(&strings, &left)) {
        if (!cbor_read(&strings, &text) || text.type != CBOR_TEXT) {
            return SMP_INVALID;
        }
        if (!module_add_string(environment, (const char *)text.content, text.value)) {
            return SMP_NO_MEMORY;
        }
    }
    return SMP_OK;
}

/* Loads the version that has the hash in the request, or the one that the board would start. */
static __attribute__((noinline)) const char *load_wanted(const struct smp_request *request, const char **detail) {
    uint32_t image = 0, size = 0, digest_size;
    const uint8_t *digest, *container;
    cbor_find_unsigned(&request->payload, "image", &image);
    if (cbor_find_bytes(&request->payload, "hash", &digest, &digest_size)) {
        container = digest_size == DIGEST_SIZE ? store_find(digest, &size, &image) : NULL;
    } else {
        container = image < IMAGES ? store_chosen(image, &size) : NULL;
    }
    return module_load(container == NULL ? 0 : image, container, size, detail);
}

enum smp_result smp_runtime_start(const struct smp_request *request, struct cbor_writer *reply) {
    const char *detail;
    uint32_t seed;
    call.state = NO_CALL;
    const char *wrong = load_wanted(request, &detail);
    if (wrong != NULL) {
        cbor_put_unsigned(reply, "rc", SMP_BAD_STATE);
        cbor_put_text(reply, "msg", wrong);
        if (detail != NULL) {
            cbor_put_text(reply, "detail", detail);
        }
        return SMP_OK;
    }
    module_trust();
    console_clear_input();
    input_taken = 0;
    enum smp_result added = add_strings(request, "args", false);
    if (added == SMP_OK) {
        added = add_strings(request, "env", true);
    }
    if (added != SMP_OK) {
        return added;
    }
    if (cbor_find_unsigned(&request->payload, "seed", &seed)) {
        module_seed(seed);
    }
    cbor_put_unsigned(reply, "rc", SMP_OK);
    return SMP_OK;
}

/* Answers how many bytes found room, and how many were taken in all; the client sends the others again. With "off" it
   says how many were taken before: so a chunk whose answer was lost is not taken twice. The end counts only with the
   last byte. */
enum smp_result smp_runtime_input(const struct smp_request *request, struct cbor_writer *reply) {
    const uint8_t *bytes;
    uint32_t size = 0, before = input_taken;
    cbor_find_unsigned(&request->payload, "off", &before);
    cbor_find_bytes(&request->payload, "d", &bytes, &size);
    if (before != input_taken) {
        before = input_taken;
    } else {
        input_taken += (uint32_t)console_add_input(bytes, size);
        if (input_taken - before == size && cbor_find_true(&request->payload, "eof")) {
            console_end_input();
        }
    }
    cbor_put_unsigned(reply, "n", input_taken - before);
    cbor_put_unsigned(reply, "off", input_taken);
    return SMP_OK;
}

enum smp_result smp_runtime_status(const struct smp_request *request, struct cbor_writer *reply) {
    const uint32_t image = image_of(request);
    cbor_put_text(reply, "state", module_state_names[module_state_of(image)]);
    cbor_put_unsigned(reply, "exit", module_exit_status(image));
    cbor_put_unsigned(reply, "trap", module_last_trap(image));
    cbor_put_unsigned(reply, "stack", module_stack_high_water(image));
    cbor_put_unsigned(reply, "arena_used", module_arena_used(image));
    put_backtrace(reply, image);
    return SMP_OK;
}

enum smp_result smp_runtime_global(const struct smp_request *request, struct cbor_writer *reply) {
    uint32_t first, count;
    if (!cbor_find_unsigned(&request->payload, "i", &first) || !cbor_find_unsigned(&request->payload, "n", &count)) {
        return SMP_INVALID;
    }
    const uint32_t *globals = module_globals(image_of(request), first, count);
    if (globals == NULL) {
        return SMP_NO_ENTRY;
    }
    cbor_put_string(reply, "r", CBOR_BYTES, globals, count * SLOT_BYTES);
    return SMP_OK;
}
