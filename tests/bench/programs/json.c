/* Parsing: a recursive-descent JSON reader that sums numbers, counts members and hashes strings. */
#include "bench.h"

static const char text[] =
    "{\"device\": \"sensor-17\", \"ok\": true, \"samples\": [12, -7, 3.25, 400, 0.5, 1e3], \"meta\": {\"unit\": \"mV\","
    " \"range\": [-2048, 2047], \"tags\": [\"a\", \"b\\n\", \"\\u0041\"], \"next\": null}, \"list\": [[1, 2], [3, [4, 5]],"
    " {\"deep\": {\"er\": [false, true, {\"end\": 99}]}}]}";

static const char *at;
static uint32_t members, hash;

static int32_t value(void);

static void blanks(void) {
    while (*at == ' ' || *at == '\n' || *at == '\t')
        at++;
}

static void string(void) {
    at++;
    while (*at && *at != '"') {
        if (*at == '\\')
            at++;
        hash = (hash ^ (uint8_t)*at++) * 16777619u;
    }
    at++;
}

/* In hundredths; an exponent only moves the point. */
static int32_t number(void) {
    int32_t sign = 1, total = 0, places = 2;
    if (*at == '-')
        sign = -1, at++;
    while (*at >= '0' && *at <= '9')
        total = total * 10 + (*at++ - '0');
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++)
            if (places > 0)
                total = total * 10 + (*at - '0'), places--;
    if (*at == 'e')
        for (at++; *at >= '0' && *at <= '9'; at++)
            places += *at - '0';
    while (places-- > 0)
        total *= 10;
    return sign * total;
}

static int32_t sequence(char end) {
    int32_t total = 0;
    at++;
    blanks();
    while (*at && *at != end) {
        if (end == '}') {
            string();
            blanks();
            at++;
            members++;
        }
        total += value();
        blanks();
        if (*at == ',')
            at++;
        blanks();
    }
    at++;
    return total;
}

static int32_t value(void) {
    blanks();
    switch (*at) {
    case '{':
        return sequence('}');
    case '[':
        return sequence(']');
    case '"':
        string();
        return 0;
    case 't':
        at += 4;
        return 1;
    case 'f':
        at += 5;
        return 0;
    case 'n':
        at += 4;
        return 0;
    default:
        return number();
    }
}

uint32_t run(uint32_t n) {
    uint32_t checksum = 0;
    while (n--) {
        at = text;
        members = 0;
        hash = 2166136261u;
        checksum = checksum * 31 + (uint32_t)value() + members + hash;
    }
    return checksum;
}
