/* llhttp: parses a request and a chunked answer, and sums what its callbacks are given. */
#include "llhttp.h"

#include "work.h"

static const char request[] = "POST /sensors/7?unit=K HTTP/1.1\r\nHost: gateway.local\r\nUser-Agent: node/1.2\r\n"
                              "Accept: application/json\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\n"
                              "Content-Length: 21\r\n\r\ntemperature=293.15;ok";
static const char answer[] = "HTTP/1.1 200 OK\r\nServer: gateway\r\nTransfer-Encoding: chunked\r\n"
                             "Content-Type: application/json\r\n\r\n10\r\n{\"accepted\":true\r\n1\r\n}\r\n0\r\n\r\n";

static uint32_t sum;

static int on_data(llhttp_t *parser, const char *at, size_t length) {
    sum = sum * 31 + parser->status_code + (uint8_t)*at + length;
    return 0;
}

static int on_end(llhttp_t *parser) {
    sum = sum * 31 + (uint32_t)parser->content_length + parser->method;
    return 0;
}

static uint32_t parse(const llhttp_settings_t *settings, llhttp_type_t type, const char *text, size_t size) {
    llhttp_t parser;
    llhttp_init(&parser, type, settings);
    return llhttp_execute(&parser, text, size) == HPE_OK;
}

uint32_t run(uint32_t n) {
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_url = settings.on_status = settings.on_body = on_data;
    settings.on_header_field = settings.on_header_value = on_data;
    settings.on_headers_complete = settings.on_message_complete = on_end;
    sum = 0;
    while (n--) {
        sum += parse(&settings, HTTP_REQUEST, request, sizeof request - 1);
        sum += parse(&settings, HTTP_RESPONSE, answer, sizeof answer - 1);
    }
    return sum;
}
