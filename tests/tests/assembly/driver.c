// Runs assembled kernels: reads cases from the first file, writes every buffer afterwards to the second.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GUARD 64
#define MOST_BUFFERS 64
#define CANARY 0x5ca1ab1eu

typedef void (*kernel)(uint32_t *const *buffers, size_t begin, size_t end);
extern const kernel kernels[];
// Calls a kernel and tells whether it kept the registers it must.
extern int checked_call(kernel function, uint32_t *const *buffers, size_t begin, size_t end);

static uint32_t word(FILE *file) {
    uint32_t value;
    if (fread(&value, 4, 1, file) != 1) exit(3);
    return value;
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    FILE *in = fopen(arguments[1], "rb"), *out = fopen(arguments[2], "wb");
    if (!in || !out) return 2;
    uint32_t cases = word(in);
    for (uint32_t i = 0; i < cases; i++) {
        uint32_t number = word(in), tasks = word(in), buffers = word(in);
        if (buffers > MOST_BUFFERS) return 3;
        uint32_t *data[MOST_BUFFERS], words[MOST_BUFFERS];
        for (uint32_t b = 0; b < buffers; b++) {
            words[b] = word(in);
            size_t bytes = ((size_t)words[b] + 2 * GUARD) * 4;
            uint32_t *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
            for (size_t w = 0; w < words[b] + 2 * GUARD; w++) memory[w] = CANARY;
            data[b] = memory + GUARD;
            if (fread(data[b], 4, words[b], in) != words[b]) return 3;
        }
        uint32_t middle = tasks / 2;
        int kept = checked_call(kernels[number], data, 0, 0);
        kept &= checked_call(kernels[number], data, 0, middle);
        kept &= checked_call(kernels[number], data, middle, tasks);
        if (!kept) {
            fprintf(stderr, "kernel %u: a register was not saved\n", number);
            return 4;
        }
        for (uint32_t b = 0; b < buffers; b++) {
            for (int w = 0; w < GUARD; w++) {
                if (data[b][words[b] + w] != CANARY || data[b][-1 - w] != CANARY) {
                    fprintf(stderr, "kernel %u: wrote outside buffer %u\n", number, b);
                    return 5;
                }
            }
            fwrite(data[b], 4, words[b], out);
            free(data[b] - GUARD);
        }
    }
    return fclose(out);
}
