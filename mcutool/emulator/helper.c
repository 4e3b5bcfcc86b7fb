/* Two things that Python is too slow for: counting instructions, and opening pages for stores (at the end).
 *
 * The counter counts executed instructions by address while a measured function runs. Unicorn calls it before every
 * instruction (UC_HOOK_CODE). It decides what happened between two instructions: a taken branch, or slots of an IT block
 * that failed their condition (Unicorn does not report those). It ends the slice instead of Unicorn's own counter, since
 * two callbacks for each instruction would halve the speed. And it stops measured code at a transfer of several words
 * that is not aligned, which Unicorn performs and no Cortex-M does. Where somebody asks, it counts the accesses to memory
 * that wait states make dearer. It refuses to know cycles: profile.py turns the counts into them. counter.py is its
 * other half, and says the same in Python.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IT_SLOTS 4 /* the most that one IT instruction governs */
#define NOWHERE UINT64_MAX
#define BRANCHES 32 /* remembered */
#define IT_STATE (3u << 25 | 0x3Fu << 10) /* of EPSR */
#define MEMORY_READ 16 /* UC_MEM_READ */

/* The counts of one halfword address. */
struct site {
    uint64_t executed;
    uint64_t skipped;    /* a slot of an IT block whose condition failed */
    uint64_t taken;      /* continued somewhere else than at the next instruction */
    uint64_t sequential; /* the instruction before this one in memory was executed directly before it */
    uint8_t size;        /* in bytes; 0 until the instruction was met */
    uint8_t slots;       /* how many slots of the same IT block follow */
    int8_t base;         /* register that must hold a multiple of four, -1: none */
};

struct region {
    uint64_t base, size; /* in bytes */
    struct site *sites;
};

struct branch {
    uint64_t source, target;
};

typedef int read_registers(void *engine, int *numbers, void **values, int count);
typedef int read_memory(void *engine, uint64_t address, void *bytes, uint64_t size);
typedef int stop_engine(void *engine);
typedef int write_register(void *engine, int number, const void *value);

struct counter {
    uint64_t progress;   /* instructions announced in this slice */
    uint64_t limit;      /* the slice ends when `progress` would pass it */
    uint64_t misaligned; /* nonzero: the slice ended before a misaligned transfer */
    struct region regions[2]; /* flash and RAM */
    read_registers *read_registers;
    read_memory *read_memory;
    stop_engine *stop;
    int first_register, stack_register, link_register; /* Unicorn's numbers of R0, SP and LR */
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
    uint64_t branch_count;
    struct branch branches[BRANCHES]; /* the last ones that were taken; number n is at n % BRANCHES */
    uint64_t slow_base, slow_size; /* memory that may have wait states, in bytes */
    uint64_t slow_reads;           /* words or parts of one that were read from it as data */
    uint64_t unaligned;            /* accesses to any memory that are not aligned */
    write_register *write_register;
    int status_register; /* EPSR */
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

/* The base register of LDM, STM, LDRD, STRD, VLDR, VSTR, VLDM and VSTM; SP and PC are always aligned. */
static int8_t aligned_base(uint16_t first, uint16_t second)
{
    int base = -1;
    if (first >> 12 == 0xC)
        return first >> 8 & 7;
    bool multiple = (first & 0xFE40) == 0xE800;
    bool dual = (first & 0xFE40) == 0xE840 && first & 0x0120; /* else LDREX, STREX, TBB, TBH */
    bool floating = (first & 0xFE00) == 0xEC00 && (second & 0x0E00) == 0x0A00 && first & 0x01A0;
    if (multiple || dual || floating)
        base = first & 0xF;
    return base == 13 || base == 15 ? -1 : (int8_t)base;
}

/* Note the sizes of the slots behind an IT instruction: the ones that fail are never reported. */
static void mark_block(struct counter *counter, void *engine, uint64_t address, uint16_t it)
{
    int slots = IT_SLOTS - __builtin_ctz(it & 0xF);
    for (; slots >= 0; slots--) {
        struct site *site = find(counter, address);
        if (!site)
            return;
        uint16_t first = halfword(counter, engine, address);
        site->size = width(first);
        site->slots = (uint8_t)slots;
        site->base = aligned_base(first, halfword(counter, engine, address + 2));
        address += site->size;
    }
}

static bool is_misaligned(struct counter *counter, void *engine, const struct site *site)
{
    int number = site->base == 14 ? counter->link_register : counter->first_register + site->base;
    return read_register(counter, engine, number) & 3;
}

static void meet(struct counter *counter, void *engine, uint64_t address, struct site *site)
{
    uint16_t first = halfword(counter, engine, address);
    site->size = width(first);
    site->base = aligned_base(first, site->size == 4 ? halfword(counter, engine, address + 2) : 0);
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
        counter->branches[counter->branch_count++ % BRANCHES] = (struct branch){counter->previous, address};
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
    if (site->base >= 0 && is_misaligned(counter, engine, site)) {
        counter->misaligned = true;
        counter->stop(engine);
    }
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
    if (++counter->progress > counter->limit)
        counter->stop(engine);
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

/* UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE. Inside an IT block Unicorn would carry the block's state into the next one. */
void counter_on_access(void *engine, int kind, uint64_t address, int size, int64_t value, void *context)
{
    struct counter *counter = context;
    uint32_t status = read_register(counter, engine, counter->status_register);
    (void)value;
    if (status & IT_STATE) {
        status &= ~IT_STATE;
        counter->write_register(engine, counter->status_register, &status);
    }
    if (!counter->running || counter->suspended)
        return;
    if (kind == MEMORY_READ && address - counter->slow_base < counter->slow_size)
        counter->slow_reads += size == 8 ? 2 : 1;
    counter->unaligned += (address & (size < 4 ? (uint64_t)size - 1 : 3)) != 0;
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
    if (completed)
        close_sequence(counter, address);
    else if (counter->previous == address)
        take_back(counter, address);
}

/* QEMU's CPUTLBDescFast. */
struct translations {
    uint64_t mask; /* (entries - 1) * size of an entry */
    uint8_t *table;
};

/* Clear or set `flag` in the write address of every entry for a page in [first, first + size); see stores.py. */
void stores_change(const struct translations *translations, uint32_t entry_size, uint32_t write_address, uint32_t flag,
                   uint32_t first, uint32_t size, bool open)
{
    for (uint64_t offset = 0; offset <= translations->mask; offset += entry_size) {
        uint32_t *address = (uint32_t *)(translations->table + offset + write_address);
        bool closed = *address & flag;
        bool plain = !(*address & (4 * flag - 1) & ~flag); /* none of the other flags, which lie around this one */
        if (closed == open && plain && (*address & ~flag) - first < size)
            *address ^= flag;
    }
}
