/* Made by mcutool/generate.py from mcutool/image/format.py; do not edit. */
#ifndef IMAGE_FORMAT_H
#define IMAGE_FORMAT_H

#include <stdint.h>

#define IMAGE_CONTAINER_MAGIC 0x96f3b83du
#define IMAGE_TLV_MAGIC 0x6907u
#define IMAGE_TLV_PROTECTED_MAGIC 0x6908u
#define IMAGE_TLV_KEYHASH 0x1u
#define IMAGE_TLV_SHA256 0x10u
#define IMAGE_TLV_ED25519 0x24u
#define IMAGE_TLV_COUNTER 0x50u
#define IMAGE_PAYLOAD_MAGIC 0x3155434du
#define IMAGE_FORMAT_VERSION 0x2u
#define IMAGE_NONE 0xffffu
#define IMAGE_UNLIMITED 0xffffffffu
#define IMAGE_MEMORY_PARTIAL 0x1u
#define IMAGE_MEMORY_FLASH 0x2u

struct image_container {
    uint32_t magic;
    uint32_t load_address;
    uint16_t header_size;
    uint16_t protected_tlv_size;
    uint32_t image_size;
    uint32_t flags;
    uint8_t major;
    uint8_t minor;
    uint16_t revision;
    uint32_t build;
    uint32_t padding;
};

struct image_tlv_info {
    uint16_t magic;
    uint16_t size;
};

struct image_tlv {
    uint16_t type;
    uint16_t length;
};

struct image_header {
    uint32_t magic;
    uint16_t format;
    uint16_t isa;
    uint32_t features;
    uint32_t size;
    uint32_t stack_slots;
    uint32_t global_slots;
    uint32_t ram;
    uint16_t exceptions;
    uint16_t exception_slots;
};

struct image_section {
    uint32_t offset;
    uint32_t count;
};

struct image_signature {
    uint16_t parameter_slots;
    uint16_t result_slots;
    uint32_t text;
};

struct image_function {
    uint32_t code;
    uint16_t signature;
    uint16_t module;
};

struct image_import {
    uint16_t host;
    uint16_t signature;
    uint32_t module_name;
    uint32_t name;
};

struct image_export {
    uint32_t name;
    uint16_t kind;
    uint16_t module;
    uint32_t index;
};

struct image_module {
    uint16_t memory;
    uint16_t instantiate;
    uint16_t start;
    uint16_t flags;
};

struct image_table {
    uint32_t minimum;
    uint32_t maximum;
    uint32_t capacity;
};

struct image_data {
    uint32_t offset;
    uint32_t size;
};

struct image_element {
    uint32_t offset;
    uint32_t count;
};

struct image_tag {
    uint16_t slots;
    uint16_t reserved;
};

struct image_handler {
    uint32_t site;
    uint32_t target;
    uint16_t tag;
    uint16_t base;
    uint16_t flags;
    uint16_t reserved;
};

struct image_provenance {
    uint32_t grants;
    uint32_t tool;
    uint32_t wasm_0;
    uint32_t wasm_1;
    uint32_t wasm_2;
    uint32_t wasm_3;
    uint32_t wasm_4;
    uint32_t wasm_5;
    uint32_t wasm_6;
    uint32_t wasm_7;
};

struct image_memory {
    uint32_t minimum;
    uint32_t maximum;
    uint32_t page_log2;
    uint32_t window_low;
    uint32_t window_size;
    uint32_t capacity;
    uint32_t flags;
};

enum image_section_number {
    IMAGE_SIGNATURES,
    IMAGE_FUNCTIONS,
    IMAGE_CODE,
    IMAGE_IMPORTS,
    IMAGE_EXPORTS,
    IMAGE_MODULES,
    IMAGE_MEMORIES,
    IMAGE_TABLES,
    IMAGE_DATAS,
    IMAGE_ELEMENTS,
    IMAGE_TAGS,
    IMAGE_HANDLERS,
    IMAGE_STRINGS,
    IMAGE_PROVENANCE,
    IMAGE_SECTIONS
};

#endif
