/* STM32F1 on the 8 MHz internal oscillator. Registers: RM0008 sections 7 and 9, RM0041 sections 6 and 7; flash:
   PM0075 and PM0063, which also say that it is programmed by halfwords. */

#include <stdint.h>

#define RCC_CR 0x40021000u
#define RCC_CFGR 0x40021004u
#define RCC_APB2ENR 0x40021018u
#define RCC_APB1ENR 0x4002101Cu
#define RCC_GPIOENR RCC_APB2ENR

#define FLASH_AR (FLASH_REGISTERS + 0x14)
#define FLASH_SR_BUSY 0x01u
#define FLASH_SR_ERRORS 0x14u
#define FLASH_CR_PROGRAM 0x01u
#define FLASH_CR_ERASE_PAGE 0x02u
#define FLASH_CR_START 0x40u
#define FLASH_CR_LOCK 0x80u
typedef uint16_t flash_unit;

#define GPIO_CR 0x00u /* CRL, then CRH */
#define GPIO_IDR 0x08u
#define GPIO_BSRR 0x10u
enum { OUTPUT = 0x2, INPUT = 0x4, INPUT_PULL = 0x8, ALTERNATE = 0xA }; /* CNF and MODE: push-pull, 2 MHz */

#include "port/stm32/stm32.h"

static void set_pin(uint32_t pin, uint32_t configuration) {
    uint32_t shift = 4 * (pin % 8);
    change_bits(port_of(pin) + GPIO_CR + 4 * (pin % 16 / 8), 0xFu << shift, configuration << shift);
}

static void start_pins(void) {
    set_pin(UART_TX_PIN, ALTERNATE);
    gpio_configure(UART_RX_PIN, GPIO_INPUT_PULL_UP);
}

/* The output register chooses between pull-up and pull-down. */
bool gpio_configure(uint32_t pin, enum gpio_mode mode) {
    static const uint8_t configurations[] = {INPUT, OUTPUT, INPUT_PULL, INPUT_PULL};
    if (!pin_exists(pin) || mode > GPIO_INPUT_PULL_DOWN) {
        return false;
    }
    if (configurations[mode] == INPUT_PULL) {
        gpio_write(pin, mode == GPIO_INPUT_PULL_UP);
    }
    set_pin(pin, configurations[mode]);
    return true;
}

bool flash_erase(const struct flash_sector *sector) {
    unlock();
    REGISTER(FLASH_CR) = FLASH_CR_ERASE_PAGE;
    REGISTER(FLASH_AR) = sector->address;
    REGISTER(FLASH_CR) = FLASH_CR_ERASE_PAGE | FLASH_CR_START;
    return lock(finish());
}
