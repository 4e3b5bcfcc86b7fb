/* RP2040 at 125 MHz, executing from QSPI flash. Registers: RP2040 datasheet, sections 2.3.1 (SIO), 2.8 (boot ROM), 2.14
   (resets), 2.15 (clocks), 2.16 (crystal), 2.18 (PLL), 2.19 (pins), 4.2 (UART), 4.10 (SSI). */

#include <string.h>

#include "board.h"
#include "console.h"
#include "cortex_m.h"
#include "platform.h"

#define CLK_REF_CTRL 0x40008030u
#define CLK_REF_SELECTED 0x40008038u
#define CLK_SYS_CTRL 0x4000803Cu
#define CLK_SYS_SELECTED 0x40008044u
#define CLK_PERI_CTRL 0x40008048u
#define CLK_REF_CRYSTAL 2u
#define CLK_SYS_REF 0u
#define CLK_SYS_PLL 1u
#define CLK_PERI_SYS (1u << 11) /* on, from the system clock */

#define XOSC_CTRL 0x40024000u
#define XOSC_STATUS 0x40024004u
#define XOSC_STARTUP 0x4002400Cu
#define XOSC_ENABLE (0xFABu << 12 | 0xAA0u) /* a crystal of 1 to 15 MHz */
#define XOSC_STABLE (1u << 31)
#define XOSC_DELAY 47u /* a millisecond, in 256 cycles of 12 MHz */

/* 12 MHz x 125 = 1500 MHz, / 6 / 2 = 125 MHz. */
#define PLL_CS 0x40028000u
#define PLL_PWR 0x40028004u
#define PLL_FBDIV 0x40028008u
#define PLL_PRIM 0x4002800Cu
#define PLL_LOCKED (1u << 31)
#define PLL_FACTOR 125u
#define PLL_DIVIDERS (6u << 16 | 2u << 12)
#define PLL_RUNS 0x0Cu   /* has power: the PLL with its oscillator, */
#define PLL_DRIVES 0x04u /* and what divides behind it */
_Static_assert(TICK_CLOCK == 12000000u * PLL_FACTOR / (6 * 2), "the chip's file says another clock");

#define RESETS_RESET 0x4000C000u
#define RESETS_DONE 0x4000C008u
#define RESETS_USED (1u << 5 | 1u << 8 | 1u << 12 | 1u << 22) /* IO_BANK0, PADS_BANK0, PLL_SYS, UART0 */

#define UART_DR (UART_BASE + 0x00)
#define UART_FR (UART_BASE + 0x18)
#define UART_IBRD (UART_BASE + 0x24)
#define UART_FBRD (UART_BASE + 0x28)
#define UART_LCR_H (UART_BASE + 0x2C)
#define UART_CR (UART_BASE + 0x30)
#define UART_IFLS (UART_BASE + 0x34)
#define UART_IMSC (UART_BASE + 0x38)
#define UART_ICR (UART_BASE + 0x44)
#define FR_BUSY (1u << 3)
#define FR_RECEIVE_EMPTY (1u << 4)
#define FR_SEND_FULL (1u << 5)
#define LCR_H_8N1_FIFO 0x70u
#define CR_ENABLE 0x301u
#define INT_RECEIVED (1u << 4 | 1u << 6) /* four bytes are there, or fewer and then a pause */
/* In 64ths of 16 cycles. */
#define UART_DIVIDER ((UART_CLOCK * 4u + UART_BAUD / 2) / UART_BAUD)

#define PINS 30u
#define PIN_TX 0u
#define PIN_RX 1u
#define IO_CTRL(n) (0x40014004u + 8 * (n))
#define PAD(n) (0x4001C004u + 4 * (n))
#define IO_UART 2u
#define IO_SOFTWARE 5u
#define PAD_USUAL 0x52u /* Schmitt trigger, 4 mA, input enabled */
#define PAD_PULL_UP (1u << 3)
#define PAD_PULL_DOWN (1u << 2)
#define SIO_IN (GPIO_BASE + 0x04)
#define SIO_OUT_SET (GPIO_BASE + 0x14)
#define SIO_OUT_CLEAR (GPIO_BASE + 0x18)
#define SIO_ENABLE_SET (GPIO_BASE + 0x24)
#define SIO_ENABLE_CLEAR (GPIO_BASE + 0x28)

#define SSI_CTRLR0 (FLASH_REGISTERS + 0x00)
#define SSI_CTRLR1 (FLASH_REGISTERS + 0x04)
#define SSI_ENABLE (FLASH_REGISTERS + 0x08)
#define SSI_BAUDR (FLASH_REGISTERS + 0x14)
#define SSI_SPI_CTRLR0 (FLASH_REGISTERS + 0xF4)
#define CTRLR0_READS_WORDS (31u << 16 | 3u << 8)        /* frames of 32 bits on one line, in EEPROM mode */
#define SPI_CTRLR0_READ (3u << 24 | 2u << 8 | 6u << 2) /* command 03, which has 8 bits, and 24 bits of address */
#define SSI_DIVIDER 4u
#define SCB_VTOR 0xE000ED08u

#define PAGE 256u /* bytes that are programmed at once */
#define SECTOR 0x1000u
#define LARGE_BLOCK 0x10000u
#define ERASE_LARGE_BLOCK 0xD8u
#define ROM_TABLE 0x14u  /* address of a halfword: where the table of functions is */
#define ROM_LOOKUP 0x18u /* and of another: the function that searches it */

/// Second stage bootloader ///

/* Has the SSI read flash, wherever the core reads from its addresses, in the way that every QSPI chip understands. */
static inline __attribute__((always_inline)) void execute_in_place(void) {
    REGISTER(SSI_ENABLE) = 0;
    REGISTER(SSI_BAUDR) = SSI_DIVIDER;
    REGISTER(SSI_CTRLR0) = CTRLR0_READS_WORDS;
    REGISTER(SSI_CTRLR1) = 0;
    REGISTER(SSI_SPI_CTRLR0) = SPI_CTRLR0_READ;
    REGISTER(SSI_ENABLE) = 1;
}

/* The ROM copies the first 256 bytes of flash to the end of RAM and calls them there, when their checksum, which
   build.py puts in, is right. The flash cannot be read until this has been done. Then it does what a core does with its
   vectors at a reset. */
__attribute__((section(".boot2"), used)) _Noreturn void boot2(void) {
    const uint32_t table = (uint32_t)vectors;
    execute_in_place();
    REGISTER(SCB_VTOR) = table;
    __asm volatile("msr msp, %0\n\tbx %1" ::"r"(REGISTER(table)), "r"(REGISTER(table + 4)));
    __builtin_unreachable();
}

/// Clocks ///

/* Waits until all of the bits are set. */
static void await(uint32_t address, uint32_t bits) {
    while ((REGISTER(address) & bits) != bits) {
    }
}

static void use_crystal(void) {
    REGISTER(XOSC_STARTUP) = XOSC_DELAY;
    REGISTER(XOSC_CTRL) = XOSC_ENABLE;
    await(XOSC_STATUS, XOSC_STABLE);
    REGISTER(CLK_REF_CTRL) = CLK_REF_CRYSTAL;
    await(CLK_REF_SELECTED, 1u << CLK_REF_CRYSTAL);
    REGISTER(CLK_SYS_CTRL) = CLK_SYS_REF;
    await(CLK_SYS_SELECTED, 1u << CLK_SYS_REF);
    REGISTER(CLK_PERI_CTRL) = CLK_PERI_SYS; /* it follows the system clock, whatever that is switched to */
}

/* A reset that the core asks for itself leaves peripherals as they are. The UART is done only when its clock runs. */
static void reset_peripherals(void) {
    REGISTER(RESETS_RESET) |= RESETS_USED;
    REGISTER(RESETS_RESET) &= ~RESETS_USED;
    await(RESETS_DONE, RESETS_USED);
}

static void use_pll(void) {
    REGISTER(PLL_FBDIV) = PLL_FACTOR;
    REGISTER(PLL_PWR) = PLL_RUNS;
    await(PLL_CS, PLL_LOCKED);
    REGISTER(PLL_PRIM) = PLL_DIVIDERS;
    REGISTER(PLL_PWR) = PLL_DRIVES;
    REGISTER(CLK_SYS_CTRL) = CLK_SYS_PLL;
    await(CLK_SYS_SELECTED, 1u << CLK_SYS_PLL);
}

/// Console ///

static void console_interrupt(void) {
    while (!(REGISTER(UART_FR) & FR_RECEIVE_EMPTY)) {
        console_receive((uint8_t)REGISTER(UART_DR));
    }
    REGISTER(UART_ICR) = INT_RECEIVED;
    platform_wake();
}

VECTOR_TABLE = {CORE_VECTORS, [16 + UART_IRQ] = console_interrupt};

static void start_console(void) {
    REGISTER(PAD(PIN_RX)) = PAD_USUAL | PAD_PULL_UP;
    REGISTER(IO_CTRL(PIN_TX)) = IO_UART;
    REGISTER(IO_CTRL(PIN_RX)) = IO_UART;
    REGISTER(UART_IBRD) = UART_DIVIDER / 64;
    REGISTER(UART_FBRD) = UART_DIVIDER % 64;
    REGISTER(UART_LCR_H) = LCR_H_8N1_FIFO; /* takes the divider over */
    REGISTER(UART_CR) = CR_ENABLE;
    REGISTER(UART_IFLS) = 0;
    REGISTER(UART_IMSC) = INT_RECEIVED;
    interrupt_enable(UART_IRQ);
}

void console_write_raw(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        while (REGISTER(UART_FR) & FR_SEND_FULL) {
        }
        REGISTER(UART_DR) = bytes[i];
    }
    while (REGISTER(UART_FR) & FR_BUSY) { /* a reset may follow: it would cut off what is in the FIFO */
    }
}

/* The ring oscillator's random bit is not meant for secrets (datasheet, section 2.17.5). */
bool platform_random(uint8_t *bytes, size_t size) {
    (void)bytes, (void)size;
    return false;
}

/// Flash ///

/* Functions of the boot ROM. They talk to the flash themselves, and nobody can read it meanwhile. */
static struct {
    void (*connect)(void);
    void (*exit_xip)(void);
    void (*erase)(uint32_t offset, uint32_t size, uint32_t block_size, uint8_t block_command);
    void (*program)(uint32_t offset, const uint8_t *bytes, uint32_t size);
    void (*flush_cache)(void);
    void (*enter_xip)(void);
} rom;

typedef void *rom_lookup(const uint16_t *table, uint32_t code);

/* Low addresses, of which gcc believes that nothing is there. */
static uint32_t rom_pointer(uint32_t address) {
    __asm("" : "+r"(address));
    return *(const volatile uint16_t *)address;
}

static void *rom_function(const char code[2]) {
    rom_lookup *lookup = (rom_lookup *)rom_pointer(ROM_LOOKUP);
    return lookup((const uint16_t *)rom_pointer(ROM_TABLE), (uint32_t)(code[0] | code[1] << 8));
}

static void find_rom_functions(void) {
    rom.connect = rom_function("IF");
    rom.exit_xip = rom_function("EX");
    rom.erase = rom_function("RE");
    rom.program = rom_function("RP");
    rom.flush_cache = rom_function("FC");
    rom.enter_xip = rom_function("CX");
}

/* Programs a page, or without one erases the sector. It lies in RAM and calls nothing but the ROM; interrupts are off,
   since their handlers are in flash. The ROM leaves the SSI slower than it was. */
__attribute__((section(".ramcode"), noinline)) static void change_in_ram(uint32_t offset, const uint8_t *page) {
    rom.connect();
    rom.exit_xip();
    if (page != NULL) {
        rom.program(offset, page, PAGE);
    } else {
        rom.erase(offset, SECTOR, LARGE_BLOCK, ERASE_LARGE_BLOCK);
    }
    rom.flush_cache();
    rom.enter_xip();
    execute_in_place();
}

static void change_flash(uint32_t address, const uint8_t *page) {
    void (*change)(uint32_t, const uint8_t *) = change_in_ram; /* too far away for a plain call */
    __asm("" : "+r"(change));
    platform_mask(true);
    change(address - FLASH_BASE, page);
    platform_mask(false);
}

bool flash_erase(const struct flash_sector *sector) {
    change_flash(sector->address, NULL);
    return true;
}

/* A page may be programmed part after part: what is erased in the buffer leaves the cells as they are. */
bool flash_write(uint32_t address, const uint8_t *bytes, uint32_t size) {
    static uint8_t page[PAGE];
    while (size > 0) {
        const uint32_t at = address % PAGE, count = size < PAGE - at ? size : PAGE - at;
        memset(page, FLASH_ERASED, PAGE);
        memcpy(page + at, bytes, count);
        change_flash(address - at, page);
        address += count;
        bytes += count;
        size -= count;
    }
    return true;
}

/// Pins ///

bool gpio_configure(uint32_t pin, enum gpio_mode mode) {
    static const uint8_t pulls[] = {0, 0, PAD_PULL_UP, PAD_PULL_DOWN};
    if (pin >= PINS || mode > GPIO_INPUT_PULL_DOWN) {
        return false;
    }
    REGISTER(mode == GPIO_OUTPUT ? SIO_ENABLE_SET : SIO_ENABLE_CLEAR) = 1u << pin;
    REGISTER(PAD(pin)) = PAD_USUAL | pulls[mode];
    REGISTER(IO_CTRL(pin)) = IO_SOFTWARE;
    return true;
}

bool gpio_write(uint32_t pin, bool level) {
    if (pin >= PINS) {
        return false;
    }
    REGISTER(level ? SIO_OUT_SET : SIO_OUT_CLEAR) = 1u << pin;
    return true;
}

int gpio_read(uint32_t pin) {
    if (pin >= PINS) {
        return -1;
    }
    return REGISTER(SIO_IN) >> pin & 1;
}

/// Start ///

/* From the linker template. */
extern uint32_t ramcode_begin[], ramcode_end[], ramcode_load[];

void platform_start(void) {
    use_crystal();
    reset_peripherals();
    use_pll();
    clock_start();
    memcpy(ramcode_begin, ramcode_load, (size_t)((uint8_t *)ramcode_end - (uint8_t *)ramcode_begin));
    find_rom_functions();
    start_console();
}
