/* What the small firmwares of these tests share: vectors, registers, the MPS2 console and the way to end. */
#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(address))

#define SYSTICK_CONTROL REG(0xE000E010)
#define SYSTICK_RELOAD REG(0xE000E014)
#define SYSTICK_VALUE REG(0xE000E018)
#define NVIC_ENABLE REG(0xE000E100)
#define NVIC_PEND REG(0xE000E200)
#define NVIC_PRIORITY(irq) (*(volatile uint8_t *)(0xE000E400 + (irq)))
#define ICSR REG(0xE000ED04)
#define AIRCR REG(0xE000ED0C)
#define SHCSR REG(0xE000ED24)
#define CFSR REG(0xE000ED28)
#define HFSR REG(0xE000ED2C)
#define BFAR REG(0xE000ED38)
#define CPACR REG(0xE000ED88)

#define UART_DATA REG(0x40004000)
#define UART_STATUS REG(0x40004004)
#define UART_CONTROL REG(0x40004008)
#define UART_INTERRUPT REG(0x4000400C)
#define UART_DIVIDER REG(0x40004010)

void finish(uint32_t status); /* end the run through semihosting */

static inline void uart_start(void)
{
    UART_DIVIDER = 217;
    UART_CONTROL = 3;
}

static inline void put(char byte)
{
    while (UART_STATUS & 1)
        ;
    UART_DATA = (uint8_t)byte;
}

static inline void print(const char *text)
{
    while (*text)
        put(*text++);
}
