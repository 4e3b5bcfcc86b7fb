/* Counts executed instructions by address while a measured function runs.
 *
 * Loaded by helper.py, called by Unicorn before every instruction (UC_HOOK_CODE). It decides what happened between two
 * instructions: a taken branch, or slots of an IT block that failed their condition (Unicorn does not report those).
 * It refuses to know cycles: profile.py turns the counts into them.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IT_SLOTS 4 /* the most that one IT instruction governs */
#define NOWHERE UINT64_MAX

/* The counts of one halfword address. */
struct site {
    uint64_t executed;
    uint64_t skipped;    /* a slot of an IT block whose condition failed */
    uint64_t taken;      /* continued somewhere else than at the next instruction */
    uint64_t sequential; /* the instruction before this one in memory was executed directly before it */
    uint8_t size;        /* in bytes; 0 until the instruction was met */
    uint8_t slots;       /* how many slots of the same IT block follow */
};

struct region {
    uint64_t base, size; /* in bytes */
    struct site *sites;
};

typedef int read_registers(void *engine, int *numbers, void **values, int count);
typedef int read_memory(void *engine, uint64_t address, void *bytes, uint64_t size);

struct counter {
    struct region regions[2]; /* flash and RAM */
    read_registers *read_registers;
    read_memory *read_memory;
    int stack_register, link_register;
    uint64_t begin;      /* counting starts when this address is executed, NOWHERE: never */
    uint64_t end;        /* and ends when this one is, with the stack pointer that it began with */
    uint64_t stack;
    uint64_t calls;
    uint64_t elsewhere;  /* instructions outside all regions */
    uint64_t previous;   /* address of the last counted instruction, NOWHERE: none */
    uint64_t next;       /* where it continues unless it branches */
    bool running;
    bool suspended;      /* an exception handler runs, which the measured function did not ask for */
    bool was_sequential; /* of the last counted instruction, to take it back */
};

static struct site *find(struct counter *counter, uint64_t address)
{
    for (size_t i = 0; i < sizeof counter->regions / sizeof *counter->regions; i++)
        if (address - counter->regions[i].base < counter->regions[i].size)
            return &counter->regions[i].sites[(address - counter->regions[i].base) / 2];
    return NULL;
}

static uint32_t read_register(struct counter *counter, void *engine, int number)
{
    uint64_t value = 0;
    void *pointer = &value;
    counter->read_registers(engine, &number, &pointer, 1);
    return (uint32_t)value;
}

static uint16_t halfword(struct counter *counter, void *engine, uint64_t address)
{
    uint16_t value = 0;
    counter->read_memory(engine, address, &value, sizeof value);
    return value;
}

static uint8_t width(uint16_t first)
{
    return first >> 11 >= 0x1D ? 4 : 2;
}

/* Note the sizes of the slots behind an IT instruction: the ones that fail are never reported. */
static void mark_block(struct counter *counter, void *engine, uint64_t address, uint16_t it)
{
    int slots = IT_SLOTS - __builtin_ctz(it & 0xF);
    for (; slots >= 0; slots--) {
        struct site *site = find(counter, address);
        if (!site)
            return;
        site->size = width(halfword(counter, engine, address));
        site->slots = (uint8_t)slots;
        address += site->size;
    }
}

static void meet(struct counter *counter, void *engine, uint64_t address, struct site *site)
{
    uint16_t first = halfword(counter, engine, address);
    site->size = width(first);
    if ((first & 0xFF00) == 0xBF00 && first & 0xF)
        mark_block(counter, engine, address, first);
}

/* The last instruction has continued at `address`, not behind itself. */
static void jumped(struct counter *counter, uint64_t address)
{
    struct site *site = find(counter, counter->previous);
    if (!site || !site->slots || address < counter->next || address > counter->next + 4 * site->slots) {
        if (site)
            site->taken++;
        return;
    }
    for (uint64_t slot = counter->next; slot < address && (site = find(counter, slot)) && site->size;)
        site->skipped++, slot += site->size;
}

static void count(struct counter *counter, void *engine, uint64_t address)
{
    struct site *site = find(counter, address);
    bool in_order = counter->next == address;
    if (!in_order && counter->previous != NOWHERE)
        jumped(counter, address);
    counter->previous = address;
    counter->was_sequential = in_order;
    if (!site) {
        counter->elsewhere++;
        counter->next = NOWHERE;
        return;
    }
    if (!site->size)
        meet(counter, engine, address, site);
    counter->next = address + site->size;
    site->executed++;
    site->sequential += in_order;
}

static void start(struct counter *counter, void *engine)
{
    counter->running = true;
    counter->calls++;
    counter->stack = read_register(counter, engine, counter->stack_register);
    counter->end = read_register(counter, engine, counter->link_register) & ~1u;
    counter->previous = counter->next = NOWHERE;
}

/* The last counted instruction has continued at `address`; nothing is known of what follows. */
static void close_sequence(struct counter *counter, uint64_t address)
{
    if (counter->previous != NOWHERE && address != counter->next)
        jumped(counter, address);
    counter->previous = counter->next = NOWHERE;
}

/* UC_HOOK_CODE: called before the instruction at `address` executes. */
void counter_on_instruction(void *engine, uint64_t address, uint32_t size, void *context)
{
    struct counter *counter = context;
    (void)size;
    if (!counter->running) {
        if (address != counter->begin)
            return;
        start(counter, engine);
    } else if (counter->suspended) {
        return;
    } else if (address == counter->end
               && read_register(counter, engine, counter->stack_register) == counter->stack) {
        close_sequence(counter, address);
        counter->running = false;
        return;
    }
    count(counter, engine, address);
}

/* The instruction at `address` was announced and not begun; it will be announced again, after the same one. */
static void take_back(struct counter *counter, uint64_t address)
{
    struct site *site = find(counter, address);
    if (site) {
        site->executed--;
        site->sequential -= counter->was_sequential;
    } else {
        counter->elsewhere--;
    }
    counter->previous = NOWHERE;
    counter->next = counter->was_sequential ? address : NOWHERE;
}

/* A slice has ended at `address`; `completed`: the last reported instruction was executed, not only announced. */
void counter_settle(struct counter *counter, uint64_t address, bool completed)
{
    if (!counter->running || counter->suspended || counter->previous == NOWHERE)
        return;
    if (completed || counter->previous != address)
        close_sequence(counter, address);
    else
        take_back(counter, address);
}
