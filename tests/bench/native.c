/* A benchmark on a bare Cortex-M: run(N), once. */
#include "bare.h"
#include "programs/bench.h"

volatile uint32_t result;

int main(void) {
    result = run(N);
    return 0;
}
