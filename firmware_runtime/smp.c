/* See smp.h. A message is an 8-byte header (version and operation, flags, length, group, sequence, command) and a CBOR
   map; a reply repeats the header with operation + 1. Errors are told as {"rc": n, "rsn": text}, which clients of
   both SMP versions read. */

#include "smp.h"

#include <stdbool.h>
#include <string.h>

#include "board.h"
#include "console.h"
#include "module.h"
#include "platform.h"
#include "store.h"

#define VERSION_AND_OPERATION 0
#define LENGTH 2
#define GROUP 4
#define COMMAND 7
#define FRAMING 4 /* length before, CRC after */

static uint8_t reply_buffer[REPLY_SIZE];
static bool reset_wanted;

static uint16_t load16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void store16(uint8_t *bytes, uint32_t value) {
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

/// Group os ///

static enum smp_result os_echo(const struct smp_request *request, struct cbor_writer *reply) {
    const uint8_t *text;
    uint32_t size;
    if (!cbor_find_bytes(&request->payload, "d", &text, &size)) {
        return SMP_INVALID;
    }
    cbor_put_string(reply, "r", CBOR_TEXT, text, size);
    return SMP_OK;
}

static enum smp_result os_reset(const struct smp_request *request, struct cbor_writer *reply) {
    (void)request, (void)reply;
    reset_wanted = true;
    return SMP_OK;
}

static enum smp_result os_parameters(const struct smp_request *request, struct cbor_writer *reply) {
    (void)request;
    cbor_put_unsigned(reply, "buf_size", FRAME_SIZE);
    cbor_put_unsigned(reply, "buf_count", 1);
    return SMP_OK;
}

static const struct smp_command commands[] = {
    {SMP_OS, 0, false, SMP_READS | SMP_WRITES, os_echo},
    {SMP_OS, 5, true, SMP_WRITES, os_reset},
    {SMP_OS, 6, false, SMP_READS, os_parameters},
    {SMP_IMAGE, 0, false, SMP_READS | SMP_WRITES, smp_image_state},
    {SMP_IMAGE, 1, true, SMP_WRITES, smp_image_upload},
    {SMP_IMAGE, 5, true, SMP_WRITES, smp_image_erase},
    {SMP_RUNTIME, 0, false, SMP_READS, smp_runtime_info},
    {SMP_RUNTIME, 1, false, SMP_WRITES, smp_runtime_call},
    {SMP_RUNTIME, 2, false, SMP_WRITES, smp_runtime_input},
    {SMP_RUNTIME, 3, true, SMP_WRITES, smp_runtime_start},
    {SMP_RUNTIME, 4, false, SMP_READS, smp_runtime_status},
    {SMP_RUNTIME, 5, false, SMP_READS, smp_runtime_global},
    {SMP_RUNTIME, 6, true, SMP_WRITES, smp_runtime_status}, /* stop */
    {SMP_RUNTIME, 7, false, SMP_READS | SMP_WRITES, smp_image_settings},
};

/// The server ///

static const char *const reasons[] = {
    [SMP_UNKNOWN] = "the flash reports an error",
    [SMP_NO_MEMORY] = "it does not fit",
    [SMP_INVALID] = "an argument is missing or wrong",
    [SMP_NO_ENTRY] = "there is no such thing",
    [SMP_BAD_STATE] = "no program is loaded",
    [SMP_TOO_LONG] = "the answer is too long",
    [SMP_NOT_SUPPORTED] = "this firmware has no such command",
    [SMP_BUSY] = "a program is running",
};

void smp_begin_reply(struct cbor_writer *reply) {
    *reply = (struct cbor_writer){reply_buffer + SMP_HEADER_SIZE, reply_buffer + sizeof reply_buffer, NULL, false};
    cbor_begin_map(reply);
}

static void put_error(struct cbor_writer *reply, enum smp_result result) {
    smp_begin_reply(reply);
    cbor_put_unsigned(reply, "rc", (uint32_t)result);
    cbor_put_text(reply, "rsn", reasons[result]);
}

void smp_send_reply(const uint8_t header[SMP_HEADER_SIZE], struct cbor_writer *reply) {
    if (reply->full) {
        put_error(reply, SMP_TOO_LONG);
    }
    size_t size = (size_t)(reply->next - reply_buffer);
    memcpy(reply_buffer, header, SMP_HEADER_SIZE);
    reply_buffer[VERSION_AND_OPERATION]++;
    store16(reply_buffer + LENGTH, (uint32_t)size - SMP_HEADER_SIZE);
    console_send_frame(reply_buffer, size);
}

static struct smp_request request; /* like its reply not on the stack, which may be deep already */

/* Checks length and CRC. */
static __attribute__((noinline)) bool parse(const uint8_t *frame) {
    size_t length = load16(frame);
    if (length < SMP_HEADER_SIZE + 2) {
        return false;
    }
    size_t message_size = length - 2;
    const uint8_t *message = frame + 2;
    if (console_crc(message, message_size) != load16(message + message_size)) {
        return false;
    }
    memcpy(request.header, message, SMP_HEADER_SIZE);
    request.payload = (struct cbor_reader){message + SMP_HEADER_SIZE, message + message_size};
    return load16(message + LENGTH) == message_size - SMP_HEADER_SIZE;
}

static const struct smp_command *find_command(const uint8_t *header) {
    uint32_t operation = header[VERSION_AND_OPERATION] & 7;
    uint32_t bit = operation == SMP_READ ? SMP_READS : operation == SMP_WRITE ? SMP_WRITES : 0;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct smp_command *command = &commands[i];
        if (command->group == load16(header + GROUP) && command->number == header[COMMAND] &&
            (command->operations & bit)) {
            return command;
        }
    }
    return NULL;
}

static void answer(const struct smp_command *command) {
    static struct cbor_writer reply;
    smp_begin_reply(&reply);
    store_open();
    enum smp_result result = command == NULL ? SMP_NOT_SUPPORTED : command->handler(&request, &reply);
    if (result != SMP_OK) {
        store_forget();
    } else if (!store_commit()) {
        result = SMP_UNKNOWN;
    }
    console_release_frame(); /* before the reply's last byte: the next request may follow it at once */
    if (result == SMP_ANSWERED_LATER) {
        return;
    }
    if (result != SMP_OK) {
        put_error(&reply, result);
    }
    smp_send_reply(request.header, &reply);
}

/* Answers the request that has come, if any. A broken one gets no answer: the client sends it again. One that needs the
   program stopped stays in its buffer until it has stopped. */
void smp_poll(void) {
    const uint8_t *frame = console_frame();
    if (frame == NULL) {
        return;
    }
    if (parse(frame)) {
        const struct smp_command *command = find_command(request.header);
        if (command != NULL && command->stops_program && module_state() == MODULE_RUNNING) {
            module_stop();
            return;
        }
        answer(command);
    } else {
        console_release_frame();
    }
    platform_wake(); /* what a host function waits for may have come with the request */
    if (reset_wanted) {
        platform_reset();
    }
}

void console_frame_came(void) {
    module_interrupt();
}
