/* Loading an image: is it whole, is it for this firmware, does it fit, and where do its variables lie.
 *
 * This file decides what of a container is believed: nothing that it has not compared. The hash is checked, every
 * section and every record that names another is checked to lie inside, and the instructions go through verify.c.
 * A firmware with a key asks signature.c who vouches for the hash.
 */
#include <stddef.h>
#include <string.h>

#include "sha256.h"
#include "signature.h"
#include "verify.h"
#include "vm.h"

struct arena {
    uint8_t *base;
    size_t used;
    size_t size;
};

/// Container ///

static size_t payload_end(const struct image_container *head) {
    return (size_t)head->header_size + head->image_size;
}

/* What the hash is of: header, payload and the protected TLVs. */
static size_t hashed_end(const struct image_container *head) {
    return payload_end(head) + head->protected_tlv_size;
}

/* TLVs lie anywhere: an unaligned access faults on some cores, and a copy of two bytes is a call. */
static uint32_t halfword(const uint8_t *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8;
}

/* The end of the TLVs that begin at `start`; 0 when they do not begin so or reach too far. */
static size_t tlvs_end(const uint8_t *container, size_t start, size_t available, uint32_t magic) {
    if (start > available - sizeof(struct image_tlv_info)) {
        return 0;
    }
    const uint8_t *info = container + start;
    const uint32_t size = halfword(info + offsetof(struct image_tlv_info, size));
    const bool sound = halfword(info) == magic && size >= sizeof(struct image_tlv_info) && size <= available - start;
    return sound ? start + size : 0;
}

size_t image_size(const uint8_t *container, size_t available) {
    const struct image_container *head = (const struct image_container *)container;
    if (available < sizeof *head + sizeof(struct image_tlv_info)) {
        return 0;
    }
    if (head->magic != IMAGE_CONTAINER_MAGIC || head->header_size < sizeof *head || head->header_size % 4 != 0 ||
        head->image_size > available) {
        return 0;
    }
    const size_t end = hashed_end(head);
    if (head->protected_tlv_size != 0 &&
        tlvs_end(container, payload_end(head), available, IMAGE_TLV_PROTECTED_MAGIC) != end) {
        return 0;
    }
    return tlvs_end(container, end, available, IMAGE_TLV_MAGIC);
}

/* The value of the first TLV of a type and length, of those that lie between `start` and `end`; NULL when there is none. */
static const uint8_t *find_tlv(const uint8_t *container, size_t start, size_t end, uint32_t type, uint32_t length) {
    size_t position = start + sizeof(struct image_tlv_info);
    while (position + sizeof(struct image_tlv) <= end) {
        const uint8_t *head = container + position;
        const uint32_t size = halfword(head + offsetof(struct image_tlv, length));
        position += sizeof(struct image_tlv);
        if (size > end - position) {
            return NULL;
        }
        if (halfword(head) == type && size == length) {
            return container + position;
        }
        position += size;
    }
    return NULL;
}

/* Of those behind what is hashed. */
static const uint8_t *find_last(const uint8_t *container, size_t total, uint32_t type, uint32_t length) {
    return find_tlv(container, hashed_end((const struct image_container *)container), total, type, length);
}

const uint8_t *image_digest(const uint8_t *container, size_t available) {
    const size_t total = image_size(container, available);
    return total == 0 ? NULL : find_last(container, total, IMAGE_TLV_SHA256, SHA256_SIZE);
}

uint32_t image_counter(const uint8_t *container, size_t available) {
    const struct image_container *head = (const struct image_container *)container;
    uint32_t counter = 0;
    if (image_size(container, available) != 0) {
        const uint8_t *stored =
            find_tlv(container, payload_end(head), hashed_end(head), IMAGE_TLV_COUNTER, sizeof counter);
        if (stored != NULL) {
            memcpy(&counter, stored, sizeof counter);
        }
    }
    return counter;
}

#ifdef SIGNATURE_KEY
/* The first signature counts. What says whose it is may be missing; it only makes the refusal clearer. */
static enum image_fault check_signature(const uint8_t *container, size_t total, const uint8_t *digest,
                                        const struct arena *arena) {
    const uint8_t *signature = find_last(container, total, IMAGE_TLV_ED25519, SIGNATURE_SIZE);
    const uint8_t *owner = find_last(container, total, IMAGE_TLV_KEYHASH, SHA256_SIZE);
    if (signature == NULL) {
        return IMAGE_FAULT_UNSIGNED;
    }
    if (owner != NULL && memcmp(owner, signature_key_hash, SHA256_SIZE) != 0) {
        return IMAGE_FAULT_OWNER;
    }
    if (arena->size < SIGNATURE_STACK) {
        return IMAGE_FAULT_RAM;
    }
    return signature_check(signature, digest, arena->base) ? IMAGE_GOOD : IMAGE_FAULT_SIGNATURE;
}

enum image_fault image_check_counter(const uint8_t *container, size_t available, uint32_t confirmed) {
    return image_counter(container, available) < confirmed ? IMAGE_FAULT_OLDER : IMAGE_GOOD;
}
#else
static enum image_fault check_signature(const uint8_t *container, size_t total, const uint8_t *digest,
                                        const struct arena *arena) {
    (void)container, (void)total, (void)digest, (void)arena;
    return IMAGE_GOOD;
}

enum image_fault image_check_counter(const uint8_t *container, size_t available, uint32_t confirmed) {
    (void)container, (void)available, (void)confirmed;
    return IMAGE_GOOD;
}
#endif

static bool hash_is_known;

size_t image_hashed(const uint8_t *container, size_t available) {
    return image_digest(container, available) == NULL ? 0 : hashed_end((const struct image_container *)container);
}

void image_hash_is_known(void) {
    hash_is_known = true;
}

static bool is_unaltered(const uint8_t *container, const uint8_t *stored, const struct arena *arena) {
    const size_t end = hashed_end((const struct image_container *)container);
    return memcmp(sha256((struct sha256 *)arena->base, container, end), stored, SHA256_SIZE) == 0;
}

/* The arena holds nothing yet: hashing works there. */
static enum image_fault check_container(const uint8_t *container, size_t available, const struct arena *arena) {
    const size_t total = image_size(container, available);
    const bool known = hash_is_known;
    hash_is_known = false; /* whatever comes of it: nobody else's */
    if (total == 0) {
        return IMAGE_FAULT_ABSENT;
    }
    const uint8_t *stored = find_last(container, total, IMAGE_TLV_SHA256, SHA256_SIZE);
    if (stored == NULL) {
        return IMAGE_FAULT_UNHASHED;
    }
    if (arena->size < sizeof(struct sha256)) {
        return IMAGE_FAULT_RAM;
    }
    return known || is_unaltered(container, stored, arena) ? check_signature(container, total, stored, arena)
                                                  : IMAGE_FAULT_ALTERED;
}

/// Sections ///

static const uint8_t record_sizes[IMAGE_SECTIONS] = {
    [IMAGE_SIGNATURES] = sizeof(struct image_signature),
    [IMAGE_FUNCTIONS] = sizeof(struct image_function),
    [IMAGE_CODE] = sizeof(uint16_t),
    [IMAGE_IMPORTS] = sizeof(struct image_import),
    [IMAGE_EXPORTS] = sizeof(struct image_export),
    [IMAGE_MODULES] = sizeof(struct image_module),
    [IMAGE_MEMORIES] = sizeof(struct image_memory),
    [IMAGE_TABLES] = sizeof(struct image_table),
    [IMAGE_DATAS] = sizeof(struct image_data),
    [IMAGE_ELEMENTS] = sizeof(struct image_element),
    [IMAGE_TAGS] = sizeof(struct image_tag),
    [IMAGE_HANDLERS] = sizeof(struct image_handler),
    [IMAGE_STRINGS] = 1,
    [IMAGE_PROVENANCE] = sizeof(struct image_provenance),
};

static bool inside(uint32_t size, uint32_t offset, uint32_t count, uint32_t item) {
    return offset <= size && count <= (size - offset) / item;
}

/* Format 1 has all sections but the last. */
static uint32_t section_count(const struct image_header *header) {
    return header->format == 1 ? IMAGE_PROVENANCE : IMAGE_SECTIONS;
}

static enum image_fault check_header(const struct image_header *header, uint32_t payload_size) {
    if (payload_size < sizeof *header || header->magic != IMAGE_PAYLOAD_MAGIC) {
        return IMAGE_FAULT_FOREIGN;
    }
    if (header->format == 0 || header->format > IMAGE_FORMAT_VERSION) {
        return IMAGE_FAULT_FORMAT;
    }
    if (header->isa > ISA_VERSION) {
        return IMAGE_FAULT_NEWER;
    }
    if ((header->features & ~(uint32_t)(VM_FEATURES)) != 0) {
        return IMAGE_FAULT_FEATURE;
    }
    const uint32_t smallest = sizeof *header + section_count(header) * sizeof(struct image_section);
    return header->size == payload_size && payload_size >= smallest ? IMAGE_GOOD : IMAGE_FAULT_SIZE;
}

/* The record that says where the image comes from; NULL in format 1, whose images do not. */
static const struct image_provenance *provenance_of(const struct vm *vm) {
    const struct image_header *header = (const struct image_header *)vm->payload;
    return section_count(header) > IMAGE_PROVENANCE ? image_section(vm, IMAGE_PROVENANCE) : NULL;
}

static enum image_fault check_sections(const struct vm *vm, uint32_t payload_size) {
    const uint32_t count = section_count((const struct image_header *)vm->payload);
    for (uint32_t i = 0; i < count; i++) {
        const struct image_section *section = &vm->sections[i];
        if (section->offset % 4 != 0 || !inside(payload_size, section->offset, section->count, record_sizes[i])) {
            return IMAGE_FAULT_SECTION;
        }
    }
    const struct image_section *strings = &vm->sections[IMAGE_STRINGS];
    if (strings->count == 0 || vm->payload[strings->offset + strings->count - 1] != 0) {
        return IMAGE_FAULT_NAMES;
    }
    const bool said = provenance_of(vm) == NULL || vm->sections[IMAGE_PROVENANCE].count == 1;
    return said ? IMAGE_GOOD : IMAGE_FAULT_PROVENANCE;
}

static enum image_fault check_segments(const struct vm *vm, uint32_t payload_size) {
    const struct image_data *datas = image_section(vm, IMAGE_DATAS);
    const struct image_element *elements = image_section(vm, IMAGE_ELEMENTS);
    bool good = true;
    for (uint32_t i = 0; i < vm->sections[IMAGE_DATAS].count; i++) {
        good = good && inside(payload_size, datas[i].offset, datas[i].size, 1);
    }
    for (uint32_t i = 0; i < vm->sections[IMAGE_ELEMENTS].count; i++) {
        good = good && elements[i].offset % 4 == 0 && inside(payload_size, elements[i].offset, elements[i].count, 4);
    }
    return good ? IMAGE_GOOD : IMAGE_FAULT_SEGMENT;
}

static enum image_fault check_functions(const struct vm *vm) {
    const uint32_t signatures = vm->sections[IMAGE_SIGNATURES].count;
    for (uint32_t i = 0; i < vm->sections[IMAGE_FUNCTIONS].count; i++) {
        const struct image_function *function = &vm->functions[i];
        const bool host = function->module == IMAGE_NONE;
        const uint32_t limit = vm->sections[host ? IMAGE_IMPORTS : IMAGE_CODE].count;
        if (function->code >= limit || function->signature >= signatures ||
            (!host && function->module >= vm->sections[IMAGE_MODULES].count)) {
            return IMAGE_FAULT_FUNCTION;
        }
    }
    return IMAGE_GOOD;
}

static enum image_fault check_modules(const struct vm *vm) {
    const struct image_module *modules = image_section(vm, IMAGE_MODULES);
    const uint32_t functions = vm->sections[IMAGE_FUNCTIONS].count;
    for (uint32_t i = 0; i < vm->sections[IMAGE_MODULES].count; i++) {
        const struct image_module *module = &modules[i];
        if ((module->memory != IMAGE_NONE && module->memory >= vm->sections[IMAGE_MEMORIES].count) ||
            module->instantiate >= functions || (module->start != IMAGE_NONE && module->start >= functions)) {
            return IMAGE_FAULT_MODULE;
        }
    }
    return IMAGE_GOOD;
}

static enum image_fault check_handlers(const struct vm *vm) {
    const struct image_handler *handlers = image_section(vm, IMAGE_HANDLERS);
    const struct image_tag *tags = image_section(vm, IMAGE_TAGS);
    bool good = true;
    for (uint32_t i = 0; i < vm->sections[IMAGE_HANDLERS].count; i++) {
        good = good && handlers[i].target < vm->sections[IMAGE_CODE].count &&
               (handlers[i].tag == IMAGE_NONE || handlers[i].tag < vm->sections[IMAGE_TAGS].count) &&
               (i == 0 || handlers[i].site >= handlers[i - 1].site);
    }
    for (uint32_t i = 0; i < vm->sections[IMAGE_TAGS].count; i++) {
        good = good && tags[i].slots <= vm->exception_slots;
    }
    return good ? IMAGE_GOOD : IMAGE_FAULT_HANDLER;
}

/* A window inside what is declared: vm_memory_grow counts on it. */
static enum image_fault check_memories(const struct vm *vm) {
    const struct image_memory *memories = image_section(vm, IMAGE_MEMORIES);
    const struct image_data *datas = image_section(vm, IMAGE_DATAS);
    bool good = true;
    for (uint32_t i = 0; i < vm->sections[IMAGE_MEMORIES].count; i++) {
        const struct image_memory *memory = &memories[i];
        good = good && memory->page_log2 <= 16 && memory->window_size <= memory->capacity &&
               (uint64_t)memory->window_low + memory->window_size <= (uint64_t)memory->minimum << memory->page_log2 &&
               ((memory->flags & IMAGE_MEMORY_FLASH) == 0 ||
                (memory->flags >> 16 < vm->sections[IMAGE_DATAS].count &&
                 datas[memory->flags >> 16].size <= memory->window_low));
    }
    return good ? IMAGE_GOOD : IMAGE_FAULT_MEMORY;
}

static bool names_match(const struct vm *vm, const struct image_import *import, const struct host_function *host) {
    const struct image_section *strings = &vm->sections[IMAGE_STRINGS];
    const char *text = (const char *)vm->payload + strings->offset;
    return import->module_name < strings->count && import->name < strings->count &&
           strcmp(text + import->module_name, host->module) == 0 && strcmp(text + import->name, host->name) == 0;
}

static enum image_fault check_imports(const struct vm *vm, uint32_t grants, const char **detail) {
    const struct image_section *strings = &vm->sections[IMAGE_STRINGS];
    const struct image_import *imports = image_section(vm, IMAGE_IMPORTS);
    const struct image_signature *signatures = image_section(vm, IMAGE_SIGNATURES);
    const struct image_provenance *provenance = provenance_of(vm);
    const uint32_t granted = provenance == NULL ? grants : grants & provenance->grants;
    for (uint32_t i = 0; i < vm->sections[IMAGE_IMPORTS].count; i++) {
        const struct host_function *host = &host_functions[imports[i].host];
        if (imports[i].name < strings->count) {
            *detail = (const char *)vm->payload + strings->offset + imports[i].name;
        }
        if (imports[i].host >= host_function_count || !names_match(vm, &imports[i], host)) {
            return IMAGE_FAULT_IMPORT;
        }
        if (imports[i].signature >= vm->sections[IMAGE_SIGNATURES].count ||
            signatures[imports[i].signature].parameter_slots != host->parameter_slots ||
            signatures[imports[i].signature].result_slots != host->result_slots) {
            return IMAGE_FAULT_IMPORT_TYPE;
        }
        if ((host->capability & ~granted) != 0) {
            return IMAGE_FAULT_UNGRANTED;
        }
    }
    *detail = NULL;
    return IMAGE_GOOD;
}

/* A firmware built without the verifier trusts whoever may install images. */
#ifndef VM_VERIFY
#define VM_VERIFY 1
#endif

/* The code section begins with the stubs that return links lead to. The arena holds nothing yet. */
static enum image_fault check_code(const struct vm *vm, const struct arena *arena, const char **detail) {
    if (vm->sections[IMAGE_CODE].count < VM_STUBS || vm->code[0] != OP_HALT || vm->code[1] != OP_LEAVE_CROSS ||
        vm->code[2] != OP_LEAVE_TAIL) {
        return IMAGE_FAULT_CODE;
    }
    return VM_VERIFY ? verify_code(vm, arena->base, arena->size, detail) : IMAGE_GOOD;
}

/// Arena ///

/* Eight-byte aligned; NULL when the arena is full. The contents are whatever was there. */
static void *take_as_it_is(struct arena *arena, size_t size) {
    const size_t start = (arena->used + 7) & ~(size_t)7;
    if (start > arena->size || size > arena->size - start) {
        return NULL;
    }
    arena->used = start + size;
    return arena->base + start;
}

static void *take(struct arena *arena, size_t size) {
    void *taken = take_as_it_is(arena, size);
    return taken == NULL ? NULL : memset(taken, 0, size);
}

static bool place_tables(struct vm *vm, struct arena *arena) {
    const struct image_table *declared = image_section(vm, IMAGE_TABLES);
    const uint32_t count = vm->sections[IMAGE_TABLES].count;
    vm->tables = take(arena, count * sizeof *vm->tables);
    for (uint32_t i = 0; vm->tables != NULL && i < count; i++) {
        struct vm_table *table = &vm->tables[i];
        table->declared = &declared[i];
        table->size = declared[i].minimum;
        if (declared[i].capacity < table->size || declared[i].capacity > arena->size / 4) {
            return false;
        }
        table->elements = take(arena, (size_t)declared[i].capacity * 4);
        if (table->elements == NULL) {
            return false;
        }
    }
    return vm->tables != NULL;
}

/* An access that begins in flash and ends in the window finds the last bytes of flash in the guard. */
static void copy_below_window(const struct vm *vm, struct vm_memory *memory) {
    const uint8_t *flash;
    const uint32_t size = vm_flash_size(vm, memory, &flash);
    const uint32_t count = size < VM_MEMORY_GUARD ? size : VM_MEMORY_GUARD;
    if (count != 0) {
        memcpy(memory->bytes - count, flash + size - count, count);
    }
}

static bool place_memories(struct vm *vm, struct arena *arena) {
    const struct image_memory *declared = image_section(vm, IMAGE_MEMORIES);
    const uint32_t count = vm->sections[IMAGE_MEMORIES].count;
    vm->memories = take(arena, count * sizeof *vm->memories);
    for (uint32_t i = 0; vm->memories != NULL && i < count; i++) {
        struct vm_memory *memory = &vm->memories[i];
        memory->declared = &declared[i];
        memory->pages = declared[i].minimum;
        memory->window_low = declared[i].window_low;
        memory->window_size = declared[i].window_size;
        if (declared[i].capacity > arena->size) {
            return false;
        }
        uint8_t *bytes = take_as_it_is(arena, VM_MEMORY_GUARD + (size_t)declared[i].capacity);
        if (bytes == NULL) {
            return false;
        }
        /* What lies beyond the window is cleared when the memory grows into it. */
        memset(bytes, 0, VM_MEMORY_GUARD + (size_t)memory->window_size);
        memory->bytes = bytes + VM_MEMORY_GUARD;
        copy_below_window(vm, memory);
    }
    return vm->memories != NULL;
}

static enum image_fault lay_out(struct vm *vm, const struct image_header *header, struct arena *arena) {
    const size_t size = arena->size;
    const size_t segments = (size_t)vm->sections[IMAGE_DATAS].count + vm->sections[IMAGE_ELEMENTS].count;
    if (header->global_slots > size / 4 || header->stack_slots > size / 4 ||
        header->stack_slots < VM_SMALLEST_STACK || header->exceptions > size / VM_EXCEPTION_SIZE(vm)) {
        return IMAGE_FAULT_RAM;
    }
    vm->globals = take(arena, (size_t)header->global_slots * 4);
    vm->dropped = take(arena, (segments + 7) / 8);
    const bool placed = vm->globals != NULL && vm->dropped != NULL && place_tables(vm, arena) &&
                        place_memories(vm, arena);
    vm->exceptions = placed ? take(arena, VM_EXCEPTION_SIZE(vm) * header->exceptions) : NULL;
    vm->stack = vm->exceptions != NULL ? take(arena, (size_t)header->stack_slots * 4) : NULL;
    if (vm->stack == NULL) {
        return IMAGE_FAULT_RAM;
    }
    memset(vm->stack, VM_STACK_PAINT, (size_t)header->stack_slots * 4);
    vm->stack_end = vm->stack + header->stack_slots;
    vm->arena_used = arena->used;
    return IMAGE_GOOD;
}

/// The whole ///

/* What is called before verify.c keeps a stack of its own, which is not below the verifier's. */
#define APART __attribute__((noinline))

APART static enum image_fault check_records(const struct vm *vm, uint32_t payload_size, uint32_t grants,
                                            const char **detail) {
    enum image_fault wrong = check_sections(vm, payload_size);
    if (wrong == IMAGE_GOOD) {
        wrong = check_segments(vm, payload_size);
    }
    if (wrong == IMAGE_GOOD) {
        wrong = check_functions(vm);
    }
    if (wrong == IMAGE_GOOD) {
        wrong = check_modules(vm);
    }
    if (wrong == IMAGE_GOOD) {
        wrong = check_memories(vm);
    }
    if (wrong == IMAGE_GOOD) {
        wrong = check_handlers(vm);
    }
    if (wrong == IMAGE_GOOD) {
        wrong = check_imports(vm, grants, detail);
    }
    return wrong;
}

enum image_fault image_load(struct vm *vm, const uint8_t *container, size_t available, uint8_t *base,
                            size_t size, uint32_t grants, const char **detail) {
    struct arena arena = {base, 0, size};
    const struct image_container *head = (const struct image_container *)container;
    enum image_fault wrong = check_container(container, available, &arena);
    *detail = NULL;
    memset(vm, 0, sizeof *vm);
    if (wrong != IMAGE_GOOD) {
        return wrong;
    }
    const struct image_header *header = (const struct image_header *)(container + head->header_size);
    wrong = check_header(header, head->image_size);
    if (wrong != IMAGE_GOOD) {
        return wrong;
    }
    vm->payload = container + head->header_size;
    vm->sections = (const struct image_section *)(header + 1);
    vm->code = image_section(vm, IMAGE_CODE);
    vm->functions = image_section(vm, IMAGE_FUNCTIONS);
    vm->exception_count = header->exceptions;
    vm->exception_slots = header->exception_slots;
    wrong = check_records(vm, head->image_size, grants, detail);
    if (wrong == IMAGE_GOOD) {
        wrong = check_code(vm, &arena, detail);
    }
    return wrong == IMAGE_GOOD ? lay_out(vm, header, &arena) : wrong;
}
