/* STM32F4 on the 16 MHz internal oscillator. Registers: RM0090. */

#include <string.h>

#include "board.h"
#include "console.h"
#include "cortex_m.h"
#include "platform.h"

#define RCC_CR 0x40023800u
#define RCC_CFGR 0x40023808u
#define RCC_AHB1ENR 0x40023830u
#define RCC_APB2ENR 0x40023844u
#define CR_HSION 1u
#define AHB1_GPIO_A_TO_I 0x1FFu
#define APB2_USART1 (1u << 4)

#define USART_SR (UART_BASE + 0x00)
#define USART_DR (UART_BASE + 0x04)
#define USART_BRR (UART_BASE + 0x08)
#define USART_CR1 (UART_BASE + 0x0C)
#define SR_RXNE (1u << 5)
#define SR_ORE (1u << 3)
#define SR_TC (1u << 6)
#define SR_TXE (1u << 7)
#define CR1_ENABLE 0x202Cu /* UE, RXNEIE, TE, RE */

#define FLASH_KEYR (FLASH_REGISTERS + 0x04)
#define FLASH_SR (FLASH_REGISTERS + 0x0C)
#define FLASH_CR (FLASH_REGISTERS + 0x10)
#define FLASH_KEY1 0x45670123u
#define FLASH_KEY2 0xCDEF89ABu
#define FLASH_SR_BUSY (1u << 16)
#define FLASH_SR_ERRORS 0xF2u
#define FLASH_CR_PROGRAM 0x001u
#define FLASH_CR_ERASE_SECTOR 0x002u
#define FLASH_CR_SECTOR_SHIFT 3
#define FLASH_CR_WORDS 0x200u /* PSIZE: 32 bits, for 2.7 V and more */
#define FLASH_CR_START (1u << 16)
#define FLASH_CR_LOCK (1u << 31)

#define GPIO_PORTS 9u
#define GPIO_MODER 0x00u
#define GPIO_PUPDR 0x0Cu
#define GPIO_IDR 0x10u
#define GPIO_BSRR 0x18u
#define GPIO_AFRH 0x24u
#define MODE_ALTERNATE 2u
#define PIN_TX 9u
#define PIN_RX 10u
#define ALTERNATE_USART1 7u

/// Console ///

static void console_interrupt(void) {
    uint32_t status;
    while ((status = REGISTER(USART_SR)) & (SR_RXNE | SR_ORE)) {
        uint8_t byte = (uint8_t)REGISTER(USART_DR);
        if (status & SR_RXNE) {
            console_receive(byte);
        }
    }
    platform_wake();
}

VECTOR_TABLE = {CORE_VECTORS, [16 + UART_IRQ] = console_interrupt};

static void change_bits(uint32_t address, uint32_t mask, uint32_t value) {
    REGISTER(address) = (REGISTER(address) & ~mask) | value;
}

static void start_console(void) {
    change_bits(GPIO_BASE + GPIO_AFRH, 0xFFu << 4, ALTERNATE_USART1 << 4 | ALTERNATE_USART1 << 8);
    change_bits(GPIO_BASE + GPIO_PUPDR, 3u << 2 * PIN_RX, 1u << 2 * PIN_RX);
    change_bits(GPIO_BASE + GPIO_MODER, 3u << 2 * PIN_TX | 3u << 2 * PIN_RX,
                MODE_ALTERNATE << 2 * PIN_TX | MODE_ALTERNATE << 2 * PIN_RX);
    REGISTER(USART_BRR) = (UART_CLOCK + UART_BAUD / 2) / UART_BAUD;
    REGISTER(USART_CR1) = CR1_ENABLE;
    interrupt_enable(UART_IRQ);
}

/* After a reset the core runs from the internal oscillator; the ROM bootloader may have left it on the PLL, which that
   oscillator feeds. So it is ready in either case, and nothing waits for it. */
static void use_internal_oscillator(void) {
    REGISTER(RCC_CR) |= CR_HSION;
    REGISTER(RCC_CFGR) = 0;
}

void platform_start(void) {
    use_internal_oscillator();
    clock_start();
    REGISTER(RCC_AHB1ENR) |= AHB1_GPIO_A_TO_I;
    REGISTER(RCC_APB2ENR) |= APB2_USART1;
    start_console();
}

void console_write_raw(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) {
        while (!(REGISTER(USART_SR) & SR_TXE)) {
        }
        REGISTER(USART_DR) = bytes[i];
    }
    while (!(REGISTER(USART_SR) & SR_TC)) { /* a reset may follow: it would cut off the last two bytes */
    }
}

/* The chip's random generator runs from the PLL, which is off. */
bool platform_random(uint8_t *bytes, size_t size) {
    (void)bytes, (void)size;
    return false;
}

/// Flash ///

static void unlock(void) {
    if (REGISTER(FLASH_CR) & FLASH_CR_LOCK) {
        REGISTER(FLASH_KEYR) = FLASH_KEY1;
        REGISTER(FLASH_KEYR) = FLASH_KEY2;
    }
    REGISTER(FLASH_SR) = FLASH_SR_ERRORS;
}

/* The core stalls by itself when it fetches from busy flash. */
static bool finish(void) {
    while (REGISTER(FLASH_SR) & FLASH_SR_BUSY) {
    }
    return !(REGISTER(FLASH_SR) & FLASH_SR_ERRORS);
}

static bool lock(bool good) {
    REGISTER(FLASH_CR) = FLASH_CR_LOCK;
    return good;
}

bool flash_erase(const struct flash_sector *sector) {
    uint32_t command = FLASH_CR_WORDS | FLASH_CR_ERASE_SECTOR | sector->number << FLASH_CR_SECTOR_SHIFT;
    unlock();
    REGISTER(FLASH_CR) = command;
    REGISTER(FLASH_CR) = command | FLASH_CR_START;
    return lock(finish());
}

bool flash_write(uint32_t address, const uint8_t *bytes, uint32_t size) {
    bool good = true;
    unlock();
    REGISTER(FLASH_CR) = FLASH_CR_WORDS | FLASH_CR_PROGRAM;
    for (uint32_t i = 0; good && i < size; i += FLASH_WRITE_UNIT) {
        uint32_t word;
        memcpy(&word, bytes + i, sizeof word);
        REGISTER(address + i) = word;
        good = finish();
    }
    return lock(good);
}

/// Pins: 16 x port + bit ///

static uint32_t port_of(uint32_t pin) {
    return GPIO_BASE + 0x400u * (pin / 16);
}

bool gpio_configure(uint32_t pin, enum gpio_mode mode) {
    static const uint8_t moder[] = {0, 1, 0, 0}, pupdr[] = {0, 0, 1, 2};
    if (pin >= 16 * GPIO_PORTS || mode > GPIO_INPUT_PULL_DOWN) {
        return false;
    }
    uint32_t shift = 2 * (pin % 16);
    change_bits(port_of(pin) + GPIO_PUPDR, 3u << shift, (uint32_t)pupdr[mode] << shift);
    change_bits(port_of(pin) + GPIO_MODER, 3u << shift, (uint32_t)moder[mode] << shift);
    return true;
}

bool gpio_write(uint32_t pin, bool level) {
    if (pin >= 16 * GPIO_PORTS) {
        return false;
    }
    REGISTER(port_of(pin) + GPIO_BSRR) = 1u << (pin % 16 + (level ? 0 : 16));
    return true;
}

int gpio_read(uint32_t pin) {
    if (pin >= 16 * GPIO_PORTS) {
        return -1;
    }
    return REGISTER(port_of(pin) + GPIO_IDR) >> pin % 16 & 1;
}
