/* Branches: a scanner that tells identifiers, numbers, strings and comments apart by a switch over its state. */
#include "bench.h"

enum state { BETWEEN, WORD, NUMBER, STRING, ESCAPE, SLASH, COMMENT, STAR, STATES };

static const char source[] =
    "/* scan me */ int main(void) { int x1 = 42, y_2 = 0x1F; puts(\"a \\\"quoted\\\" word\"); return x1 / y_2; }\n"
    "static const char *names[3] = { \"one\", \"two\", \"three\\n\" }; /* and ** this * too */ double z = 3.14159;\n";

static int is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int is_digit(char c) {
    return c >= '0' && c <= '9';
}

static enum state begin(char c) {
    if (is_letter(c))
        return WORD;
    if (is_digit(c))
        return NUMBER;
    return c == '"' ? STRING : c == '/' ? SLASH : BETWEEN;
}

static enum state step(enum state state, char c) {
    switch (state) {
    case WORD:
        return is_letter(c) || is_digit(c) ? WORD : begin(c);
    case NUMBER:
        return is_digit(c) || is_letter(c) || c == '.' ? NUMBER : begin(c);
    case STRING:
        return c == '"' ? BETWEEN : c == '\\' ? ESCAPE : STRING;
    case ESCAPE:
        return STRING;
    case SLASH:
        return c == '*' ? COMMENT : begin(c);
    case COMMENT:
        return c == '*' ? STAR : COMMENT;
    case STAR:
        return c == '/' ? BETWEEN : c == '*' ? STAR : COMMENT;
    default:
        return begin(c);
    }
}

uint32_t run(uint32_t n) {
    uint32_t visits[STATES], checksum = 0;
    for (int i = 0; i < STATES; i++)
        visits[i] = n + (uint32_t)i;
    while (n--) {
        enum state state = BETWEEN;
        for (const char *p = source; *p; p++) {
            state = step(state, *p);
            visits[state]++;
        }
    }
    for (int i = 0; i < STATES; i++)
        checksum = checksum * 257 + visits[i];
    return checksum;
}
