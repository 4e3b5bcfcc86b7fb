/* STM32F4 on the 16 MHz internal oscillator. Registers: RM0090, RM0383, RM0390. */

#include <stdint.h>

#define RCC_CR 0x40023800u
#define RCC_CFGR 0x40023808u
#define RCC_GPIOENR 0x40023830u /* AHB1ENR */
#define RCC_APB1ENR 0x40023840u
#define RCC_APB2ENR 0x40023844u

#define FLASH_SR_BUSY (1u << 16)
#define FLASH_SR_ERRORS 0xF2u
#define FLASH_CR_WORDS 0x200u /* PSIZE: 32 bits, for 2.7 V and more */
#define FLASH_CR_PROGRAM (FLASH_CR_WORDS | 0x001u)
#define FLASH_CR_ERASE_SECTOR (FLASH_CR_WORDS | 0x002u)
#define FLASH_CR_SECTOR_SHIFT 3
#define FLASH_CR_START (1u << 16)
#define FLASH_CR_LOCK (1u << 31)
typedef uint32_t flash_unit;

#define GPIO_MODER 0x00u
#define GPIO_PUPDR 0x0Cu
#define GPIO_IDR 0x10u
#define GPIO_BSRR 0x18u
#define GPIO_AFR 0x20u
enum { INPUT, OUTPUT, ALTERNATE };  /* in MODER */
enum { NO_PULL, PULL_UP, PULL_DOWN }; /* in PUPDR */
#define ALTERNATE_USART 7u /* of USART1 to 3 */

#include "port/stm32/stm32.h"

static void set_pin(uint32_t pin, uint32_t mode, uint32_t pull) {
    uint32_t shift = 2 * (pin % 16);
    change_bits(port_of(pin) + GPIO_PUPDR, 3u << shift, pull << shift);
    change_bits(port_of(pin) + GPIO_MODER, 3u << shift, mode << shift);
}

static void give_to_usart(uint32_t pin, uint32_t pull) {
    uint32_t shift = 4 * (pin % 8);
    change_bits(port_of(pin) + GPIO_AFR + 4 * (pin % 16 / 8), 0xFu << shift, ALTERNATE_USART << shift);
    set_pin(pin, ALTERNATE, pull);
}

static void start_pins(void) {
    give_to_usart(UART_TX_PIN, NO_PULL);
    give_to_usart(UART_RX_PIN, PULL_UP);
}

bool gpio_configure(uint32_t pin, enum gpio_mode mode) {
    static const uint8_t modes[] = {INPUT, OUTPUT, INPUT, INPUT}, pulls[] = {NO_PULL, NO_PULL, PULL_UP, PULL_DOWN};
    if (!pin_exists(pin) || mode > GPIO_INPUT_PULL_DOWN) {
        return false;
    }
    set_pin(pin, modes[mode], pulls[mode]);
    return true;
}

bool flash_erase(const struct flash_sector *sector) {
    uint32_t command = FLASH_CR_ERASE_SECTOR | sector->number << FLASH_CR_SECTOR_SHIFT;
    unlock();
    REGISTER(FLASH_CR) = command;
    REGISTER(FLASH_CR) = command | FLASH_CR_START;
    return lock(finish());
}
