/* Parsing: MQTT 3.1.1 packets out of a byte stream: lengths of variable size, topics, payloads, topic filters. */
#include "bench.h"

static uint8_t stream[512];
static uint32_t filled;

static void put(uint32_t byte) {
    stream[filled++] = (uint8_t)byte;
}

static void publish(const char *topic, uint32_t payload, uint32_t quality) {
    uint32_t size = 0, i;
    while (topic[size])
        size++;
    put(0x30 | quality << 1);
    uint32_t rest = 2 + size + (quality ? 2 : 0) + payload;
    do {
        put((rest & 127) | (rest > 127 ? 128 : 0));
        rest >>= 7;
    } while (rest);
    put(size >> 8);
    put(size);
    for (i = 0; i < size; i++)
        put((uint8_t)topic[i]);
    if (quality)
        put(0), put(payload);
    for (i = 0; i < payload; i++)
        put(i * 7 + quality);
}

/* Whether a topic matches a filter with + and #. */
static int matches(const char *filter, const uint8_t *topic, uint32_t size) {
    const uint8_t *end = topic + size;
    while (*filter) {
        if (*filter == '#')
            return 1;
        if (*filter == '+') {
            while (topic < end && *topic != '/')
                topic++;
            filter++;
        } else if (topic == end || *topic++ != (uint8_t)*filter++) {
            return 0;
        }
    }
    return topic == end;
}

static const char *const filters[] = {"plant/+/temperature", "plant/#", "plant/7/valve", "+/+/+", "other/#"};

static uint32_t handle(const uint8_t *packet, uint32_t rest, uint32_t head) {
    uint32_t size = (uint32_t)packet[0] << 8 | packet[1], checksum = head;
    const uint8_t *topic = packet + 2, *payload = topic + size;
    if (head >> 1 & 3)
        payload += 2;
    for (uint32_t i = 0; i < sizeof filters / sizeof *filters; i++)
        checksum = checksum * 2 + (uint32_t)matches(filters[i], topic, size);
    for (; payload < packet + rest; payload++)
        checksum = (checksum << 5 | checksum >> 27) ^ *payload;
    return checksum;
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    filled = 0;
    publish("plant/3/temperature", 4, 0);
    publish("plant/7/valve", 1, 1);
    publish("office/light", 2, 0);
    publish("plant/12/log", 150, 1);
    publish("other/thing/with/a/long/name", 20, 2);
    while (n--)
        for (uint32_t i = 0; i < filled;) {
            uint32_t head = stream[i++], rest = 0, shift = 0, byte;
            do {
                byte = stream[i++];
                rest |= (byte & 127) << shift;
                shift += 7;
            } while (byte & 128);
            checksum += handle(stream + i, rest, head);
            i += rest;
        }
    return checksum;
}
