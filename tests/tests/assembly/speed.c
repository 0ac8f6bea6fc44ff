// Times kernels against the first one, which does nothing but multiply and add in registers.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef void (*kernel)(uint32_t *const *buffers, size_t begin, size_t end);
extern const kernel kernels[];
extern const uint64_t operations[];
extern const char *const names[];
extern const uint64_t count;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + 1e-9 * time.tv_nsec;
}

// Billions of operations per second, over a run of about a millisecond.
static double rate(uint64_t number, uint32_t *const *buffers) {
    uint64_t calls = 200000000 / operations[number] + 1;
    double start = now();
    for (uint64_t call = 0; call < calls; call++) kernels[number](buffers, 0, 1);
    return 1e-9 * (double)(calls * operations[number]) / (now() - start);
}

int main(void) {
    uint32_t *buffers[8];
    for (int b = 0; b < 8; b++) {
        // Buffers that start a page apart would share a cache set.
        buffers[b] = (uint32_t *)((char *)aligned_alloc(4096, 1 << 20) + 1088 * b);
        for (int w = 0; w < (1 << 17); w++) ((float *)buffers[b])[w] = 1e-3f * (w % 7);
    }
    for (uint64_t number = 1; number < count; number++) {
        double best = 0, peak = 0;
        for (int round = 0; round < 200; round++) {
            double now = rate(number, buffers), reference = rate(0, buffers);
            if (now > best) best = now;
            if (reference > peak) peak = reference;
        }
        printf("%-24s %6.1f of %6.1f GFLOP/s, %5.1f %%\n", names[number], best, peak, 100 * best / peak);
    }
    return 0;
}
